"""Tells whether what listens on an address is an exporter.

It does not use the client of the standard library, which loads TLS and the parser of e-mail: 4 MiB.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from collectors.metric import Subject
from exporter import families
from exporter.web import listen
from exporter.web.handlers import HEALTHY_PATH
from exporter.web.response import SERVER_NAME

_WAIT_SECONDS = 2.0
_ANSWER_SECONDS = 10.0
_LIMIT_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 16
_OWN_FAMILY = families.BUILD_INFO.name(Subject.EXPORTER).encode()
_OWN_NAME = f"\r\nServer: {SERVER_NAME}\r\n".encode()

_Wrap = Callable[[socket.socket], socket.socket]


def exporter_serves(address: str, telemetry_path: str) -> bool:
    """Whether an exporter shows its metrics there.

    Args:
        address: What it listens on, as in the options.
        telemetry_path: The path of its metrics.
    """
    return _answers(address, telemetry_path, _OWN_FAMILY)


def protected_exporter_serves(address: str) -> bool:
    """Whether an exporter listens there that shows its metrics only to users, or by TLS: its health page has its name.

    One that needs a certificate of each client is not recognized.

    Args:
        address: What it listens on, as in the options.
    """
    return _answers(address, HEALTHY_PATH, _OWN_NAME) or _answers(address, HEALTHY_PATH, _OWN_NAME, _wrap_in_tls)


def exposition(address: str, telemetry_path: str) -> str:
    """The metrics that an exporter shows there, with the head of its answer; what there is of it if it is too slow.

    Args:
        address: What it listens on, as in the options.
        telemetry_path: The path of its metrics.
    """
    with suppress(OSError), _requested(address, telemetry_path) as connection:
        return b"".join(_received(connection)).decode(errors="replace")
    return ""


@contextmanager
def _requested(address: str, path: str, wrap: _Wrap | None = None) -> Iterator[socket.socket]:
    """A connection on which a request has been sent."""
    parsed = listen.parse(address)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    with (
        socket.create_connection((parsed.host or "localhost", parsed.port), _WAIT_SECONDS) as plain,
        plain if wrap is None else wrap(plain) as connection,
    ):
        connection.sendall(request)
        yield connection


def _answers(address: str, path: str, expected: bytes, wrap: _Wrap | None = None) -> bool:
    """Whether the answer to a request has these bytes."""
    with suppress(OSError), _requested(address, path, wrap) as connection:
        tail = b""
        for chunk in _received(connection):
            if expected in tail + chunk:
                return True
            tail = (tail + chunk)[-len(expected) :]
    return False


def _received(connection: socket.socket) -> Iterator[bytes]:
    """The answer, in parts, as far as it is neither too long nor too slow."""
    ends, left = time.monotonic() + _ANSWER_SECONDS, _LIMIT_BYTES
    while left > 0 and time.monotonic() < ends and (chunk := connection.recv(_CHUNK_BYTES)):
        left -= len(chunk)
        yield chunk


def _wrap_in_tls(plain: socket.socket) -> socket.socket:
    import ssl  # noqa: PLC0415 - see the head of this module

    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nothing that is sent or received is secret
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    return unverified.wrap_socket(plain)
