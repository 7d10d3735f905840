"""Rules for faults: a bench can break its hardware, restore it and remove it.

A test class inherits `TroubleRules`, and `AbsenceRules` if its collector is installed, and has a fixture `bench`.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from collectors.contract import AbsentError, Collector, CollectorError, CollectorSpec, Reading, Reason
from collectors.metric import Cadence, Kind, Metric, Subject
from exporter.collector_state import CollectorState, Limits
from exporter.poller import CallEnded
from exporter.validation import Accepted
from tests.contract.bench import Bench, Trouble
from tests.contract.hosted import HostedCollector
from tests.contract.reading_rules import (
    ALL,
    Key,
    ReadingRules,
    attempt,
    counters,
    counters_of,
    eventually_read,
    identities,
    keeps_no_memory,
    keeps_the_contract,
)
from tests.doubles.exporter_process import wait_until

_READS_IN_TROUBLE = 5
_NEVER_LATE = Limits(1e9, dict.fromkeys(Cadence, 1e9))


def unshown(spec: CollectorSpec) -> set[tuple[Metric, bool]]:
    """The rows that a collector must report, each with whether it belongs to partitions."""
    of_devices = {(row, False) for row in spec.metrics if not row.opt_in(Subject.DEVICE)}
    return of_devices | {(row, True) for row in spec.partition_metrics if not row.opt_in(Subject.PARTITION)}


def shown(reading: Reading) -> set[tuple[Metric, bool]]:
    """The rows that one subject reports, or that all report as unsupported."""
    devices = {(device.uuid, "") for device in reading.devices}
    partitions = {(partition.device_uuid, partition.uuid) for partition in reading.partitions}
    found = {(sample.metric, bool(sample.partition_uuid)) for sample in reading.samples}
    for gap in reading.unsupported:
        same = {(g.device_uuid, g.partition_uuid) for g in reading.unsupported if g.metric == gap.metric}
        found |= {(gap.metric, cut) for cut, subjects in ((False, devices), (True, partitions)) if same >= subjects}
    return found


class TroubleRules(ReadingRules):
    """Rules that every collector must meet on a bench, in addition to the rules for readings."""

    def test_every_row_is_reported_or_unsupported(self, bench: Bench) -> None:
        """Optional rows are excluded. Some rows need a second reading or an event."""
        collector = bench.start()
        missing = unshown(bench.spec)
        first = collector.read(ALL)
        assert len(first.devices) > 1, "a bench needs at least two devices"
        has, promises = bool(first.partitions), bool(bench.spec.partition_metrics)
        assert has == promises, f"partitions on the bench: {has}, rows of partitions in the specification: {promises}"
        missing -= shown(first)

        def nothing_is_missing() -> bool:
            bench.pass_time(1)
            missing.difference_update(shown(collector.read(ALL)))
            return not missing

        for _ in range(20):
            if nothing_is_missing():
                return
            time.sleep(0.1)
        raise AssertionError(f"neither reported nor unsupported: {sorted(row.stem for row, _ in missing)}")

    def test_two_machines_share_no_id(self, bench: Bench) -> None:
        bench.forget_ids()
        one, same, other = (set(identities(bench.start(name).read(ALL))) for name in ("one", "one", "other"))
        assert one == same, "the ids changed after a restart on the same machine"
        assert len(one) > 1, "a bench needs at least two devices"
        assert one & other == set(), "two machines share an id"

    @pytest.mark.parametrize("trouble", sorted(set(Trouble) - {Trouble.HANG}))
    def test_collector_recovers_from_a_fault(self, bench: Bench, trouble: Trouble) -> None:
        skip_if_impossible(bench, trouble)
        collector = bench.start()
        healthy = collector.read(ALL)
        bench.pass_time(1)
        bench.inject(trouble)
        outcomes = [attempt(collector) for _ in range(_READS_IN_TROUBLE)]
        for reading in readings(outcomes):
            keeps_the_contract(bench, reading)
        shows(trouble, bench, healthy, outcomes)
        bench.heal()
        recovered = recover(bench, collector, healthy)
        if trouble is not Trouble.DRIVER_RELOAD:
            assert fallen(counters(healthy), recovered) == [], f"counters are lower after {trouble}"

    def test_reload_of_the_driver_is_a_known_reset(self, bench: Bench) -> None:
        """Counters that the driver has restarted are exported at once: the collector or its errors announce it."""
        skip_if_impossible(bench, Trouble.DRIVER_RELOAD)
        collector = bench.start()
        exporter = CollectorState(bench.spec.name, _NEVER_LATE, lambda: 0.0)
        healthy = collector.read(ALL)
        _export(exporter, healthy, 0.0)
        bench.pass_time(1)
        bench.inject(Trouble.DRIVER_RELOAD)
        outcomes = [attempt(collector) for _ in range(_READS_IN_TROUBLE)]
        bench.heal()
        for second, outcome in enumerate((*outcomes, eventually_read(collector)), start=1):
            exported = counters_of(_export(exporter, outcome, float(second)).samples)
            own = counters(outcome) if isinstance(outcome, Reading) else {}
            lower = [key for key, value in counters(healthy).items() if own.get(key, value) < value]
            assert {key: exported.get(key) for key in lower} == {key: own[key] for key in lower}, (
                "counters that the driver has restarted are not exported: name a new session in Reading.sessions"
            )
            if lower:
                return

    def test_hung_call_ends_when_released_and_affects_nothing_else(self, bench: Bench) -> None:
        skip_if_impossible(bench, Trouble.HANG)
        collector = bench.start()
        healthy = collector.read(ALL)
        bench.inject(Trouble.HANG)
        with reading_in_a_thread(collector, bench) as call:
            wait_until(bench.fault_reached)
            during = call.outcome
        assert call.outcome is not None, "the call did not return after the hang"
        if during is not None:
            only_the_first_is_stuck(healthy, during)
        for reading in readings([call.outcome]):
            keeps_the_contract(bench, reading)
        recovered = recover(bench, collector, healthy)
        assert fallen(counters(healthy), recovered) == [], "counters are lower after a hang"

    def test_memory_does_not_grow_while_reads_fail(self, bench: Bench) -> None:
        skip_if_impossible(bench, Trouble.RAISE)
        collector = bench.start()
        collector.read(ALL)
        bench.inject(Trouble.RAISE)
        assert isinstance(attempt(collector), CollectorError), "a read succeeded although every read must fail"
        keeps_no_memory(bench, collector)
        assert isinstance(attempt(collector), CollectorError), "a read succeeded although every read must fail"


class AbsenceRules:
    """Rules for an installed collector on a machine without its vendor's hardware."""

    def test_absent_hardware_is_silent(self, bench: Bench, tmp_path: Path) -> None:
        output = tmp_path / "output"
        nothing = tmp_path / "no-sysfs"
        environment = bench.bare_environment
        with HostedCollector(bench.spec.name, nothing, environment=environment, output=output) as collector:
            for _ in range(3):
                with pytest.raises(AbsentError, match=r"\w"):
                    collector.read(ALL)
            imported = collector.modules() & bench.library_modules
            assert imported == set(), "the vendor's library is imported without its hardware"
            collector.close()
        assert output.read_text() == "", "absent hardware must be silent, but something was logged or printed"


