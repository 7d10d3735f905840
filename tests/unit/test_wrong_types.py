"""What a collector of another package may return by mistake: it costs one sample, or one reading, and is counted."""

import itertools
import logging
import pickle
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from collectors import catalog
from collectors.condition import Condition, CriticalEvent
from collectors.contract import Alias, Device, Fault, Partition, Process, Reading, Reason, Sample, Unsupported
from collectors.metric import Metric
from collectors.plausibility import ImplausibleError, require_number, require_possible
from exporter.assembler import Assembler, Clocks
from exporter.collector_state import CollectorState
from exporter.exposition import render
from exporter.snapshot import Snapshot
from exporter.text_format import Format
from exporter.validation import Accepted, Validator
from tests.doubles.collectors import FAST, LIMITS, Clock, ended, energy, gpu, part, power, utilization

A = gpu("gpu-a")
GOOD = utilization("gpu-a", 0.5)
# Tests declare these values as the contract does.
NO_NUMBERS: tuple[Any, ...] = (10**400, -(10**5000), None, "5", 1j, Fraction(1, 3), Decimal(1), [1])
NAMES = [type(value).__name__ for value in NO_NUMBERS]
ROWS = [catalog.ENERGY, catalog.POWER, catalog.POWER_LIMIT, catalog.MEMORY_LIMIT, catalog.INFO]


def validated(*samples: Sample, processes: tuple[Process, ...] = ()) -> Accepted:
    return Validator().validate(Reading((A,), (), samples, processes), 1.0)


def invalid(accepted: Accepted) -> list[Reason]:
    return [fault.reason for fault in accepted.faults]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=NAMES)
class TestEveryValueThatIsNoNumber:
    @pytest.mark.parametrize("row", ROWS, ids=[row.stem for row in ROWS])
    def test_is_one_fault_of_its_sample(self, row: Metric, value: float) -> None:
        accepted = validated(Sample(row, "gpu-a", value, labels=("",) * len(row.labels)), GOOD)

        assert accepted.samples == (GOOD,)
        assert invalid(accepted) == [Reason.INVALID_VALUE]

    def test_is_no_width(self, value: float) -> None:
        accepted = validated(replace(energy("gpu-a", 5), width=value), GOOD)

        assert accepted.samples == (GOOD,)
        assert invalid(accepted) == [Reason.INVALID_VALUE]

    @pytest.mark.parametrize("field", ["memory_usage_bytes", "utilization_ratio", "occupancy_ratio", "copy_seconds"])
    def test_is_unknown_for_a_process(self, field: str, value: float) -> None:
        fields: dict[str, Any] = {field: value}
        accepted = validated(GOOD, processes=(Process(7, "gpu-a", **fields), Process(8, "gpu-a", "", 5)))

        assert accepted.processes == (Process(7, "gpu-a"), Process(8, "gpu-a", "", 5))
        assert invalid(accepted) == ([] if value is None else [Reason.INVALID_VALUE])

    def test_is_not_possible(self, value: float) -> None:
        with pytest.raises(ImplausibleError):
            require_possible(catalog.POWER, value)


@pytest.mark.parametrize("width", [-1.0, float("nan"), float("inf")])
def test_width_that_no_counter_has_is_refused(width: float) -> None:
    accepted = validated(replace(energy("gpu-a", 5), width=width))

    assert (accepted.samples, invalid(accepted)) == ((), [Reason.INVALID_VALUE])


@pytest.mark.parametrize("labels", [(7,), (None,), ([],), [], ["core"], None, "c", 7], ids=repr)
def test_label_that_is_not_a_str_is_one_fault_of_its_sample(labels: tuple[str, ...]) -> None:
    accepted = validated(Sample(catalog.TEMPERATURE, "gpu-a", 50, labels=labels), GOOD)

    assert accepted.samples == (GOOD,)
    assert invalid(accepted) == [Reason.INVALID_VALUE]


@pytest.mark.parametrize("uuid", [None, 7, []], ids=repr)
def test_uuid_that_is_not_a_str_is_one_fault(uuid: str) -> None:
    pid: Any = "8"
    accepted = validated(utilization(uuid, 1), GOOD, processes=(Process(7, uuid), Process(pid, "gpu-a")))

    assert (accepted.samples, accepted.processes) == ((GOOD,), ())
    assert invalid(accepted) == [Reason.INVALID_VALUE] * 3


NO_TEXT: Any = None
WRONG_FIELDS: list[tuple[str, object]] = [
    *itertools.product(("uuid", "device", "vendor", "model"), (None, 7, [])),
    *itertools.product(["aliases"], (None, [Alias("x")], frozenset({"x"}), frozenset({Alias("x", NO_TEXT)}))),
    ("uuid", ""),
    ("lost", None),
    ("power_shared", 1),
]


