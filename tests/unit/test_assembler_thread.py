"""The assembler's thread in real time, also together with a poller."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from collectors.contract import Reading, Reason
from exporter.assembler import Assembler, AssemblerThread, Clocks, Latest
from exporter.poller import Poller
from exporter.snapshot import Snapshot
from tests.doubles.collectors import (
    BOUND_SECONDS,
    INTERVALS,
    LIMITS,
    Hang,
    ScriptedCollector,
    ended,
    gpu,
    started,
    utilization,
)
from tests.doubles.exporter_process import wait_until

USED = Reading((gpu("gpu-a"),), samples=(utilization("gpu-a", 0.5),))


@contextmanager
def assembling(assembler: Assembler, latest: Latest) -> Iterator[AssemblerThread]:
    thread = AssemblerThread(assembler, latest, time.monotonic)
    thread.start()
    try:
        yield thread
    finally:
        thread.stop(BOUND_SECONDS)


def real_time(*collectors: str) -> Assembler:
    return Assembler(collectors, (), LIMITS, Clocks(time.monotonic, time.time))


def test_a_snapshot_is_made_after_every_report() -> None:
    latest = Latest()
    with assembling(real_time("acme"), latest) as thread:
        thread.report(ended(time.monotonic(), USED))
        snapshot = wait_until(lambda: latest.snapshot if latest.snapshot.ready else None, BOUND_SECONDS)

    assert list(snapshot.devices) == ["gpu-a"]


def test_a_device_that_was_listed_once_counts_as_seen_after_its_loss() -> None:
    latest = Latest()
    with assembling(real_time("acme"), latest) as thread:
        thread.report(ended(time.monotonic(), Reading(())))
        wait_until(lambda: latest.snapshot.ready, BOUND_SECONDS)
        assert not latest.device_seen
        thread.report(ended(time.monotonic(), USED))
        thread.report(ended(time.monotonic(), Reading(())))
        wait_until(lambda: latest.device_seen and not latest.snapshot.devices, BOUND_SECONDS)

    assert latest.device_seen


def test_the_last_event_is_not_kept() -> None:
    event = ended(time.monotonic(), USED)
    alone = sys.getrefcount(event)
    latest = Latest()
    with assembling(real_time("acme"), latest) as thread:
        thread.report(event)
        wait_until(lambda: latest.snapshot.ready, BOUND_SECONDS)
        wait_until(lambda: sys.getrefcount(event) == alone, BOUND_SECONDS)


def test_snapshots_are_made_without_reports() -> None:
    latest = Latest()
    with assembling(real_time("acme"), latest) as thread:
        thread.report(started(time.monotonic() - 60))
        wait_until(lambda: latest.snapshot.collectors and latest.snapshot.collectors[0].late, BOUND_SECONDS)
        made_at = latest.made_at
        wait_until(lambda: latest.made_at > made_at, BOUND_SECONDS)


def test_reports_before_the_end_are_applied() -> None:
    latest = Latest()
    with assembling(real_time("acme"), latest) as thread:
        for _ in range(50):
            thread.report(ended(time.monotonic(), USED))

    assert latest.snapshot.ready


class BrokenOnce(Assembler):
    """Fails at the first snapshot, and works from the second on."""

    broke = False

    def snapshot(self) -> Snapshot:
        if not self.broke:
            self.broke = True
            raise ZeroDivisionError
        return super().snapshot()


def test_bug_in_the_assembler_is_logged_and_does_not_end_its_thread(caplog: pytest.LogCaptureFixture) -> None:
    latest = Latest()
    clock = time.monotonic
    with assembling(BrokenOnce(["acme"], (), LIMITS, Clocks(clock, time.time)), latest) as thread:
        thread.report(ended(clock(), USED))
        snapshot = wait_until(lambda: latest.snapshot if latest.snapshot.ready else None, BOUND_SECONDS)

    assert list(snapshot.devices) == ["gpu-a"], "the event before the bug must not be lost"
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage().startswith("snapshot failed")
    assert record.exc_info is not None


def test_hung_collector_is_late_and_recovers() -> None:
    """Poller and assembler together, in real time."""
    hang = Hang(USED)
    collector = ScriptedCollector(USED, hang, USED)
    latest = Latest()
    limits = LIMITS._replace(deadline_seconds=0.2)
    with assembling(Assembler(["acme"], (), limits, Clocks(time.monotonic, time.time)), latest) as thread:
        intervals = dict.fromkeys(INTERVALS, 0.01)
        poller = Poller("acme", collector, intervals, time.monotonic, thread.report)
        poller.start()
        wait_until(lambda: latest.snapshot.ready and latest.snapshot.collectors[0].late, BOUND_SECONDS)
        hang.released.set()
        wait_until(lambda: latest.snapshot.collectors[0].up, BOUND_SECONDS)
        poller.stop()
        assert poller.join(BOUND_SECONDS)

    assert latest.snapshot.collectors[0].errors[Reason.LATE] >= 1
    assert not collector.overlapped


def test_one_thread_makes_all_snapshots() -> None:
    threads: set[int] = set()

    class Watched(Assembler):
        def snapshot(self) -> Snapshot:
            threads.add(threading.get_ident())
            return super().snapshot()

    latest = Latest()
    with assembling(Watched(["acme"], (), LIMITS, Clocks(time.monotonic, time.time)), latest) as thread:
        thread.report(ended(time.monotonic(), USED))
        wait_until(lambda: latest.snapshot.ready, BOUND_SECONDS)

    assert len(threads) == 1
    assert threading.get_ident() not in threads
