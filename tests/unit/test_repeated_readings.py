"""Readings with the same series as one before: they are checked like the first, and what is unchanged is shared."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from collectors import catalog
from collectors.contract import Fault, Reading, Reason, Sample, Unsupported
from exporter.assembler import Assembler, Clocks
from exporter.conformity import Conformity
from exporter.validation import Validator
from tests.doubles.assembled import held
from tests.doubles.collectors import (
    EVERY,
    FAST,
    LIMITS,
    Clock,
    compute,
    ended,
    energy,
    gpu,
    info,
    part,
    power,
    temperature,
    utilization,
)

SLICE = part("gpu-a", "s0")
ERRORS = Sample(catalog.ERRORS, "gpu-a", 3.0, labels=("xid", "79", "hardware"))
SAMPLES = (
    replace(info("gpu-a"), value=1.0),
    utilization("gpu-a", 0.5),
    temperature("gpu-a", 40.0),
    power("gpu-a", 300.0),
    ERRORS,
    utilization("gpu-a", 0.25, "s0"),
)
READING = Reading((gpu("gpu-a"),), (SLICE,), SAMPLES)


def changed(place: int, **fields: object) -> Reading:
    """The reading with other fields of one sample, of any type."""
    change: Callable[..., Sample] = replace
    return replace(READING, samples=(*SAMPLES[:place], change(SAMPLES[place], **fields), *SAMPLES[place + 1 :]))


OTHERS = {
    "the same": READING,
    "a value": changed(1, value=0.75),
    "an int": changed(2, value=41),
    "an int that is equal": changed(2, value=40),
    "a flag": changed(1, value=True),
    "no number": changed(2, value="40"),
    "no value": changed(2, value=None),
    "NaN": changed(1, value=math.nan),
    "an info of 2": changed(0, value=2.0),
    "another label": changed(2, labels=("board",)),
    "a label too much": changed(2, labels=("core", "board")),
    "a label of another type": changed(2, labels=(7,)),
    "labels in a list": changed(2, labels=["core"]),
    "a copy of the row": changed(1, metric=replace(catalog.UTILIZATION)),
    "a row that is none": changed(1, metric=replace(catalog.UTILIZATION, stem="other_ratio")),
    "another subject": changed(1, device_uuid="gpu-b"),
    "the same series twice": changed(5, partition_uuid=""),
    "a width": changed(4, width=16.0),
    "a width of another type": changed(4, width="16"),
    "no sample": replace(READING, samples=(*SAMPLES[:2], "sample", *SAMPLES[3:])),  # type: ignore[arg-type]
    "one less": replace(READING, samples=SAMPLES[1:]),
    "another order": replace(READING, samples=SAMPLES[::-1]),
    "no partition": replace(READING, partitions=()),
    "another profile": replace(READING, partitions=(part("gpu-a", "s0", "2g"),)),
    "a lost device": replace(READING, devices=(gpu("gpu-a", lost=True),)),
    "another device": replace(READING, devices=(gpu("gpu-b"),)),
    "the device twice": replace(READING, devices=(gpu("gpu-a"), gpu("gpu-a"))),
    "a gap": replace(READING, unsupported=(Unsupported(catalog.ENERGY, "gpu-a", "no"),)),
    "a gap of no row": replace(READING, unsupported=(Unsupported(None, "gpu-a", "no"),)),  # type: ignore[arg-type]
}


def checked(conformity: Conformity, reading: Reading) -> tuple[Reading, list[Fault]]:
    faults: list[Fault] = []
    conforming = conformity.conforming(reading, faults)
    conformity.order_of(conforming.samples)
    return conforming, faults


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_reading_is_checked_in_the_same_way_whatever_was_checked_before(other: Reading) -> None:
    conformity = Conformity()
    for reading in (READING, READING, other, other, READING, other):
        found, faults = checked(conformity, reading)
        wanted, wanted_faults = checked(Conformity(), reading)
        assert (found, faults) == (wanted, wanted_faults)
        assert all(type(sample.value) is float for sample in found.samples)
        rows = {row: row for row in catalog.ROWS}
        assert all(sample.metric is rows[sample.metric] for sample in found.samples)


def test_a_reading_with_the_same_series_is_taken_as_it_is() -> None:
    conformity = Conformity()
    checked(conformity, READING)
    again = changed(1, value=0.75)
    found, _ = checked(conformity, again)
    assert found.samples is again.samples


@pytest.mark.parametrize(
    ("place", "value", "left"), [(1, 1.5, 5), (2, 300.0, 5), (2, -math.inf, 5), (3, 20_000.0, 5), (2, 200.0, 6)]
)
def test_an_impossible_value_is_refused_in_a_repeated_reading(place: int, value: float, left: int) -> None:
    validator = Validator()
    for at in (1.0, 2.0):
        validator.validate(READING, at)
    accepted = validator.validate(changed(place, value=value), 3.0)
    assert len(accepted.samples) == left
    assert [fault.reason for fault in accepted.faults] == [Reason.INVALID_VALUE] * (6 - left)


def test_a_fall_of_a_repeated_counter_is_held() -> None:
    validator = Validator()
    for at in (1.0, 2.0, 3.0):
        validator.validate(READING, at)
    accepted = validator.validate(changed(4, value=1.0), 4.0)
    assert accepted.samples[4] == ERRORS


def test_a_counter_that_was_not_read_for_a_day_starts_anew() -> None:
    validator, day = Validator(), 86_400.0
    validator.validate(replace(READING, samples=(energy("gpu-a", 5000.0),)), 0.0)
    for at in (1.0, day + 2, day + 700):
        validator.validate(replace(READING, samples=()), at)
    accepted = validator.validate(replace(READING, samples=(energy("gpu-a", 10.0),)), day + 1400)
    assert [sample.value for sample in accepted.samples] == [10.0]
    assert accepted.energy["gpu-a"].seconds == 0


def test_a_fast_reading_leaves_everything_else_as_it_is() -> None:
    clock = Clock(1.0)
    assembler = Assembler(["acme", "other"], ("acme/",), LIMITS, Clocks(clock, clock))
    size = compute("gpu-a", "s0", 0.5)
    assembler.apply(ended(0.0, replace(READING, samples=(*SAMPLES, size)), EVERY))
    assembler.apply(ended(0.0, Reading((gpu("gpu-b"),), (), (utilization("gpu-b", 1.0),)), collector="other"))
    assembler.apply(held(("train", "gpu-a")))
    before = assembler.snapshot()
    assembler.apply(ended(1.0, changed(1, value=0.75), FAST))
    after = assembler.snapshot()

    new = [sample for sample in after.samples if sample not in before.samples]
    assert {(sample.metric, sample.device_uuid, sample.partition_uuid) for sample in new} <= {
        (row, device, partition)
        for row in (catalog.UTILIZATION, catalog.BUSY_SECONDS, catalog.OBSERVED_SECONDS)
        for device, partition in (("gpu-a", ""), ("gpu-a", "s0"), ("gpu-b", ""))
    }
    assert [sample.value for sample in new if sample.metric is catalog.UTILIZATION] == [0.75]
    assert after.devices is before.devices
    assert after.partitions is before.partitions
