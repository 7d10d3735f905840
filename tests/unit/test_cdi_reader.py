"""The thread that reads CDI files: when it reads, and what it answers meanwhile."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from exporter.attribution.cdi_files import CdiMissing
from exporter.attribution.cdi_reader import CdiReader
from exporter.attribution.cdi_specs import CdiAnswer
from tests.doubles.claims import claimed
from tests.doubles.collectors import BOUND_SECONDS
from tests.doubles.exporter_process import wait_until

CLAIMED = claimed("gpu-0", "gpu.acme.example")
NOT_YET_READ = CdiAnswer(missing=CdiMissing.NOT_YET_READ)
FOUND = CdiAnswer(("/dev/acme0",))


@dataclass(slots=True)
class Files:
    """CDI files in memory.

    Attributes:
        written: What they say about every device.
        read: What was read of it.
        refreshed: Released each time they are read.
        hang: Reading waits until it is set.
        error: Raised by the next reading.
    """

    written: CdiAnswer = FOUND
    read: CdiAnswer = NOT_YET_READ
    refreshed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    hang: threading.Event | None = None
    error: Exception | None = None

    def refresh(self) -> bool:
        """Read them."""
        self.refreshed.release()
        if self.hang is not None:
            assert self.hang.wait(BOUND_SECONDS)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        before, self.read = self.read, self.written
        return self.read != before

    def nodes(self, cdi_devices: Sequence[str], device: str) -> CdiAnswer:
        """What was read about a device that is listed."""
        assert any(name.endswith(device) for name in cdi_devices)
        return self.read


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def changes() -> threading.Semaphore:
    return threading.Semaphore(0)


@pytest.fixture
def reader(files: Files, changes: threading.Semaphore) -> Iterator[CdiReader]:
    made = CdiReader(files, changes.release)
    yield made
    if files.hang is not None:
        files.hang.set()
    made.stop()


def ask(reader: CdiReader) -> CdiAnswer:
    return reader.nodes(CLAIMED.cdi_devices, CLAIMED.device)


def happened(what: threading.Semaphore) -> bool:
    return what.acquire(timeout=BOUND_SECONDS)


def test_reads_only_when_something_is_asked_and_answers_afterwards(
    reader: CdiReader, changes: threading.Semaphore
) -> None:
    before = threading.active_count()
    reader.follow([CLAIMED])
    assert threading.active_count() == before
    assert ask(reader) == NOT_YET_READ
    assert happened(changes)
    assert ask(reader) == FOUND


def test_every_answer_of_the_kubelet_reads_again_and_only_a_change_is_reported(
    reader: CdiReader, files: Files, changes: threading.Semaphore
) -> None:
    ask(reader)
    assert happened(changes)
    assert happened(files.refreshed)
    reader.follow([CLAIMED])
    assert happened(files.refreshed)
    files.written = CdiAnswer(("/dev/acme1",))
    reader.follow([CLAIMED])
    assert happened(changes)
    assert ask(reader) == files.written
    assert not changes.acquire(blocking=False)


def test_a_reading_that_is_asked_for_is_reported_though_nothing_has_changed(
    reader: CdiReader, changes: threading.Semaphore
) -> None:
    ask(reader)
    assert happened(changes)
    for _ in range(2):
        reader.read_again()
        assert happened(changes)
    assert ask(reader) == FOUND


def test_what_is_missing_is_searched_again_without_an_answer_of_the_kubelet(
    reader: CdiReader, files: Files, changes: threading.Semaphore
) -> None:
    files.written = CdiAnswer(missing=CdiMissing.NOT_FOUND)
    ask(reader)
    assert happened(changes)
    assert ask(reader) == files.written
    files.written = FOUND
    assert happened(changes)
    assert ask(reader) == FOUND


def test_nothing_is_read_while_no_claims_are_listed(
    reader: CdiReader, files: Files, changes: threading.Semaphore
) -> None:
    ask(reader)
    assert happened(changes)
    assert happened(files.refreshed)
    reader.follow([])
    reader.stop()
    assert not files.refreshed.acquire(blocking=False)


def test_files_that_cannot_be_read_in_time_delay_no_answer(
    reader: CdiReader, files: Files, changes: threading.Semaphore
) -> None:
    files.hang = threading.Event()
    ask(reader)
    assert happened(files.refreshed)
    assert ask(reader) == NOT_YET_READ
    files.hang.set()
    assert happened(changes)
    assert ask(reader) == FOUND


def test_a_bug_ends_one_reading_only(
    reader: CdiReader, files: Files, changes: threading.Semaphore, caplog: pytest.LogCaptureFixture
) -> None:
    files.error = RuntimeError("a bug")
    ask(reader)
    wait_until(lambda: "please report it" in caplog.text)
    reader.follow([CLAIMED])
    assert happened(changes)
    assert ask(reader) == FOUND


def test_without_a_thread_nothing_is_found_until_a_later_answer_of_the_kubelet(
    files: Files, changes: threading.Semaphore, caplog: pytest.LogCaptureFixture
) -> None:
    refused: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if len(refused) < 2:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        thread.start()

    reader = CdiReader(files, changes.release, start)
    for _ in range(3):
        assert ask(reader) == NOT_YET_READ
    assert len(refused) == 1
    reader.follow([CLAIMED])
    assert ask(reader) == NOT_YET_READ
    reader.follow([CLAIMED])
    assert happened(changes)
    assert ask(reader) == FOUND
    reader.stop()
    assert caplog.text.count("no thread can be started") == 1


def test_nothing_is_started_or_reported_after_the_end(reader: CdiReader, changes: threading.Semaphore) -> None:
    reader.stop()
    reader.stop()
    assert ask(reader) == NOT_YET_READ
    assert not changes.acquire(blocking=False)
