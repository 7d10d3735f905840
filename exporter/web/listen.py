"""Opens a listening socket for an address in the form that Prometheus exporters use."""

import errno
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

_ADDRESS = re.compile(r"(?:\[(?P<literal>[\w:.%]+)\]|(?P<host>[^:\[\]\s/]*)):(?P<port>[0-9]{1,5})")
MAX_PORT = 65535
_BACKLOG = 1024  # a client that finds the queue full tries again after a second, which is too late for a probe
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_ADVICE = {
    errno.EADDRINUSE: "stop the process that uses it or choose another address",
    errno.EADDRNOTAVAIL: "choose an address of a network interface on this machine",
    errno.EACCES: "choose a port above 1023, or grant CAP_NET_BIND_SERVICE",
}

Open = Callable[[socket.AddressFamily, str, int], socket.socket]


class ListenError(Exception):
    """The listen address is invalid or not available. The text is one line: address, reason, what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed listen address.

    Attributes:
        host: A name or a literal address without brackets; empty for all interfaces, IPv6 and IPv4.
        port: 0 to 65535; 0 lets the kernel choose.
    """

    host: str
    port: int


def parse(text: str) -> Address:
    """Parse `:9410`, `host:9410`, `192.0.2.1:9410` or `[2001:db8::1]:9410`.

    Raises:
        ListenError: The text has another form.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ListenError(f"listen address {text!r} is invalid: expected host:port, [IPv6 address]:port or :port")
    port = int(match["port"])
    if port > MAX_PORT:
        raise ListenError(f"listen address {text!r} is invalid: expected a port from 0 to {MAX_PORT}")
    return Address(match["literal"] or match["host"] or "", port)


class _ListeningSocket(socket.socket):
    """Finds out its family and type once: `accept` asks for them each time, and making enumerations of them is slow."""

    @cached_property
    def family(self) -> socket.AddressFamily:
        return super().family

    @cached_property
    def type(self) -> socket.SocketKind:
        return super().type


def open_socket(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """Open a listening socket; an IPv6 socket on all interfaces also accepts IPv4 connections.

    Raises:
        OSError: The address cannot be resolved or bound.
    """
    found = socket.getaddrinfo(host or None, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listening = _ListeningSocket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(found[0][4])
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def listen(text: str, opener: Open = open_socket) -> socket.socket:
    """Listen on an address; `:port` means IPv6 and IPv4, or only IPv4 if IPv6 is disabled.

    Args:
        text: The address, in a form that `parse` accepts.
        opener: Opens the socket; tests pass one that simulates a machine without IPv6.

    Raises:
        ListenError: The address is invalid, in use, not local, or not permitted.
    """
    address = parse(text)
    try:
        return _first_that_opens(address, opener)
    except socket.gaierror as error:
        raise ListenError(
            f"cannot listen on {text!r}: {error.strerror}; choose a name that this machine can resolve"
        ) from error
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "choose another address")
        raise ListenError(f"cannot listen on {text!r}: {error.strerror or error}; {advice}") from error


def _first_that_opens(address: Address, opener: Open) -> socket.socket:
    if address.host:
        return opener(_family(address), address.host, address.port)
    try:
        return opener(socket.AF_INET6, "", address.port)
    except OSError as error:
        if error.errno not in _NO_IPV6 and not isinstance(error, socket.gaierror):
            raise
        return opener(socket.AF_INET, "", address.port)


def _family(address: Address) -> socket.AddressFamily:
    """IPv4 if a name resolves to both families, as in other exporters."""
    found = {entry[0] for entry in socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)}
    return socket.AF_INET if socket.AF_INET in found else socket.AF_INET6