@pytest.mark.parametrize(("name", "value"), WRONG_FIELDS, ids=repr)
def test_device_with_a_field_of_another_type_is_one_fault(name: str, value: object) -> None:
    changed: Callable[..., Device] = replace
    reading = Reading((changed(gpu("gpu-b"), **{name: value}), A), (), (GOOD,))
    accepted = Validator().validate(reading, 1.0)
    snapshot = Node().poll(1.0, reading)

    assert (accepted.devices, accepted.samples, invalid(accepted)) == ((A,), (GOOD,), [Reason.INVALID_VALUE])
    assert b"accelerator_device_utilization_ratio{" in render(snapshot, (), Format.TEXT)


@pytest.mark.parametrize(("name", "value"), [("uuid", None), ("uuid", ""), ("device_uuid", []), ("profile", 7)])
def test_partition_with_a_field_of_another_type_is_one_fault(name: str, value: object) -> None:
    changed: Callable[..., Partition] = replace
    good = part("gpu-a", "s0")
    accepted = Validator().validate(Reading((A,), (changed(good, **{name: value}), good)), 1.0)

    assert (accepted.partitions, invalid(accepted)) == ((good,), [Reason.INVALID_VALUE])


def test_partition_of_a_device_that_is_not_listed_is_one_fault() -> None:
    accepted = Validator().validate(Reading((A,), (part("gpu-b", "s0"),), (GOOD,)), 1.0)

    assert (accepted.partitions, accepted.samples, invalid(accepted)) == ((), (GOOD,), [Reason.INVALID_VALUE])


def test_copies_of_rows_are_the_rows() -> None:
    """A collector that reads in another process returns copies of everything."""
    gap = Unsupported(catalog.ENERGY, "gpu-a", "")
    limit = Sample(catalog.POWER_LIMIT, "gpu-a", 700)
    reading = Reading((A,), (), (power("gpu-a", 4000), limit, GOOD), unsupported=(gap,))
    copied = Validator().validate(pickle.loads(pickle.dumps(reading)), 1.0)  # noqa: S301 - made here

    assert copied == Validator().validate(reading, 1.0)
    assert all(any(sample.metric is row for row in catalog.ROWS) for sample in copied.samples)


def test_row_of_another_catalogue_is_one_fault() -> None:
    accepted = validated(replace(GOOD, metric=replace(catalog.UTILIZATION, help="x")), GOOD)

    assert (accepted.samples, invalid(accepted)) == ((GOOD,), [Reason.INVALID_VALUE])


def test_partition_with_the_uuid_of_another_subject_is_one_fault() -> None:
    b, good = gpu("gpu-b"), part("gpu-a", "s0")
    twice, like_device = part("gpu-b", "s0"), part("gpu-b", "gpu-a")
    samples = (utilization("gpu-a", 0.5), utilization("gpu-b", 0.25, "s0"))
    accepted = Validator().validate(Reading((A, b), (good, twice, like_device), samples), 1.0)

    assert (accepted.devices, accepted.partitions, accepted.samples) == ((A, b), (good,), samples[:1])
    assert invalid(accepted) == [Reason.INVALID_VALUE] * 3


@pytest.mark.parametrize(
    "sample",
    [
        Sample(catalog.ALLOCATED, "gpu-a", 1),
        Sample(catalog.BUSY_SECONDS, "gpu-a", 777),
        Sample(catalog.INFO, "gpu-a", 7, labels=("0",) + ("",) * (len(catalog.INFO.labels) - 1)),
        Sample(catalog.STATUS_STATE, "gpu-a", 1, labels=("weird",)),
        Sample(catalog.COMPUTE_RATIO, "gpu-a", 0.5),
        Sample(catalog.TEMPERATURE, "gpu-a", 50, labels=("",)),
    ],
    ids=lambda sample: sample.metric.stem,
)
def test_sample_that_a_collector_may_not_supply_is_one_fault(sample: Sample) -> None:
    accepted = validated(sample, GOOD)

    assert (accepted.samples, invalid(accepted)) == ((GOOD,), [Reason.INVALID_VALUE])


def test_session_that_does_not_equal_itself_is_no_new_session_at_each_reading() -> None:
    validator = Validator()
    for at in (1.0, 2.0, 3.0):
        samples = (energy("gpu-a", 5_000_000 - at),)
        accepted = validator.validate(Reading((A,), (), samples, sessions={"gpu-a": float("nan")}), at)

    assert [sample.value for sample in accepted.samples] == [5_000_000 - 1]


def test_accepted_values_are_floats() -> None:
    samples = validated(power("gpu-a", 300), energy("gpu-a", 5)).samples

    assert [(type(sample.value), sample.value) for sample in samples] == [(float, 300), (float, 5)]
    assert type(require_number(5)) is float


