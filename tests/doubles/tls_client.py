"""A server with TLS for tests, and its clients."""

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from http.client import HTTPSConnection
from pathlib import Path

from exporter.web.connections import ConnectionLimits
from exporter.web.endpoint import Endpoint
from exporter.web.response import Handler, Response
from exporter.web.server import Server
from exporter.web.web_reload import WebReload
from tests.doubles.certificates import Certificate
from tests.doubles.http_client import BOUND_SECONDS, Answer, port_of

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
MUTUAL = f"{TLS}  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
OPEN = frozenset({"/-/healthy"})


def page(_headers: Mapping[str, str]) -> Response:
    """A handler."""
    return Response(200, "text/plain", b"page\n", (("Content-Security-Policy", "our own"),))


def configured(folder: Path, text: str) -> WebReload:
    """What a web configuration file with this text says."""
    path = folder / "web.yml"
    path.write_text(text)
    return WebReload(path, OPEN)


@contextlib.contextmanager
def protected(
    web: WebReload, handlers: Mapping[str, Handler] | None = None, limits: ConnectionLimits | None = None
) -> Iterator[Server]:
    """A running server."""
    pages = handlers or {"/metrics": page, "/-/healthy": page}
    server = Server([Endpoint("127.0.0.1:0", pages, lambda: web.protection)], limits or ConnectionLimits())
    server.start()
    try:
        yield server
    finally:
        server.close()


def trusting(authority: Path, own: Certificate | None = None) -> ssl.SSLContext:
    """What a client needs to verify the server, and to be verified."""
    context = ssl.create_default_context(cafile=str(authority))
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    return context


def request(server: Server, context: ssl.SSLContext, path: str = "/metrics", **headers: str) -> Answer:
    """One request on a separate connection."""
    connection = HTTPSConnection("127.0.0.1", port_of(server), timeout=BOUND_SECONDS, context=context)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, {n.lower(): v for n, v in response.getheaders()}, response.read())


@contextlib.contextmanager
def connected(server: Server, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """An encrypted connection."""
    with (
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=BOUND_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        yield encrypted
