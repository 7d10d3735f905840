"""A measured real process: its CPU time, its memory, and the cost of a scrape."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

import psutil

from bench.figures import above_idle

PROMETHEUS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "Accept-Encoding": "gzip"}

_START_SECONDS = 60.0
_RETRY_SECONDS = 0.002
_STOP_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
_OK = 200


class BenchError(Exception):
    """A process could not be measured. The text has its output."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A body and how long it took, from sending the request to the last byte."""

    body: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class ScrapeCost:
    """The cost of a scrape.

    Attributes:
        cpu_seconds: CPU time of the process for the scrape only.
        latency_seconds: From sending the request to the last byte, the median.
        size: Bytes of the body as sent.
    """

    cpu_seconds: float
    latency_seconds: float
    size: int


class Process:
    """Starts a server and waits until it answers 200.

    Args:
        command: The command line; `{port}` in it is replaced by the port.
        environment: All its environment variables.
        log: The file for its output.
        ready_path: The page that answers 200 once it has its first readings.

    Attributes:
        ready_seconds: From its start to that answer.
        ready_cpu_seconds: Its CPU time at that answer.
        ready_resident_bytes: Its memory at that answer.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, ready_path: str) -> None:
        self.log = log
        self._port = _free_port()
        started = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the commands of this package
                [argument.format(port=self._port) for argument in command],
                env=dict(environment),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        try:
            self._wait(ready_path, started + _START_SECONDS)
        except BenchError:
            self._end()
            raise
        self.ready_seconds = time.monotonic() - started
        self.ready_cpu_seconds = self.cpu_seconds()
        self.ready_resident_bytes = self.resident_bytes()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far, including ended ones, to the nanosecond."""
        # The clock id of another process's CPU time, as in clock_getcpuclockid(3), which the standard library lacks.
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def resident_bytes(self) -> int:
        """Its resident memory, including pages shared with other processes."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def idle_rate(self, seconds: float) -> float:
        """CPU seconds per second that it spends without scrapes."""
        before, started = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / (time.monotonic() - started)

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """A page; the connection is kept where the server allows it, as Prometheus does.

        Raises:
            BenchError: The status is not 200.
        """
        started = time.perf_counter()
        self._connection.request("GET", path, headers=dict(headers))
        response = self._connection.getresponse()
        body = response.read()
        seconds = time.perf_counter() - started
        if response.status != _OK:
            raise BenchError(f"{path} answered {response.status}")
        return Answer(body, seconds)

    def scraped(self, headers: Mapping[str, str], idle_rate: float, scrapes: int) -> ScrapeCost:
        """The cost of one of several scrapes.

        Args:
            headers: The format and coding to request.
            idle_rate: CPU seconds per second that it spends without scrapes.
            scrapes: Number of scrapes.
        """
        before, started = self.cpu_seconds(), time.monotonic()
        answers = [self.get("/metrics", headers) for _ in range(scrapes)]
        spent, elapsed = self.cpu_seconds() - before, time.monotonic() - started
        latency_seconds = median(answer.seconds for answer in answers)
        return ScrapeCost(above_idle(spent, elapsed, idle_rate) / scrapes, latency_seconds, len(answers[-1].body))

    def reconnect(self) -> None:
        """Use a new connection from now on: a server closes a connection that was idle for minutes."""
        self._connection.close()

    def series(self) -> int:
        """Number of samples of a scrape."""
        return series_of(self.get("/metrics", {}).body)

    def _wait(self, path: str, deadline: float) -> None:
        while not self._answers(path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"does not answer:\n{self.log.read_text(encoding='utf-8', errors='replace')}")
            time.sleep(_RETRY_SECONDS)

    def _answers(self, path: str) -> bool:
        try:
            self.get(path, {})
        except (OSError, http.client.HTTPException, BenchError):
            self._connection.close()
            return False
        return True

    def _end(self) -> None:
        self._connection.close()
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """A way to scrape a process.

    Attributes:
        process: The process.
        headers: The format and coding to request.
        idle_rate: CPU seconds per second that the process spends without scrapes.
    """

    process: Process
    headers: Mapping[str, str]
    idle_rate: float


def scrape_costs(ways: Sequence[ScrapeTarget], rounds: int, scrapes: int) -> list[ScrapeCost]:
    """Scrape in every way in turn, round by round, so that noise affects all of them.

    Args:
        ways: What is scraped and how.
        rounds: How many times the CPU time of each way is measured.
        scrapes: Number of scrapes in each round, for each way.

    Returns:
        The medians of the rounds, for each way.
    """
    for way in ways:
        way.process.reconnect()
    taken = [[way.process.scraped(way.headers, way.idle_rate, scrapes) for way in ways] for _ in range(rounds)]
    return [
        ScrapeCost(median(r.cpu_seconds for r in costs), median(r.latency_seconds for r in costs), costs[-1].size)
        for costs in zip(*taken, strict=True)
    ]


def exporter(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """The exporter of this tree as a process, at its default cadences unless the arguments say otherwise."""
    command = (sys.executable, "-m", "exporter", "--web.listen-address=127.0.0.1:{port}", *arguments)
    return Process(command, {**_environment(), **environment}, log, "/-/ready")


def series_of(exposition: bytes) -> int:
    """Number of samples in an exposition."""
    return sum(1 for line in exposition.splitlines() if line and not line.startswith(b"#"))


def _environment() -> dict[str, str]:
    """This process's environment variables, without those that configure the exporter.

    It may write compiled modules: an exporter that compiles all of them at each start takes half a second more.
    """
    without = ("ACCELERATOR_", "NODE_NAME", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(without)}


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])
