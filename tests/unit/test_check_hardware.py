import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectors import catalog
from collectors.contract import (
    AbsentError,
    Collector,
    CollectorSpec,
    Device,
    Fault,
    Node,
    Reading,
    Reason,
    UnavailableError,
    Unsupported,
)
from collectors.sysfs import Root
from exporter.check.facts import CallOutcome, CollectorFacts
from exporter.check.hardware import CollectorCalls
from exporter.configuration.load import load_settings
from exporter.configuration.settings import PollSettings
from tests.doubles.collectors import BOUND_SECONDS, EVERY, Hang, ScriptedCollector, Step, gpu

NODE = Node(Root(Path("/nonexistent")), Root(Path("/nonexistent")), "machine")
READING = Reading((gpu("a"),))


def poll(deadline: float = BOUND_SECONDS) -> PollSettings:
    return replace(load_settings({}, {}, None).poll, deadline=deadline)


def spec(name: str, collector: Collector) -> CollectorSpec:
    return CollectorSpec(name, (), (f"{name}.com/",), lambda _: collector)


def results(*specs: CollectorSpec, deadline: float = BOUND_SECONDS) -> tuple[CollectorFacts, ...]:
    return CollectorCalls(specs, NODE, poll(deadline), time.monotonic).results()


def one(step: Step) -> CollectorFacts:
    (facts,) = results(spec("acme", ScriptedCollector(step)))
    return facts


def test_a_reading_is_returned() -> None:
    facts = one(READING)
    assert (facts.name, facts.state, facts.reading, facts.reason) == ("acme", CallOutcome.OK, READING, None)
    assert facts.resource_prefixes == ("acme.com/",)


ANYTHING: Any = object()


@pytest.mark.parametrize(
    "wrong",
    [
        {"devices": (gpu("a"), Device(ANYTHING, "x", "acme", "E"))},
        {"devices": (gpu("a"), Device("b", ANYTHING, "acme", "E"))},
        {"faults": (Fault(ANYTHING, "x", "y"),)},
        {"unsupported": (Unsupported(catalog.ENERGY, ANYTHING, ANYTHING),)},
        {"samples": (None,)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_record_that_does_not_meet_the_contract_is_left_out(wrong: dict[str, Any]) -> None:
    facts = one(Reading(**{"devices": (gpu("a"),)} | wrong))

    assert (facts.state, facts.reading and facts.reading.devices) == (CallOutcome.OK, (gpu("a"),))
    assert facts.reading is not None
    assert [fault.reason for fault in facts.reading.faults] == [Reason.INVALID_VALUE]


def test_a_reading_that_is_not_understood_fails() -> None:
    facts = one(Reading((gpu("a"),), samples=ANYTHING))

    assert (facts.state, facts.reason, facts.reading) == (CallOutcome.FAILED, Reason.BROKEN, None)
    assert facts.text.startswith("its reading is not understood: TypeError")


def test_an_absent_vendor_is_not_a_failure() -> None:
    facts = one(AbsentError("nothing here"))
    assert (facts.state, facts.reason, facts.text) == (CallOutcome.ABSENT, None, "nothing here")


def test_a_failure_has_its_reason_and_text() -> None:
    facts = one(UnavailableError("no library", Reason.LIBRARY_MISSING))
    assert (facts.state, facts.reason, facts.text) == (CallOutcome.FAILED, Reason.LIBRARY_MISSING, "no library")


def test_a_bug_is_a_finding() -> None:
    facts = one(ZeroDivisionError("oops"))
    assert (facts.state, facts.reason, facts.text) == (
        CallOutcome.FAILED,
        Reason.BROKEN,
        "ZeroDivisionError: oops",
    )


def test_a_collector_that_cannot_be_created_does_not_hide_the_others() -> None:
    def create(_: Node) -> Collector:
        raise RuntimeError("no")

    broken = CollectorSpec("acme", (), (), create)
    first, second = results(broken, spec("zeta", ScriptedCollector(READING)))
    assert (first.state, first.reason) == (CallOutcome.FAILED, Reason.BROKEN)
    assert first.text == "cannot be created: RuntimeError: no; repair or remove its package"
    assert second.state is CallOutcome.OK


def test_each_collector_is_called_once_for_everything_and_closed() -> None:
    collectors = [ScriptedCollector(READING) for _ in range(3)]
    results(*(spec(f"c{number}", collector) for number, collector in enumerate(collectors)))
    for collector in collectors:
        assert collector.closed.wait(BOUND_SECONDS)
        assert collector.calls == [EVERY]


@pytest.fixture
def hang() -> Iterator[Hang]:
    step = Hang(READING)
    yield step
    step.released.set()


def test_a_collector_that_hangs_is_late_and_the_others_are_not(hang: Hang) -> None:
    hung = ScriptedCollector(hang)
    late, good = results(spec("acme", hung), spec("zeta", ScriptedCollector(READING)), deadline=0.5)
    assert (late.state, late.reading, late.seconds) == (CallOutcome.LATE, None, 0.5)
    assert good.state is CallOutcome.OK
    assert not hung.closed.is_set()
    hang.released.set()
    assert hung.closed.wait(BOUND_SECONDS)
    assert hung.calls == [EVERY]


def test_without_collectors_the_result_is_empty() -> None:
    assert results() == ()
