"""Client connections: what each is doing, limits on all of them, and which one is closed when there are too many."""

import ipaddress
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from exporter.web.endpoint import Endpoint
from exporter.web.request import RequestParser
from exporter.web.transport import Transport

_STALLED_SECONDS = 1.0
_FAIR_SHARE = 1 / 8  # of all connections: who has fewer is not closed for having more than others
_IPV6_NETWORK_BYTES = 8
_KEPT_PEERS = 16  # who scrapes, and the kubelet


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on what clients may use.

    Attributes:
        connections: Maximum number of open connections; `Connections.to_close_for` says which one is closed when more
            arrive.
        connections_per_peer: The same for one client's address, so that there is always room for another's. One address
            may be that of many clients, if these are behind a NAT.
        request_seconds: From a request's first byte to the end of its headers; also from connecting to the first byte.
        idle_seconds: From one request to the next. Longer than usual scrape intervals.
        check_seconds: For checking the password of a request.
        send_seconds: For sending the whole response.
        shutdown_seconds: For responses in progress when the server is closed.
        unsent_bytes: Maximum size of all bodies that are kept because clients do not read them. A body that several
            clients share counts once.
    """

    connections: int = 128
    connections_per_peer: int = 64
    request_seconds: float = 10.0
    idle_seconds: float = 150.0
    check_seconds: float = 60.0
    send_seconds: float = 30.0
    shutdown_seconds: float = 0.5
    unsent_bytes: int = 16 * 1024 * 1024


class Phase(IntEnum):
    """What a connection is doing. One in a lower phase is rather closed for another."""

    DRAINING = 0
    """Its last response has been sent; what the client still sends is discarded until it closes."""
    SENDING = 1
    """Part of a response has not been sent, because the client has not read what was sent before."""
    IDLE = 2
    """It has had a response, and no byte of a further request has arrived."""
    RECEIVING = 3
    """It has just connected, or part of a request has arrived."""
    CHECKING = 4
    """The password of a request is being checked."""


# A client that is starved of CPU time or is far away may take longer than others to read a little more.
_BRIEF_SECONDS = {Phase.SENDING: _STALLED_SECONDS, Phase.RECEIVING: 0.2, Phase.CHECKING: 0.2}


class Connection:
    """One client's socket, and how far its request and response are. It has one response at a time.

    Args:
        transport: Its bytes.
        address: The client's address, for the log.
        peer: The part of the address that distinguishes clients.
        endpoint: What the connection's listener serves.

    Attributes:
        transport: Its bytes.
        parser: What has arrived and has not been answered.
        phase: What it is doing.
        since: Monotonic seconds at which the phase began; while sending, at which the client last read something.
        deadline: Monotonic seconds at which the phase must have ended.
        body: The body of the response that is being sent, shared with all connections that send the same.
        unsent: Number of bytes of the response that have not been sent.
        ends: True if it is closed after the response.
        discards: True if the client may still send what is not read, so it is drained before it is closed.
        discarded: Number of bytes that were read while draining.
        is_waiting: True while a further request may have arrived already, and waits for its turn.
        is_open: False once it is closed.
    """

    def __init__(self, transport: Transport, address: object, peer: bytes, endpoint: Endpoint) -> None:
        self.sock = transport.sock
        self.address = address
        self.peer = peer
        self.endpoint = endpoint
        self.transport = transport
        self.parser = RequestParser()
        self.phase = Phase.RECEIVING
        self.since = 0.0
        self.deadline = 0.0
        self.body = b""
        self.ends = False
        self.discards = False
        self.discarded = 0
        self.is_waiting = False
        self.is_open = True
        self.unsent = 0
        self._buffers: list[bytes | memoryview] = []

    def begin(self, phase: Phase, now: float, seconds: float) -> None:
        """Begin a phase, even the one it is in.

        Args:
            phase: The phase.
            now: Monotonic seconds.
            seconds: How long it may take.
        """
        self.phase = phase
        self.since = now
        self.deadline = now + seconds

    def set_response(self, head: bytes, body: bytes) -> None:
        """Set what `send` sends. The body is not copied."""
        self.body = body
        self.unsent = len(head) + len(body)
        self._buffers = [head, body]

    def send(self) -> int:
        """Send as much of the response as the kernel accepts.

        Returns:
            Number of bytes sent.

        Raises:
            OSError: The connection has failed.
        """
        sent = self.transport.send(self._buffers)
        self.unsent -= sent
        if self.unsent:
            self._buffers = _rest(self._buffers, sent)
        else:
            self.body, self._buffers = b"", []
        return sent


def _rest(buffers: list[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    """What follows the first bytes of some buffers. It is not copied."""
    while sent >= len(buffers[0]):
        sent -= len(buffers[0])
        buffers = buffers[1:]
    return [memoryview(buffers[0])[sent:], *buffers[1:]]


class Connections:
    """All open connections.

    Args:
        limits: How many there may be, and how many bytes they may keep.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._open: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        """All of them, also while some are added or removed."""
        return iter(tuple(self._open))

    def add(self, connection: Connection) -> None:
        """Add a connection; make room with `to_close_for` first."""
        self._open[connection] = None

    def remove(self, connection: Connection) -> None:
        """Remove a connection."""
        self._open.pop(connection, None)

    def to_close_for(self, peer: bytes, now: float) -> Connection | None:
        """Return the connection to close before a client's new one is added; None if there is room.

        If the client has too many itself, it is one of its own. Otherwise it is one whose client has read nothing for a
        second, or else one of the client that has the most. Of these it is the one in the lowest phase; those that have
        read something within the last second or have connected within the last 0.2 s come last, the oldest first.

        Args:
            peer: The client.
            now: Monotonic seconds.
        """
        limits = self._limits
        if len(self._open) < min(limits.connections, limits.connections_per_peer):
            return None
        own = [connection for connection in self._open if connection.peer == peer]
        if len(own) >= limits.connections_per_peer:
            return _first_to_close(own, now, limits)
        return _first_to_close(self._open, now, limits) if len(self._open) >= limits.connections else None

    def to_close_for_memory(self, kept: Connection) -> Connection | None:
        """Return the connection that has sent nothing for longest, if unsent bodies are too large together.

        Args:
            kept: A connection that is not returned, because its client has had no time to read.
        """
        sending = [connection for connection in self._open if connection.body]
        size = sum({id(connection.body): len(connection.body) for connection in sending}.values())
        others = [connection for connection in sending if connection is not kept]
        if size <= self._limits.unsent_bytes or not others:
            return None
        return min(others, key=lambda connection: connection.since)


@lru_cache(_KEPT_PEERS)
def peer_of(host: str) -> bytes:
    """The part of an IP address that is the same for all addresses a client can easily have.

    Args:
        host: An IPv4 or IPv6 address, which may have a zone. For IPv6 it is the network of 64 bits.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address.packed
    mapped = address.ipv4_mapped
    return address.packed[:_IPV6_NETWORK_BYTES] if mapped is None else mapped.packed


def _first_to_close(candidates: Collection[Connection], now: float, limits: ConnectionLimits) -> Connection:
    fair = int(limits.connections * _FAIR_SHARE)
    numbers = Counter(connection.peer for connection in candidates)

    def order(connection: Connection) -> tuple[bool, int, bool, int, float, Phase]:
        phase, seconds = connection.phase, now - connection.since
        is_stalled = phase <= Phase.SENDING and seconds > _STALLED_SECONDS
        is_brief = seconds <= _BRIEF_SECONDS.get(phase, -1)
        share = max(numbers[connection.peer], fair)
        return (not is_stalled, -share, is_brief, 0 if is_brief else phase, connection.since, phase)

    return min(candidates, key=order)
