"""The exporter at its own limits while it serves: no file descriptor for a further client, no memory."""

import http.client
import resource
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.doubles.exporter_process import PROCESS_FAMILIES, ExporterProcess, Scrape, exporter, parse, wait_until

_UP = "accelerator_exporter_collector_up"
_STANDARD_STREAMS = 3  # these are open: with this limit there is no number for another file
_LITTLE_BYTES = 4 << 20  # less than the stack of a thread
_CLIENTS = 10


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ExporterProcess]:
    with exporter(tmp_path, "--simulate") as process:
        wait_until(lambda: process.scrape().find("accelerator_device_info") or None)
        yield process


@contextmanager
def limited(pid: int, kind: int, limit: int) -> Iterator[None]:
    """Lower a limit of a running process for a while."""
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


def scrape_over(client: http.client.HTTPConnection) -> Scrape:
    client.request("GET", "/metrics")
    response = client.getresponse()
    assert response.status == 200
    return parse(response.read().decode())


def open_client(running: ExporterProcess) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)


def test_without_a_file_descriptor_open_connections_are_served_and_new_ones_wait(running: ExporterProcess) -> None:
    pid = running.process.pid
    with closing(open_client(running)) as served, closing(open_client(running)) as waiting:
        assert scrape_over(served).find("process_open_fds")
        with limited(pid, resource.RLIMIT_NOFILE, _STANDARD_STREAMS):
            waiting.request("GET", "/metrics")
            scrape = wait_until(
                lambda: s if (s := scrape_over(served)).value("process_max_fds") == _STANDARD_STREAMS else None
            )
            assert scrape.value(_UP) == 1
            assert {series.name for series in scrape} >= PROCESS_FAMILIES
        assert parse(waiting.getresponse().read().decode()).value(_UP) == 1
    assert running.terminate(10) == 0
    assert "Traceback" not in running.log.read_text()


def test_without_memory_for_a_thread_new_clients_are_served(running: ExporterProcess) -> None:
    pid = running.process.pid
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    with limited(pid, resource.RLIMIT_AS, size + _LITTLE_BYTES), ExitStack() as clients:
        for _ in range(_CLIENTS):
            assert scrape_over(clients.enter_context(closing(open_client(running)))).value(_UP) == 1
    assert running.terminate(10) == 0
    assert "Traceback" not in running.log.read_text()