def _export(exporter: CollectorState, outcome: Reading | CollectorError, at: float) -> Accepted:
    """Let the exporter have the outcome of a read; return what it accepts."""
    if isinstance(outcome, Reading):
        return exporter.ended(CallEnded(exporter.name, at, at, ALL, outcome))
    return exporter.ended(CallEnded(exporter.name, at, at, ALL, None, outcome.reason, str(outcome)))


@dataclass
class Call:
    """A read in a separate thread.

    Attributes:
        outcome: Its result; None until it has returned.
    """

    outcome: Reading | CollectorError | None = None


@contextmanager
def reading_in_a_thread(collector: Collector, bench: Bench) -> Iterator[Call]:
    """Start a read, and release it at the end."""
    call = Call()

    def read() -> None:
        call.outcome = attempt(collector)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield call
    finally:
        bench.heal()
        thread.join(30)
        assert not thread.is_alive(), "a call did not return within 30 s after the hang"


def skip_if_impossible(bench: Bench, trouble: Trouble) -> None:
    """Skip a fault that a bench cannot produce, with the reason."""
    if trouble in bench.impossible:
        pytest.skip(bench.impossible[trouble])


def readings(outcomes: list[Reading | CollectorError]) -> list[Reading]:
    """The outcomes that are readings."""
    return [outcome for outcome in outcomes if isinstance(outcome, Reading)]


