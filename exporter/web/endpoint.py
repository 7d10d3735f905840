"""One address of the server, with what is served there and for whom."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.web.response import Handler
from exporter.web.transport import PlainTransport, Transport

if TYPE_CHECKING:
    from exporter.web.protection import Protection  # loaded only with a web configuration file: 0.5 MiB


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address to listen on, and what is served there.

    Attributes:
        listen_address: `:9410`, `host:port` or `[IPv6 address]:port`; port 0 lets the kernel choose.
        handlers: Path to handler. They are called one after the other in the server's thread, so they must not wait.
        protection: Returns what protects it now; None for plain HTTP for everyone.
    """

    listen_address: str
    handlers: Mapping[str, Handler]
    protection: "Callable[[], Protection] | None" = None

    def transport(self, sock: socket.socket) -> Transport:
        """The transport of an accepted socket.

        Raises:
            OSError: The client has disconnected.
        """
        return PlainTransport(sock) if self.protection is None else self.protection().transport(sock)
