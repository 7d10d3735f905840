import socket
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from exporter.web.connections import Connection, ConnectionLimits, Connections, Phase, peer_of
from exporter.web.endpoint import Endpoint
from exporter.web.transport import PlainTransport

NOW = 1_000.0
US, THEM, OTHERS = b"us", b"them", b"others"
NOTHING = Endpoint("", {})
FEW = ConnectionLimits(connections=4, connections_per_peer=3, unsent_bytes=100)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with closing(socket.socket()) as unconnected:
        yield unconnected


class Clients:
    """Connections in given phases.

    Args:
        sock: A socket for all of them; it is not used.
        limits: The limits.
    """

    def __init__(self, sock: socket.socket, limits: ConnectionLimits = FEW) -> None:
        self.connections = Connections(limits)
        self._sock = sock

    def add(self, peer: bytes, phase: Phase, age_seconds: float, body: bytes = b"") -> Connection:
        connection = Connection(PlainTransport(self._sock), ("address", 1), peer, NOTHING)
        connection.begin(phase, NOW - age_seconds, 10)
        connection.body = body
        self.connections.add(connection)
        return connection


@pytest.fixture
def clients(sock: socket.socket) -> Clients:
    return Clients(sock)


def test_there_is_room_up_to_the_limit(clients: Clients) -> None:
    for peer in (US, THEM, OTHERS):
        clients.add(peer, Phase.SENDING, 5)

    assert clients.connections.to_close_for(US, NOW) is None


@pytest.mark.parametrize(
    ("first", "next_one"),
    [
        ((Phase.DRAINING, 0.0), (Phase.SENDING, 0.5)),
        ((Phase.SENDING, 1.1), (Phase.IDLE, 100)),
        ((Phase.SENDING, 1.1), (Phase.RECEIVING, 9)),
        ((Phase.IDLE, 100), (Phase.SENDING, 0.9)),
        ((Phase.RECEIVING, 0.3), (Phase.SENDING, 0.9)),
        ((Phase.IDLE, 0.0), (Phase.RECEIVING, 9)),
        ((Phase.RECEIVING, 0.3), (Phase.SENDING, 0.1)),
        ((Phase.RECEIVING, 0.1), (Phase.SENDING, 0.0)),
        ((Phase.SENDING, 0.2), (Phase.RECEIVING, 0.1)),
        ((Phase.SENDING, 0.1), (Phase.RECEIVING, 0.1)),
        ((Phase.RECEIVING, 0.3), (Phase.CHECKING, 5)),
        ((Phase.RECEIVING, 0.1), (Phase.CHECKING, 0.1)),
        ((Phase.SENDING, 0.7), (Phase.SENDING, 0.6)),
        ((Phase.SENDING, 20), (Phase.SENDING, 10)),
        ((Phase.IDLE, 20), (Phase.IDLE, 10)),
        ((Phase.RECEIVING, 9), (Phase.RECEIVING, 8)),
    ],
)
def test_a_client_with_too_many_loses_its_own(
    clients: Clients, first: tuple[Phase, float], next_one: tuple[Phase, float]
) -> None:
    clients.add(THEM, Phase.SENDING, 30)
    clients.add(US, *next_one)
    expected = clients.add(US, *first)
    clients.add(US, *next_one)

    assert clients.connections.to_close_for(US, NOW) is expected


def test_who_has_most_loses_one_for_another_client(clients: Clients) -> None:
    clients.add(THEM, Phase.SENDING, 0.9)
    clients.add(US, Phase.RECEIVING, 0.1)
    expected = clients.add(US, Phase.RECEIVING, 0.2)
    clients.add(OTHERS, Phase.IDLE, 100)

    assert clients.connections.to_close_for(b"new", NOW) is expected


def test_who_reads_nothing_for_a_second_loses_its_connection_before_who_has_most(clients: Clients) -> None:
    clients.add(US, Phase.IDLE, 100)
    clients.add(US, Phase.IDLE, 100)
    expected = clients.add(THEM, Phase.SENDING, 1.1)
    clients.add(OTHERS, Phase.SENDING, 0.9)

    assert clients.connections.to_close_for(b"new", NOW) is expected


def test_two_connections_of_a_client_are_not_many(sock: socket.socket) -> None:
    clients = Clients(sock, ConnectionLimits(connections=16, connections_per_peer=16))
    clients.add(US, Phase.SENDING, 0.1)
    clients.add(US, Phase.SENDING, 0.1)
    expected = clients.add(b"0", Phase.RECEIVING, 0.5)
    for number in range(1, 14):
        clients.add(b"%d" % number, Phase.RECEIVING, 0.4)

    assert clients.connections.to_close_for(b"new", NOW) is expected


def test_unsent_bodies_count_once_and_the_one_unsent_for_longest_goes_first(clients: Clients) -> None:
    shared, own = bytes(60), bytes(41)
    clients.add(US, Phase.SENDING, 3, shared)
    newest = clients.add(US, Phase.SENDING, 2, shared)
    assert clients.connections.to_close_for_memory(newest) is None

    oldest = clients.add(THEM, Phase.SENDING, 4, own)
    assert clients.connections.to_close_for_memory(newest) is oldest
    clients.connections.remove(oldest)
    assert clients.connections.to_close_for_memory(newest) is None


def test_a_body_of_any_size_is_sent_to_one_client(clients: Clients) -> None:
    only = clients.add(US, Phase.SENDING, 0, bytes(1_000))

    assert clients.connections.to_close_for_memory(only) is None


class Narrow(PlainTransport):
    """A transport that sends few bytes at once.

    Args:
        sock: A socket; it is not used.
        count: How many bytes.
    """

    def __init__(self, sock: socket.socket, count: int) -> None:
        super().__init__(sock)
        self._count = count
        self.sent = b""

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        taken = b"".join(buffers)[: self._count]
        self.sent += taken
        return len(taken)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 7, 100])
@pytest.mark.parametrize("body", [b"", b"body"])
def test_a_response_is_sent_once_however_much_is_accepted_at_once(sock: socket.socket, count: int, body: bytes) -> None:
    transport = Narrow(sock, count)
    connection = Connection(transport, ("address", 1), US, NOTHING)
    connection.set_response(b"head", body)
    while connection.unsent:
        assert connection.body is body
        assert connection.send() <= count

    assert (transport.sent, connection.body) == (b"head" + body, b"")


def test_nothing_is_lost_while_nothing_is_accepted(sock: socket.socket) -> None:
    transport = Narrow(sock, 0)
    connection = Connection(transport, ("address", 1), US, NOTHING)
    connection.set_response(b"head", b"body")

    assert (connection.send(), connection.unsent) == (0, 8)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1", True),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(one: str, other: str, *, same: bool) -> None:
    assert (peer_of(one) == peer_of(other)) is same
