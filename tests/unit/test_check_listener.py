"""What listens on an address is recognized in an answer of any parts, without more of the standard library."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from exporter.check.listener import exporter_serves, protected_exporter_serves

METRICS = b"HTTP/1.1 200 OK\r\n\r\nother 1\naccelerator_exporter_build_info 1\n"
HEALTHY = b"HTTP/1.1 200 OK\r\nServer: accelerator-exporter\r\n\r\n"
BOUND_SECONDS = 30.0


@contextmanager
def server(parts: Sequence[bytes]) -> Iterator[str]:
    """A server that answers its first request with these parts."""

    def answer() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):  # the client may have seen enough
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(1 << 16)
            for part in parts:
                connection.sendall(part)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(BOUND_SECONDS)


@pytest.mark.parametrize("size", [1, 7, len(METRICS)])
def test_an_exporter_is_recognized_in_any_parts(size: int) -> None:
    with server([METRICS[start : start + size] for start in range(0, len(METRICS), size)]) as address:
        assert exporter_serves(address, "/metrics")
    with server([HEALTHY[start : start + size] for start in range(0, len(HEALTHY), size)]) as address:
        assert protected_exporter_serves(address)


def test_an_answer_that_never_ends_is_given_up() -> None:
    with server([b"x" * (1 << 20)] * 17) as address:
        assert not exporter_serves(address, "/metrics")


def test_nobody_there_is_no_exporter() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        address = f"127.0.0.1:{once.getsockname()[1]}"
    assert not exporter_serves(address, "/metrics")


def test_the_check_loads_no_tls_before_it_needs_it() -> None:
    script = "import sys, exporter.check.command; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert set(loaded.stdout.split()) & {"ssl", "hashlib", "http.client", "email", "collectors.simulated"} == set()
