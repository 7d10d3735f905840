"""The rules work: each flaw of a collector fails its rule."""

import ast
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import AbsentError, Collector, Reading, Sample, UnavailableError
from collectors.metric import Cadence, Kind
from tests.contract.bench import FIRST_MACHINE, Trouble
from tests.contract.reading_rules import ALL
from tests.contract.simulated_bench import SimulatedBench
from tests.contract.trouble_rules import TroubleRules


class Sound:
    """A collector that meets the contract; the flawed ones below differ from it in one point."""

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


class LeavesInfoOut(Sound):
    def changed(self, reading: Reading) -> Reading:
        return replace(reading, samples=tuple(s for s in reading.samples if s.metric is not catalog.INFO))


class DropsLostDevices(Sound):
    def changed(self, reading: Reading) -> Reading:
        there = {device.uuid for device in reading.devices if not device.lost}
        samples = tuple(sample for sample in reading.samples if sample.device_uuid in there)
        return replace(reading, devices=tuple(d for d in reading.devices if not d.lost), samples=samples)


class TakesOthersAlong(Sound):
    def changed(self, reading: Reading) -> Reading:
        return replace(reading, samples=()) if reading.faults else reading


class HidesSessions(Sound):
    def changed(self, reading: Reading) -> Reading:
        return replace(reading, sessions={})


class CountsTooFast(Sound):
    def changed(self, reading: Reading) -> Reading:
        return with_counters(reading, lambda value: value * 1e6)


class DrawsTooMuch(Sound):
    def changed(self, reading: Reading) -> Reading:
        samples = (
            replace(sample, value=5000) if sample.metric is catalog.POWER else sample for sample in reading.samples
        )
        return replace(reading, samples=tuple(samples))


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
    return lambda bench: RULES.test_collector_recovers_from_a_fault(bench, trouble)


FLAWS = [
    (LeavesInfoOut, RULES.test_close_is_idempotent_and_reading_resumes_after_it),
    (IgnoresWhatIsDue, RULES.test_every_reading_meets_the_contract_and_contains_only_due_cadences),
    (CountsDown, RULES.test_counters_rise_and_never_fall),
    (RenamesDevices, RULES.test_ids_are_stable_over_reads_and_restarts),
    (BreaksWhenClosedTwice, RULES.test_close_is_idempotent_and_reading_resumes_after_it),
    (KeepsSomething, RULES.test_memory_does_not_grow),
    (KeepsErrors, RULES.test_memory_does_not_grow_while_reads_fail),
    (CallsTroubleAbsence, survives(Trouble.RAISE)),
    (LetsBugsOut, survives(Trouble.GARBAGE)),
    (PassesGarbageOn, survives(Trouble.GARBAGE)),
    (HidesFaults, survives(Trouble.GARBAGE)),
    (HidesFaults, survives(Trouble.DEVICE_LOST)),
    (DropsLostDevices, survives(Trouble.DEVICE_LOST)),
    (TakesOthersAlong, survives(Trouble.DEVICE_LOST)),
    (ForgetsCounts, survives(Trouble.DEVICE_LOST)),
    (HidesSessions, RULES.test_reload_of_the_driver_is_a_known_reset),
    (CountsTooFast, RULES.test_exporter_accepts_every_value),
    (DrawsTooMuch, RULES.test_exporter_accepts_every_value),
]


@pytest.mark.parametrize(
    ("flaw", "rule"), FLAWS, ids=[f"{number}-{flaw.__name__}" for number, (flaw, _) in enumerate(FLAWS)]
)
def test_flaw_fails_its_rule(flaw: type[Sound], rule: Callable[[SimulatedBench], None]) -> None:
    rule(FlawedBench(Sound))
    with pytest.raises((AssertionError, ValueError)):
        rule(FlawedBench(flaw))


def test_collector_that_ignores_its_machine_fails() -> None:
    class Everywhere(SimulatedBench):
        def start(self, machine: str = FIRST_MACHINE) -> Collector:  # noqa: ARG002 - that is the flaw
            return super().start()

    with pytest.raises(AssertionError):
        RULES.test_two_machines_share_no_id(Everywhere())


def test_row_that_is_never_reported_fails() -> None:
    bench = SimulatedBench()
    rule = RULES.test_every_row_is_reported_or_unsupported
    rule(bench)
    bench.spec = replace(bench.spec, partition_metrics=(*bench.spec.partition_metrics, catalog.POWER))
    with pytest.raises(AssertionError, match="power_watts"):
        rule(bench)


FOREIGN_TESTS = """
import pytest
from tests.contract.trouble_rules import TroubleRules
from tests.contract.test_rules_bite import CountsDown, FlawedBench, LeavesInfoOut

class TestForeign(TroubleRules):
    @pytest.fixture(params=[CountsDown, LeavesInfoOut])
    def bench(self, request):
        return FlawedBench(request.param)
"""


def test_contract_failure_in_another_package_has_a_message(tmp_path: Path) -> None:
    (tmp_path / "test_foreign.py").write_text(FOREIGN_TESTS)
    options = ["-p", "no:cacheprovider", "-c", "pyproject.toml", "-k", "counters_rise or close_is_idempotent"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path / "test_foreign.py")]

    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=120
    )

    explained = [line[1:].strip() for line in done.stdout.splitlines() if line.startswith("E ")]
    assert "AssertionError: counters fell without a fault" in explained
    assert any(line.startswith("assert [(Metric(") for line in explained), "without pytest's own explanation"
    assert "AssertionError: a reading breaks the contract:" in explained
    assert any(line.startswith("info of ") for line in explained)
    assert "2 failed, 2 passed" in done.stdout.splitlines()[-1]


def test_every_assertion_of_the_suite_has_a_message() -> None:
    for name in ("hosted", "reading_rules", "trouble_rules"):
        tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text())
        asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert [f"{name}.py:{node.lineno}" for node in asserts if node.msg is None] == []
