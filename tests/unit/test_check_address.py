import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exporter.check.address import look_at_address
from exporter.check.facts import AddressState
from exporter.configuration.settings import WebSettings
from exporter.listen import ListenError, listen

BOUND_SECONDS = 30.0
METRICS = b'# TYPE accelerator_exporter_build_info gauge\naccelerator_exporter_build_info{version="1"} 1\n'


@contextmanager
def server(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n") -> Iterator[str]:
    """Gives one connection an answer; its address."""
    with listen("127.0.0.1:0") as listening:
        listening.settimeout(BOUND_SECONDS)

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(BOUND_SECONDS)
                connection.recv(4096)
                connection.sendall(head + body)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(BOUND_SECONDS)


def test_a_free_address_is_free_and_stays_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        address = f"127.0.0.1:{once.getsockname()[1]}"
    assert look_at_address(WebSettings(address, "/metrics")).state is AddressState.FREE
    listen(address).close()


def test_an_exporter_that_serves_there_is_recognized() -> None:
    with server(METRICS) as address:
        facts = look_at_address(WebSettings(address, "/metrics"))
    assert (facts.address, facts.state, facts.text) == (address, AddressState.SERVED, "")


@pytest.mark.parametrize("head", [b"HTTP/1.1 404 Not Found\r\n\r\n", b"220 mail ready\r\n"])
def test_anybody_else_who_listens_there_is_told(head: bytes) -> None:
    with server(b"hello", head) as address:
        facts = look_at_address(WebSettings(address, "/metrics"))
    assert facts.state is AddressState.TAKEN
    assert "Address already in use" in facts.text


def test_an_address_of_another_machine_is_refused() -> None:
    facts = look_at_address(WebSettings("192.0.2.1:9410", "/metrics"))
    assert facts.state is AddressState.REFUSED
    with pytest.raises(ListenError) as caught:
        listen("192.0.2.1:9410")
    assert facts.text == str(caught.value)
