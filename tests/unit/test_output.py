"""Lines that a slow reader does not read: the threads that log go on."""

import logging
import threading

import pytest

from exporter.output import LineWriter
from tests.doubles.collectors import BOUND_SECONDS
from tests.doubles.exporter_process import wait_until


class Reader:
    """Reads lines, once it is allowed to."""

    def __init__(self) -> None:
        self.reads = threading.Event()
        self.asked = threading.Event()
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.asked.set()
        assert self.reads.wait(BOUND_SECONDS)
        self.lines.append(text)


def test_lines_are_written_in_order_until_the_end() -> None:
    reader = Reader()
    reader.reads.set()
    writer = LineWriter(reader.write)
    writer.start()
    for number in range(500):
        writer.write(f"{number}\n")
    writer.stop(BOUND_SECONDS)

    assert reader.lines == [f"{number}\n" for number in range(500)]


def test_lines_that_do_not_fit_are_lost_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()
    writer = LineWriter(reader.write)
    writer.start()
    writer.write("first\n")
    assert reader.asked.wait(BOUND_SECONDS)
    for number in range(1700):
        writer.write(f"{number}\n")
    writer.stop(0.1)  # there is no room for the end
    with caplog.at_level(logging.WARNING):
        reader.reads.set()
        wait_until(lambda: len(reader.lines) == 1001)

    (record,) = caplog.records
    assert record.getMessage() == "log lines lost: standard error was not read"
    assert vars(record)["fields"] == {"lines": 700}
    assert reader.lines[-1] == "999\n"
