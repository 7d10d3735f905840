"""A server for tests, and its clients: a normal one, and raw sockets for the others."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection

from exporter.web.connections import ConnectionLimits
from exporter.web.endpoint import Endpoint
from exporter.web.response import Handler
from exporter.web.server import Server
from tests.doubles.exporter_process import wait_until

BOUND_SECONDS = 30.0  # generous: reached only when something is broken


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def serving(
    handlers: Mapping[str, Handler], limits: ConnectionLimits | None = None, address: str = "127.0.0.1:0"
) -> Server:
    """A server of one address that is not started."""
    return Server([Endpoint(address, handlers)], limits or ConnectionLimits())


def port_of(server: Server) -> int:
    """The port of its first address."""
    return int(server.addresses[0].rpartition(":")[2])


def wait_until_closed(server: Server) -> None:
    """Wait until it has no open connection."""
    wait_until(lambda: server.open_connections == 0)


def request(server: Server, path: str, method: str = "GET", host: str = "127.0.0.1", **headers: str) -> Answer:
    """One request on a separate connection."""
    with contextlib.closing(HTTPConnection(host, port_of(server), timeout=BOUND_SECONDS)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        body = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def connect(server: Server, source: str = "127.0.0.1") -> socket.socket:
    """A raw connection from an address of this machine."""
    return socket.create_connection(("127.0.0.1", port_of(server)), timeout=BOUND_SECONDS, source_address=(source, 0))


@contextlib.contextmanager
def many(
    server: Server, count: int, first_bytes: bytes = b"", source: str = "127.0.0.1"
) -> Iterator[list[socket.socket]]:
    """Raw connections that have sent the same bytes and stay open."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server, source)) for _ in range(count)]
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
