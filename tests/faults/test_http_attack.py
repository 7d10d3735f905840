"""Another process attacks the exporter; its memory stays small, and the clients of other addresses notice nothing.

The node is the largest: a scrape is over 1 MiB.
"""

import http.client
import math
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from tests.doubles.exporter_process import ExporterProcess, exporter, wait_until

ROOT = Path(__file__).parents[2]
SECONDS = float(os.environ.get("ATTACK_SECONDS", "5"))
MIB = 1024 * 1024
MANIFEST_BYTES = 192 * MIB
PEAK_BYTES = 80 * MIB
SLOWEST_SECONDS = 1.0
ATTACKER, NEIGHBOUR = "127.0.0.2", "127.0.0.1"
PATHS = ("/metrics", "/-/healthy", "/-/ready")
GET = b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n"


def memory_bytes(running: ExporterProcess, name: str) -> int:
    """A size in `/proc/<pid>/status`."""
    text = Path(f"/proc/{running.process.pid}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExporterProcess]:
    """An exporter that can get no more memory than the limit of the manifests allows."""
    with exporter(tmp_path_factory.mktemp("attacked"), "--simulate=load", "--metrics.sets=all") as process:
        wait_until(lambda: len(process.get("/metrics")[2]) > MIB)
        room = MANIFEST_BYTES - memory_bytes(process, "VmRSS")
        limit = memory_bytes(process, "VmSize") + room
        resource.prlimit(process.process.pid, resource.RLIMIT_AS, (limit, limit))
        yield process


def seconds_of(running: ExporterProcess, path: str) -> float:
    """How long a page takes on a new connection; it must be complete."""
    began = time.monotonic()
    with closing(http.client.HTTPConnection("127.0.0.1", running.port, 10, source_address=(NEIGHBOUR, 0))) as client:
        client.request("GET", path)
        response = client.getresponse()
        assert response.status == 200
        assert response.read()
    return time.monotonic() - began


def assert_is_well(running: ExporterProcess) -> None:
    for path in PATHS:
        seconds_of(running, path)
    assert running.process.poll() is None
    assert memory_bytes(running, "VmHWM") < PEAK_BYTES
    assert "Traceback" not in running.log.read_text()


def open_client(running: ExporterProcess, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", running.port), 10, source_address=(ATTACKER, 0))
    client.sendall(sent)
    return client


@pytest.mark.parametrize("per_second", [20, 100])
def test_no_scrape_and_no_probe_fails_while_another_address_attacks(running: ExporterProcess, per_second: int) -> None:
    arguments = (str(running.port), ATTACKER, str(per_second), str(SECONDS))
    attacker = subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.http_attacker", *arguments], cwd=ROOT, stdout=subprocess.PIPE
    )
    with attacker:
        seconds = []
        while attacker.poll() is None:
            seconds += [seconds_of(running, path) for path in PATHS]
            with suppress(subprocess.TimeoutExpired):
                attacker.wait(0.02)
        assert attacker.stdout is not None
        assert int(attacker.stdout.read()) > 0

    assert sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1] < SLOWEST_SECONDS
    assert_is_well(running)


def test_64_clients_that_pipeline_and_do_not_read_cost_little_memory(running: ExporterProcess) -> None:
    with ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(open_client(running, GET * 50))
        for _ in range(5):
            assert_is_well(running)


def test_64_parallel_scrapes_are_complete_and_cost_little_memory(running: ExporterProcess) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(open_client(running, GET)) for _ in range(64)]
        for client in clients:
            response = http.client.HTTPResponse(client)
            stack.callback(response.close)
            response.begin()
            assert (response.status, len(response.read()) > MIB) == (200, True)

    assert_is_well(running)
