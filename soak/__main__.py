"""Runs the soak: `python -m soak --minutes 30`. Exits with 1 if something grew, fell or failed."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from bench.process import Process
from soak import records
from soak.disturbances import Disturbances
from soak.driver import ask
from soak.node import LASTING, soak_node
from soak.records import Measured, Record
from soak.resting import missing_series, rest
from soak.scraper import Scraper
from tests.doubles.exporter_process import clean_environment
from tests.doubles.native_build import build_nvml

_TICK_SECONDS = 0.12  # all faults in a cycle
_DISTURBED_SECONDS = 16.0
_REST_SECONDS = 8.5  # until all readings are back
_MOST_REST_SECONDS = 30.0  # a series that is missing for longer is judged as one that went
_CYCLE_SECONDS = 30.0  # with the 5.4 s of a record
_COUNTS, _COUNT_SECONDS = 20, 0.02
_LOG = "exporter.log"
_SHOWN = 40
_SHOWN_BYTES = 2000
_SECONDS_PER_MINUTE = 60


class Soak:
    """One run.

    Args:
        process: The exporter.
        driver: The socket of its driver.
        disturbances: What disturbs it.
        scraper: Scrapes it.
    """

    def __init__(self, process: Process, driver: Path, disturbances: Disturbances, scraper: Scraper) -> None:
        self._process = psutil.Process(process.pid)
        self._driver = driver
        self._disturbances = disturbances
        self._scraper = scraper
        self._started = time.monotonic()

    def records(self, cycles: int) -> Iterator[Record]:
        """A record at the end of each cycle, which is disturbed first and then at rest."""
        earlier: list[Record] = []
        for _ in range(cycles):
            begun = time.monotonic()
            while time.monotonic() < begun + _DISTURBED_SECONDS:
                time.sleep(_TICK_SECONDS)
                self._disturbances.tick()
            self._disturbances.rest()
            self._rest(begun + _DISTURBED_SECONDS + _REST_SECONDS, earlier)
            earlier.append(self._record())
            yield earlier[-1]

    def _rest(self, until: float, earlier: Sequence[Record]) -> None:
        """Rest until all series of earlier rests are back."""

        def is_incomplete() -> bool:
            return bool(missing_series(earlier, self._scraper.series()))

        rest(until, until + _MOST_REST_SECONDS, is_incomplete, self._rest_a_moment, time.monotonic)

    def _rest_a_moment(self) -> None:
        time.sleep(_TICK_SECONDS)
        self._disturbances.use_energy()

    def _record(self) -> Record:
        self._disturbances.still()
        with self._scraper.pause:
            blocks = int(ask(self._driver, "blocks"))
        handles = self._least_handles()
        self._disturbances.move()
        scraper, process = self._scraper, self._process
        return Record(
            time.monotonic() - self._started,
            Measured(process.memory_info().rss, blocks, *handles),
            scraper.series(),
            scraper.scrapes,
            scraper.failed,
            scraper.container_falls,
            scraper.other_falls,
        )

    def _least_handles(self) -> tuple[int, int]:
        """Descriptors and threads, without those of calls in progress."""
        counts = []
        for _ in range(_COUNTS):
            counts.append((self._process.num_fds(), self._process.num_threads()))
            time.sleep(_COUNT_SECONDS)
        return min(fds for fds, _ in counts), min(threads for _, threads in counts)


def main() -> None:
    """Run the soak."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long; 30 unless given")
    parser.add_argument("--tracemalloc", action="store_true", help="name what grew in the second half; much slower")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        sys.exit(_run(Path(folder), chosen.minutes, trace=chosen.tracemalloc))


def _run(folder: Path, minutes: float, *, trace: bool) -> int:
    driver = folder / "driver.sock"
    with soak_node(folder, build_nvml(folder)) as node:
        command = (sys.executable, "-m", "soak.driver", str(driver), "--web.listen-address=127.0.0.1:{port}")
        environment = {**clean_environment(), **node.nvidia.environment}
        with (
            Process((*command, *node.flags), environment, folder / _LOG, "/-/ready") as process,
            Scraper(process.port, LASTING) as scraper,
        ):
            soak = Soak(process, driver, Disturbances(node, process.pid), scraper)
            cycles = max(1, round(minutes * _SECONDS_PER_MINUTE / _CYCLE_SECONDS))
            found = _recorded(soak, driver, cycles, trace=trace)
            return _report(found, scraper, process.log.read_text(encoding="utf-8"))


def _recorded(soak: Soak, driver: Path, cycles: int, *, trace: bool) -> list[Record]:
    found: list[Record] = []
    if trace:
        ask(driver, "trace")
    for record in soak.records(cycles):
        found.append(record)
        _show(f"{records.line(record)}\n")
        if trace and len(found) == cycles // 2:
            ask(driver, "mark")
    if trace:
        _show(f"{ask(driver, 'growth')}\n")
    return found


def _report(found: list[Record], scraper: Scraper, log: str) -> int:
    _show(f"{records.table(found)}\n{records.slopes(found)}")
    for failure in scraper.failures:
        _show(f"failed: {failure}\n")
    for fall in scraper.fallen:
        _show(f"fell: {fall.series} from {fall.before} to {fall.now}\n")
    for series in records.changed_series(found)[:_SHOWN]:
        _show(f"came or went: {series}\n")
    bad = records.problems(found)
    _, traceback, raised = log.partition("Traceback")
    if traceback:
        bad.append(f"the log has a traceback: {raised[:_SHOWN_BYTES]}")
    _show("".join(f"{problem}\n" for problem in bad) or "nothing grew, fell or failed\n")
    return 1 if bad else 0


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
