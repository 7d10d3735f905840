"""Runs the whole bench: `python -m bench` prints the report; with `--write` it also writes docs/performance.md."""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import budget, comparing, running
from bench.figures import Table
from bench.inside import inside
from bench.machine import machine
from bench.new_snapshots import new_snapshots
from bench.polling import polling
from bench.reading_files import reading_files
from bench.scrapes import scrapes
from bench.series import series
from bench.starting import starting
from tests.doubles.native_build import build_nvml

_DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"

_HEAD = """\
# Performance

The cost of the exporter, as measured by one run of `make bench ARGS=--write`. `make bench` prints the same tables for
the machine it runs on; it takes about eight minutes. No test asserts any of these figures.

{machine}
The machine may be shared with others, so the figures are medians of repeated measurements, and CPU time instead of wall
time where possible. CPU time also depends on what else runs: in another run on this machine the same row was up to 2.5
times as high. Compare rows that were measured in turns or at the same time, as the tables say, and not different runs.
If a row that does more work shows less time, this is noise. There was no accelerator: NVML is a test double that
returns at once.
"""


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--write", action="store_true", help="also write docs/performance.md")
    written = parser.parse_args().write
    logging.disable()  # hides the log of simulated faults
    parts = [_HEAD.format(machine=machine())]
    sys.stdout.write(f"{parts[0]}\n")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for part in _parts(Path(folder)):
            parts.append(part)
            sys.stdout.write(f"{part}\n")
            sys.stdout.flush()
    if written:
        _DOCUMENT.write_text("\n".join(parts), encoding="utf-8")


def _parts(folder: Path) -> Iterator[str]:
    """Each part of the report as soon as it is measured."""
    library = build_nvml(folder)
    costs, beside = running.run(folder, library)
    by_name = {cost.name: cost for cost in costs}
    yield from (table.markdown() for table in comparing.tables(by_name))
    tables: tuple[Callable[[], Table], ...] = (
        series,
        lambda: scrapes(folder),
        lambda: new_snapshots(folder, library),
        inside,
        lambda: polling(library),
        reading_files,
        lambda: starting(folder, library),
    )
    for table in tables:
        yield table().markdown()
    compared = {*running.OF_DEVICES.values(), *running.OF_PODS.values()} - {running.PLAIN}
    yield from (table.markdown() for table in budget.tables([each for each in costs if each.name not in compared]))
    yield budget.beside_text(beside)


if __name__ == "__main__":
    main()
