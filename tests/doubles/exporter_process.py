"""The real exporter as a real process, queried over real HTTP."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from prometheus_client.parser import text_string_to_metric_families

_T = TypeVar("_T")
_GENEROUS_SECONDS = 30.0
# The series about the exporter's own process.
PROCESS_FAMILIES = frozenset(
    {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
        "process_max_fds",
    }
)
_ADDRESS = re.compile(r"address=\S*?:(\d+)\b")


def wait_until(ask: Callable[[], _T | None], within_seconds: float = _GENEROUS_SECONDS) -> _T:
    """Call until the result is neither None nor False; fail after a generous time, with the last result."""
    deadline = time.monotonic() + within_seconds
    while True:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < deadline, f"no result within {within_seconds} s; last result: {answer!r}"
        time.sleep(0.05)


class Series(NamedTuple):
    """One sample of a scrape."""

    name: str
    labels: dict[str, str]
    value: float


class Scrape(list[Series]):
    """All samples of one scrape."""

    def find(self, name: str, **labels: str) -> list[Series]:
        """The samples of a family that have these labels."""
        return [s for s in self if s.name == name and labels.items() <= s.labels.items()]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the only such sample; None when there is none."""
        found = self.find(name, **labels)
        assert len(found) <= 1, found
        return found[0].value if found else None


class ExporterProcess:
    """A running exporter.

    Args:
        arguments: Flags in addition to the listen address.
        environment: Variables in addition to the test's own.
        log: Receives its standard error.
        within: A command that runs it, such as one that creates a separate namespace.
    """

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], log: Path, within: Sequence[str] = ()
    ) -> None:
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*within, sys.executable, "-m", "exporter", "--web.listen-address=127.0.0.1:0", *arguments],
                env={**clean_environment(), **environment},
                stderr=stderr,
                stdout=subprocess.DEVNULL,
            )
        self.port = int(wait_until(self._port))

    def _port(self) -> str | None:
        assert self.process.poll() is None, self.log.read_text()
        found = _ADDRESS.search(self.log.read_text())
        return found.group(1) if found else None

    @property
    def address(self) -> str:
        """Host and port it listens on."""
        return f"127.0.0.1:{self.port}"

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a page; an error status does not raise."""
        request = urllib.request.Request(f"http://{self.address}{path}", headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, dict(response.headers), response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def scrape(self) -> Scrape:
        """The samples served now. The status is always 200."""
        status, _, body = self.get("/metrics")
        assert status == 200
        return parse(body.decode())

    def terminate(self, within_seconds: float) -> int:
        """Send SIGTERM and return the exit code; fails if the process does not end in time."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(_GENEROUS_SECONDS)


def parse(text: str) -> Scrape:
    """The samples of an exposition."""
    return Scrape(
        Series(sample.name, dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


def clean_environment() -> dict[str, str]:
    """The test's environment without variables that configure an exporter."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ACCELERATOR_EXPORTER_") and name != "NODE_NAME"
    }


def run_once(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends and return its code and output."""
    return subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        env={**clean_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=_GENEROUS_SECONDS,
        check=False,
    )


@contextmanager
def exporter(
    tmp_path: Path, *arguments: str, environment: Mapping[str, str] | None = None, within: Sequence[str] = ()
) -> Iterator[ExporterProcess]:
    """Start the exporter, yield it, end it."""
    with ExporterProcess(list(arguments), environment or {}, tmp_path / "exporter.log", within) as process:
        yield process
