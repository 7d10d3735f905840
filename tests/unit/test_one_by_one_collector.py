"""A collector of another package that reads its devices one by one, as in docs/adding-a-collector.md, and is polled."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from collectors.contract import Reading, Reason, Sample
from collectors.device_calls import DeviceCalls, StuckError
from collectors.metric import Cadence
from exporter.assembler import Assembler, AssemblerThread, Clocks, Latest
from exporter.collector_state import Limits
from exporter.poller import Poller
from exporter.snapshot import Snapshot
from tests.doubles.collectors import BOUND_SECONDS, gpu, utilization
from tests.doubles.exporter_process import wait_until

INTERVALS = dict.fromkeys(Cadence, 0.02)
LIMITS = Limits(BOUND_SECONDS, dict.fromkeys(Cadence, 3.0))
DEADLINE = 2.0  # others are read at once
UUIDS = ("gpu-a", "gpu-b", "gpu-c")


class OneByOne:
    """Reads each device by a call of its own; the utilization counts the calls, from 0 to 1."""

    def __init__(self) -> None:
        self._calls = DeviceCalls("acme-devices", DEADLINE)
        self.hung: frozenset[str] = frozenset()
        self.released = threading.Event()
        self.counts = dict.fromkeys(UUIDS, 0)
        self.shut_down = threading.Event()

    def read(self, _: frozenset[Cadence]) -> Reading:
        samples, stuck = [], set()
        for uuid in UUIDS:
            try:
                samples.append(self._calls.run(uuid, partial(self._read_one, uuid)))
            except StuckError:
                stuck.add(uuid)
        return Reading(tuple(map(gpu, UUIDS)), samples=tuple(samples), stuck=frozenset(stuck))

    def close(self) -> None:
        self._calls.when_none_is_out(self.shut_down.set)

    def _read_one(self, uuid: str) -> Sample:
        self.counts[uuid] += 1
        if uuid in self.hung:
            assert self.released.wait(BOUND_SECONDS), "never released"
        return utilization(uuid, self.counts[uuid] % 100 / 100)


@contextmanager
def exporting(collector: OneByOne) -> Iterator[Latest]:
    """The snapshots that the exporter makes of it."""
    latest = Latest()
    assembler = AssemblerThread(
        Assembler(["acme"], (), LIMITS, Clocks(time.monotonic, time.time)), latest, time.monotonic
    )
    poller = Poller("acme", collector, INTERVALS, time.monotonic, assembler.report)
    assembler.start()
    poller.start()
    try:
        yield latest
    finally:
        collector.released.set()
        poller.stop()
        assert poller.join(BOUND_SECONDS)
        assembler.stop(BOUND_SECONDS)


def exported(snapshot: Snapshot) -> set[str]:
    return {sample.device_uuid for sample in snapshot.samples}


def test_the_devices_that_hang_expire_and_the_others_go_on() -> None:
    collector = OneByOne()
    with exporting(collector) as latest:
        wait_until(lambda: exported(latest.snapshot) == {*UUIDS})
        collector.hung = frozenset({"gpu-b"})
        wait_until(lambda: exported(latest.snapshot) == {"gpu-a", "gpu-c"})
        during = latest.snapshot
        calls = dict(collector.counts)
        wait_until(lambda: collector.counts["gpu-a"] > calls["gpu-a"] + 3)
        assert collector.counts["gpu-b"] == calls["gpu-b"]
        [health] = during.collectors
        assert (health.up, health.late, set(health.stuck), health.errors[Reason.LATE]) == (True, False, {"gpu-b"}, 1)
        assert set(during.devices) == {*UUIDS}

        collector.hung = frozenset()
        collector.released.set()
        wait_until(lambda: exported(latest.snapshot) == {*UUIDS} and not latest.snapshot.collectors[0].stuck)
        assert latest.snapshot.collectors[0].errors[Reason.LATE] == 1
    assert collector.shut_down.is_set()
