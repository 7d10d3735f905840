"""The cost of a scrape that is the first of its snapshot, as scrapes are; nvitop-exporter takes turns with it."""

import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import nvitop
from bench.figures import Table, kilobytes
from bench.nodes import doubled, sliced, whole
from bench.process import PROMETHEUS, BenchError, Process, exporter

_ROUNDS = 60
_PAUSE_SECONDS = 0.5
_SETTLE_SECONDS = 0.01  # after the last byte, until the server waits again
_POLLS = ("--poll.fast-interval=500ms",)
_PODS = 250
_AGAIN = 20
_TEXT = {"Accept": "text/plain;version=0.0.4"}
_TIMEOUT_SECONDS = 10.0
_RECEIVED_BYTES = 64 * 1024

_ABOUT = """\
Real processes that read every {interval} s are scraped in turns, {rounds} rounds. "First" is the first scrape of a
snapshot, alone after a pause, when the caches of the CPU hold something else: this alone makes it several times as
expensive as one in a loop. "Again" is one of {again} scrapes of the same snapshot in a loop. CPU is that of the whole
process from just before the request to 10 ms after the last byte; latency is the wall time from the request (of a new
connection: from connecting) to the last byte. All are medians of the rounds, on a machine that others use too. "Bytes
only" is a process that does nothing but send the same body. nvitop-exporter is measured if it is installed, in the
environment of the bench."""


@dataclass(slots=True)
class _Way:
    """A way to scrape a process, and what was measured.

    Attributes:
        name: Its name in the report.
        process: The process.
        headers: The headers of a request.
        keeps: Whether its connection is kept.
        client: The kept connection.
        body: The last body.
        first: CPU and wall seconds of each first scrape of a snapshot.
        again: The same for those that follow.
    """

    name: str
    process: Process
    headers: Mapping[str, str]
    keeps: bool = True
    client: socket.socket | None = None
    body: bytes = b""
    first: list[tuple[float, float]] = field(default_factory=list)
    again: list[tuple[float, float]] = field(default_factory=list)

    def measure(self) -> None:
        """Scrape a snapshot, then the same one again."""
        self.first.append(self._scrape(1))
        self.again.append(self._scrape(_AGAIN))

    def _scrape(self, times: int) -> tuple[float, float]:
        before, started = self.process.cpu_seconds(), time.perf_counter()
        for _ in range(times):
            self.body = self.get()
        seconds = time.perf_counter() - started
        time.sleep(_SETTLE_SECONDS)
        return (self.process.cpu_seconds() - before) / times, seconds / times

    def get(self) -> bytes:
        """One scrape."""
        client = self.client or socket.create_connection(("127.0.0.1", self.process.port), _TIMEOUT_SECONDS)
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        client.sendall(f"GET /metrics HTTP/1.1\r\nHost: node\r\n{fields}\r\n".encode())
        body = _body(client)
        if self.keeps:
            self.client = client
        else:
            client.close()
        return body

    def row(self) -> tuple[str, ...]:
        """Its row of the table."""
        measured = [median(column) for taken in (self.first, self.again) for column in zip(*taken, strict=True)]
        return (self.name, *(f"{1000 * seconds:.2f} ms" for seconds in measured), kilobytes(len(self.body)))


def _body(client: socket.socket) -> bytes:
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _some(client)
    head = bytes(received[:end]).lower()
    length = int(head.partition(b"content-length:")[2].split()[0])
    while len(received) < end + 4 + length:
        received += _some(client)
    return bytes(received[end + 4 :])


def _some(client: socket.socket) -> bytes:
    received = client.recv(_RECEIVED_BYTES)
    if not received:
        raise BenchError("the connection was closed before the end of the response")
    return received


def new_snapshots(folder: Path, library: Path) -> Table:
    """The table.

    Args:
        folder: For scenarios, bodies and logs.
        library: The folder of the NVML double.
    """
    with ExitStack() as stack:
        ways = _ours(stack, folder, library)
        ways += [_bare(stack, folder, number, way) for number, way in enumerate(ways)]
        ways += _theirs(stack, folder, library)
        for _ in range(_ROUNDS):
            time.sleep(_PAUSE_SECONDS)
            for way in ways:
                way.measure()
    about = _ABOUT.format(interval=_PAUSE_SECONDS, rounds=_ROUNDS, again=_AGAIN)
    header = ("Process", "CPU, first", "Latency, first", "CPU, again", "Latency, again", "Bytes")
    return Table("A scrape of a new snapshot", about, header, [way.row() for way in ways])


def _ours(stack: ExitStack, folder: Path, library: Path) -> list[_Way]:
    kept, new = (_doubled(stack, folder, library, name) for name in ("kept", "new"))
    small, large = (_simulated(stack, folder, name, text) for name, text in (("h100", whole(8)), ("mig", sliced(16))))
    all_small, all_large = (
        _simulated(stack, folder, f"views-{name}", text, "--metrics.views=all")
        for name, text in (("h100", whole(8)), ("mig", sliced(16)))
    )
    return [
        _Way("8 x H100, 8 pods, simulated, OpenMetrics, gzip", small, PROMETHEUS),
        _Way("8 x H100, 8 pods, simulated, all views, OpenMetrics, gzip", all_small, PROMETHEUS),
        _Way("8 x H100, 250 pods, OpenMetrics, gzip", kept, PROMETHEUS),
        _Way("8 x H100, 250 pods, text, new connection", new, _TEXT, keeps=False),
        _Way("16 x 7 MIG, 112 pods, simulated, OpenMetrics, gzip", large, PROMETHEUS),
        _Way("16 x 7 MIG, 112 pods, simulated, all views, OpenMetrics, gzip", all_large, PROMETHEUS),
    ]


def _doubled(stack: ExitStack, folder: Path, library: Path, name: str) -> Process:
    node = stack.enter_context(doubled(library, 8, partitioned=False, pods=_PODS))
    return stack.enter_context(exporter((*node.flags, *_POLLS), node.environment, folder / f"new-{name}.log"))


def _simulated(stack: ExitStack, folder: Path, name: str, scenario: str, *flags: str) -> Process:
    file = folder / f"new-{name}.yaml"
    file.write_text(scenario, encoding="utf-8")
    return stack.enter_context(exporter((f"--simulate={file}", *_POLLS, *flags), {}, file.with_suffix(".log")))


def _bare(stack: ExitStack, folder: Path, number: int, way: _Way) -> _Way:
    file = folder / f"new-{number}.body"
    file.write_bytes(way.get())
    command = (sys.executable, "-m", "bench.bare", "{port}", str(file))
    process = stack.enter_context(Process(command, {}, file.with_suffix(".log"), "/"))
    process.reconnect()  # it serves one connection at a time
    return _Way(f"{way.name}, bytes only", process, {}, keeps=way.keeps)


def _theirs(stack: ExitStack, folder: Path, library: Path) -> list[_Way]:
    programs = Path(sys.prefix) / "bin"
    if not (programs / nvitop.PACKAGE).exists():
        return []
    node = stack.enter_context(doubled(library, 8, partitioned=False))
    process = stack.enter_context(nvitop.start(programs, node.environment, folder / "new-nvitop.log"))
    return [_Way(f"{nvitop.PACKAGE}, 8 x H100, text, new connection", process, _TEXT, keeps=False)]
