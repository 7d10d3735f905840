"""HTTP clients for tests: a normal one, and raw sockets for the others."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection

from exporter.web.server import Server

BOUND_SECONDS = 30.0  # generous: reached only when something is broken


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(server: Server, path: str, method: str = "GET", host: str = "127.0.0.1", **headers: str) -> Answer:
    """One request on a separate connection."""
    with contextlib.closing(HTTPConnection(host, server.port, timeout=BOUND_SECONDS)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        body = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def connect(server: Server) -> socket.socket:
    """A raw connection."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=BOUND_SECONDS)


@contextlib.contextmanager
def many(server: Server, count: int, first_bytes: bytes = b"") -> Iterator[list[socket.socket]]:
    """Raw connections that have sent the same bytes and stay open."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(count)]
        for client in clients:
            with contextlib.suppress(OSError):  # the server may have closed it already
                client.sendall(first_bytes)
        yield clients


def read_to_end(client: socket.socket) -> bytes:
    """Everything that the server sends until it closes the connection; a reset is an error."""
    received = bytearray()
    while chunk := client.recv(65536):
        received += chunk
    return bytes(received)