def shows(trouble: Trouble, bench: Bench, healthy: Reading, outcomes: list[Reading | CollectorError]) -> None:
    """Fail unless the outcomes report the fault, and nothing else."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, CollectorError)]
    absent = [error for error in errors if isinstance(error, AbsentError)]
    assert absent == [], "the vendor is reported as absent although its devices were read"
    if trouble is Trouble.RAISE:
        assert len(errors) == len(outcomes), "a read succeeded although every read must fail"
    elif trouble is Trouble.SLOW:
        assert bench.fault_reached(), "no call was slow: the collector does not read what the bench delays"
        assert errors == [], "slow answers made a whole read fail"
        assert is_whole(readings(outcomes)[-1], healthy), "slow answers lost devices or samples, or caused a fault"
    elif trouble is Trouble.DRIVER_RELOAD:
        noticed = errors or fallen(counters(healthy), readings(outcomes)[-1])
        assert noticed, "the driver was unloaded, but no read failed and no counter restarted"
    else:
        assert errors == [], "the fault of one device made a whole read fail"
        reasons = {fault.reason for reading in readings(outcomes) for fault in reading.faults}
        expected = Reason.DEVICE_LOST if trouble is Trouble.DEVICE_LOST else Reason.INVALID_VALUE
        assert expected in reasons, f"no fault {expected.value!r} for {trouble}"
        only_the_first_suffers(healthy, readings(outcomes)[-1], lost=trouble is Trouble.DEVICE_LOST)


def only_the_first_suffers(healthy: Reading, now: Reading, *, lost: bool) -> None:
    """Fail unless only the first device has lost samples and all identities are unchanged."""
    first = healthy.devices[0].uuid
    expected = [(device.uuid, lost and device.uuid == first) for device in healthy.devices]
    listed = [(device.uuid, device.lost) for device in now.devices]
    assert listed == expected, "the devices changed, or the wrong ones are marked as lost"
    missing = keys(healthy) - keys(now)
    assert missing, "the first device lost no sample: a failed or impossible reading must be absent"
    assert {device for _, device, _, _ in missing} == {first}, "other devices lost samples too"


def only_the_first_is_stuck(healthy: Reading, outcome: Reading | CollectorError) -> None:
    """Fail unless a read that has returned during a hang names the first device and has read the others."""
    assert isinstance(outcome, Reading), "a hung call made a whole read fail"
    assert outcome.stuck == {healthy.devices[0].uuid}, "the read returned during the hang without naming the device"
    only_the_first_suffers(healthy, outcome, lost=False)


def recover(bench: Bench, collector: Collector, healthy: Reading) -> Reading:
    """Read until everything is restored."""

    def ask() -> Reading | None:
        bench.pass_time(1)
        outcome = attempt(collector)
        if isinstance(outcome, CollectorError):
            return None
        keeps_the_contract(bench, outcome)
        return outcome if is_whole(outcome, healthy) else None

    return wait_until(ask)


def is_whole(reading: Reading, healthy: Reading) -> bool:
    """Whether a reading has every sample of the healthy one, and no fault."""
    return (
        not reading.faults
        and reading.devices == healthy.devices
        and reading.partitions == healthy.partitions
        and keys(reading) >= keys(healthy)
    )


def keys(reading: Reading) -> set[Key]:
    """The keys of the samples; the labels of an info are its content."""
    return {
        (s.metric, s.device_uuid, s.partition_uuid, () if s.metric.kind is Kind.INFO else s.labels)
        for s in reading.samples
    }


def fallen(before: dict[Key, float], reading: Reading) -> list[Key]:
    """The counters that have fallen."""
    now = counters(reading)
    return [key for key, value in before.items() if now.get(key, value) < value]