class Node:
    """A node with a collector that has bugs, and another one."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.assembler = Assembler(["acme", "other"], ("acme/",), LIMITS, Clocks(self.clock, self.clock))

    def poll(self, at: float, reading: Reading) -> Snapshot:
        self.clock.now = at
        self.assembler.apply(ended(at, reading))
        self.assembler.apply(
            ended(at, Reading((gpu("gpu-b"),), (), (utilization("gpu-b", at / 10),)), collector="other")
        )
        return self.assembler.snapshot()


@pytest.mark.parametrize("value", NO_NUMBERS, ids=NAMES)
def test_other_series_are_served_and_the_sample_is_counted(value: float) -> None:
    snapshot = Node().poll(1.0, Reading((A,), (), (power("gpu-a", value), GOOD)))

    assert {sample.device_uuid for sample in snapshot.samples} == {"gpu-a", "gpu-b"}
    assert snapshot.collectors[0].errors[Reason.INVALID_VALUE] == 1
    assert b"accelerator_device_utilization_ratio{" in render(snapshot, (), Format.TEXT)


ANYTHING: Any = object()
EVENT = CriticalEvent("gpu-a", "acme", "7", "hardware", "It burns", "Put it out")
RECORDS: list[dict[str, Any]] = [
    *({field: (None,)} for field in ("devices", "partitions", "samples", "processes", "faults", "unsupported")),
    {"samples": (Sample(ANYTHING, "gpu-a", 1),)},
    {"samples": (Sample(NO_TEXT, "gpu-a", 1), ANYTHING, 7)},
    {"faults": (Fault(ANYTHING, "", ""), Fault(Reason.LATE, NO_TEXT, ""))},
    {"unsupported": (Unsupported(ANYTHING, "gpu-a", ""), Unsupported(catalog.ENERGY, NO_TEXT, ""))},
    {"events": (None, EVENT._replace(occurrences=ANYTHING), EVENT._replace(state="odd"), EVENT._replace(code=NO_TEXT))},
]


@pytest.mark.parametrize("records", RECORDS)
def test_record_of_another_type_is_one_fault(records: dict[str, Any]) -> None:
    good: dict[str, Any] = {"devices": (A,), "samples": (GOOD,)}
    reading = Reading(**good | {field: (*found, *good.get(field, ())) for field, found in records.items()})
    accepted = Validator().validate(reading, 1.0)
    snapshot = Node().poll(1.0, reading)

    assert (accepted.devices, accepted.samples) == ((A,), (GOOD,))
    assert invalid(accepted) == [Reason.INVALID_VALUE] * sum(map(len, records.values()))
    assert b"accelerator_device_utilization_ratio{" in render(snapshot, (), Format.TEXT)


def test_conditions_that_say_nothing_of_a_listed_device_are_left_out() -> None:
    good = Condition("failed", "It burns", "Put it out")
    wrong: list[Any] = [None, Condition("ok", "a", "b"), Condition("failed", ANYTHING, "b")]
    conditions: dict[str, Any] = {"gpu-a": (good, *wrong), "gpu-z": (good,), "gpu-y": ANYTHING}
    accepted = Validator().validate(Reading((A,), samples=(GOOD,), conditions=conditions), 1.0)

    assert accepted.conditions == {"gpu-a": (good,)}
    assert invalid(accepted) == [Reason.INVALID_VALUE] * len(wrong)


def test_a_text_without_end_is_shortened() -> None:
    endless = {"gpu-a": (Condition("failed", "a" * 10_000, "b" * 10_000),)}
    (condition,) = Validator().validate(Reading((A,), conditions=endless), 1.0).conditions["gpu-a"]
    assert max(map(len, condition)) < 600


def unusable() -> list[Callable[[], Reading]]:
    anything: Any = object()
    return [
        lambda: Reading(anything),
        lambda: Reading((A,), (), anything),
        lambda: Reading((A,), faults=anything),
        lambda: Reading((A,), sessions=anything),
        lambda: Reading((A,), conditions=anything),
        lambda: Reading((A,), events=anything),
        lambda: anything,
    ]


@pytest.mark.parametrize("number", range(len(unusable())))
def test_reading_that_is_not_understood_is_broken_and_affects_no_other_collector(number: int) -> None:
    node = Node()
    node.poll(1.0, Reading((A,), (), (GOOD,)))
    snapshot = node.poll(3.0, unusable()[number]())

    acme, other = snapshot.collectors
    assert (acme.up, acme.errors[Reason.BROKEN]) == (False, 1)
    assert (other.up, sum(other.errors.values())) == (True, 0)
    assert utilization("gpu-b", 0.3) in snapshot.samples
    assert node.poll(4.0, Reading((A,), (), (GOOD,))).collectors[0].up


def test_reading_that_is_not_understood_is_logged_once_and_is_no_success(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(5.0)
    state = CollectorState("acme", LIMITS, clock)
    caplog.set_level(logging.INFO, "exporter.collector_state")
    anything: Any = object()
    for at in (1.0, 2.0, 3.0):
        assert state.ended(ended(at, Reading((A,), (), anything), FAST)) == Accepted()

    health = state.health(3.0)
    assert (health.present, health.up, health.last_success_timestamp_seconds) == (True, False, None)
    assert health.failure is not None
    assert (health.failure.reason, health.failure.since) == (Reason.BROKEN, 1.0)
    assert health.errors[Reason.BROKEN] == 3
    assert [message.partition(":")[0] for message in caplog.messages] == ["reading not understood", "collector down"]
    assert [record.exc_info is not None for record in caplog.records] == [True, False]
