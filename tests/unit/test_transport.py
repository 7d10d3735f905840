"""Bytes over a plain connection, without waiting even if the socket would."""

import socket
from collections.abc import Iterator

import pytest

from exporter.web.transport import PlainTransport

CHUNK = bytes(64 * 1024)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_nothing_is_received_before_something_arrives(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    transport = PlainTransport(ours)

    assert transport.receive() is None
    theirs.sendall(b"sent")
    assert transport.receive() == b"sent"
    theirs.close()
    assert transport.receive() == b""


def test_nothing_is_sent_while_the_peer_does_not_read(pair: tuple[socket.socket, socket.socket]) -> None:
    transport = PlainTransport(pair[0])
    while transport.send([b"head", memoryview(CHUNK)]):
        pass

    assert transport.send([CHUNK]) == 0


def test_a_peer_that_has_gone_is_an_error(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()

    with pytest.raises(BrokenPipeError):
        PlainTransport(ours).send([b"head"])
