"""The rules find what they are there to find: each flaw that a collector can have fails its rule."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from collectors import catalog
from collectors.contract import AbsentError, Collector, Reading, Sample, UnavailableError
from collectors.metric import Cadence, Kind
from tests.contract.bench import FIRST_MACHINE, Trouble
from tests.contract.reading_rules import ALL
from tests.contract.simulated_bench import SimulatedBench
from tests.contract.trouble_rules import TroubleRules


class Sound:
    """A collector that keeps the contract; the flawed ones below differ from it in one thing."""

    def __init__(self, inner: Collector) -> None:
        self.inner = inner
        self.reads = 0
        self.kept: list[object] = []

    def read(self, due: frozenset[Cadence]) -> Reading:
        self.reads += 1
        return self.changed(self.inner.read(due))

    def changed(self, reading: Reading) -> Reading:
        return reading

    def close(self) -> None:
        self.inner.close()


class IgnoresWhatIsDue(Sound):
    def read(self, due: frozenset[Cadence]) -> Reading:  # noqa: ARG002 - that is the flaw
        return self.inner.read(ALL)


class CountsDown(Sound):
    def changed(self, reading: Reading) -> Reading:
        return with_counters(reading, lambda value: 1e15 - value)


class ForgetsCounts(Sound):
    def changed(self, reading: Reading) -> Reading:
        self.kept += reading.faults
        return with_counters(reading, lambda _: 0) if self.kept else reading


class RenamesDevices(Sound):
    def changed(self, reading: Reading) -> Reading:
        renamed = (replace(device, uuid=f"{device.uuid}-{self.reads}") for device in reading.devices)
        return replace(reading, devices=tuple(renamed))


class BreaksWhenClosedTwice(Sound):
    def close(self) -> None:
        assert self.kept != [self.reads], "closed twice"
        self.kept = [self.reads]


class KeepsSomething(Sound):
    def changed(self, reading: Reading) -> Reading:
        self.kept.append(object())
        return reading


class KeepsErrors(Sound):
    def read(self, due: frozenset[Cadence]) -> Reading:
        try:
            return self.inner.read(due)
        except UnavailableError as error:
            self.kept.append(error)
            raise


class CallsTroubleAbsence(Sound):
    def read(self, due: frozenset[Cadence]) -> Reading:
        try:
            return self.inner.read(due)
        except UnavailableError as error:
            raise AbsentError(str(error)) from None


class LetsBugsOut(Sound):
    def changed(self, reading: Reading) -> Reading:
        if reading.faults:
            raise ValueError("could not convert string to float")
        return reading


class PassesGarbageOn(Sound):
    def changed(self, reading: Reading) -> Reading:
        garbage = Sample(catalog.MEMORY_RESERVED, reading.devices[0].uuid, -1)
        return replace(reading, samples=(*reading.samples, garbage)) if reading.faults else reading


class HidesFaults(Sound):
    def changed(self, reading: Reading) -> Reading:
        return replace(reading, faults=())


class DropsLostDevices(Sound):
    def changed(self, reading: Reading) -> Reading:
        there = {device.uuid for device in reading.devices if not device.lost}
        samples = tuple(sample for sample in reading.samples if sample.device_uuid in there)
        return replace(reading, devices=tuple(d for d in reading.devices if not d.lost), samples=samples)


class TakesOthersAlong(Sound):
    def changed(self, reading: Reading) -> Reading:
        return replace(reading, samples=()) if reading.faults else reading


def with_counters(reading: Reading, change: Callable[[float], float]) -> Reading:
    samples = (
        replace(sample, value=change(sample.value)) if sample.metric.kind is Kind.COUNTER else sample
        for sample in reading.samples
    )
    return replace(reading, samples=tuple(samples))


class FlawedBench(SimulatedBench):
    def __init__(self, flaw: Callable[[Collector], Collector]) -> None:
        super().__init__()
        self._flaw = flaw

    def start(self, machine: str = FIRST_MACHINE) -> Collector:
        return self._flaw(super().start(machine))


RULES = TroubleRules()


def survives(trouble: Trouble) -> Callable[[SimulatedBench], None]:
    return lambda bench: RULES.test_it_survives_a_trouble_and_recovers(bench, trouble)


JUDGED = [
    (IgnoresWhatIsDue, RULES.test_every_reading_keeps_the_contract_and_brings_only_what_was_due),
    (CountsDown, RULES.test_counters_rise_and_never_fall),
    (RenamesDevices, RULES.test_ids_stay_over_reads_and_restarts),
    (BreaksWhenClosedTwice, RULES.test_it_closes_twice_and_can_be_read_again),
    (KeepsSomething, RULES.test_memory_does_not_grow),
    (KeepsErrors, RULES.test_memory_does_not_grow_while_nothing_can_be_read),
    (CallsTroubleAbsence, survives(Trouble.RAISE)),
    (LetsBugsOut, survives(Trouble.GARBAGE)),
    (PassesGarbageOn, survives(Trouble.GARBAGE)),
    (HidesFaults, survives(Trouble.GARBAGE)),
    (HidesFaults, survives(Trouble.DEVICE_LOST)),
    (DropsLostDevices, survives(Trouble.DEVICE_LOST)),
    (TakesOthersAlong, survives(Trouble.DEVICE_LOST)),
    (ForgetsCounts, survives(Trouble.DEVICE_LOST)),
]


@pytest.mark.parametrize(
    ("flaw", "rule"), JUDGED, ids=[f"{number}-{flaw.__name__}" for number, (flaw, _) in enumerate(JUDGED)]
)
def test_a_flaw_fails_its_rule(flaw: type[Sound], rule: Callable[[SimulatedBench], None]) -> None:
    rule(FlawedBench(Sound))
    with pytest.raises((AssertionError, ValueError)):
        rule(FlawedBench(flaw))


def test_a_collector_that_ignores_its_machine_fails() -> None:
    class Everywhere(SimulatedBench):
        def start(self, machine: str = FIRST_MACHINE) -> Collector:  # noqa: ARG002 - that is the flaw
            return super().start()

    with pytest.raises(AssertionError):
        RULES.test_two_machines_share_no_id(Everywhere())


def test_a_row_that_nobody_ever_sees_fails() -> None:
    bench = SimulatedBench()
    rule = RULES.test_the_bench_shows_every_row_or_the_collector_says_it_is_unsupported
    rule(bench)
    bench.spec = replace(bench.spec, partition_metrics=(*bench.spec.partition_metrics, catalog.POWER))
    with pytest.raises(AssertionError, match="power_watts"):
        rule(bench)
