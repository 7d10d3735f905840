"""Every breach of the contract is found in a reading; a valid reading has none."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from collectors import catalog, labels
from collectors.condition import Condition, CriticalEvent
from collectors.contract import Alias, CollectorSpec, Device, Node, Partition, Process, Reading, Sample, Unsupported
from collectors.metric import Cadence, Label, Metric
from tests.contract.breaches import breaches
from tests.doubles.collectors import ScriptedCollector, gpu, info, part

MEMORY_AND_MORE = (catalog.INFO, catalog.STATUS_STATE, catalog.UTILIZATION, catalog.ENERGY, catalog.TEMPERATURE)
STATES = tuple(Sample(catalog.STATUS_STATE, "a", float(s == "ok"), labels=(s,)) for s in labels.STATUS.values)
USED = Sample(catalog.UTILIZATION, "a", 0.5)
HOT = Sample(catalog.TEMPERATURE, "a", 40, labels=("core",))
BAD_MEMORY = Condition("degraded", "Bad memory", "Reset it")
FALLEN = CriticalEvent("a", "xid", "79", "hardware", "It has fallen off the bus", "Power-cycle the node", "failed")
GOOD = Reading(
    devices=(gpu("a"), gpu("b", lost=True)),
    partitions=(part("a", "s0"), part("a", "s1")),
    samples=(
        *(info("a"), info("a", "s0"), info("a", "s1"), *STATES),
        *(USED, Sample(catalog.ENERGY, "a", 7), HOT, Sample(catalog.UTILIZATION, "a", 1, "s0")),
    ),
    processes=(Process(7, "a", "s0", 5, 0.5), Process(8, "a")),
    unsupported=(Unsupported(catalog.POWER, "a", "has none"),),
    conditions={"b": (BAD_MEMORY,)},
    events=(FALLEN,),
)
ALL = frozenset(Cadence)


def never(_: Node) -> ScriptedCollector:
    raise AssertionError("the check of a reading needs no running collector")


SPEC = CollectorSpec("acme", MEMORY_AND_MORE, (), never, (catalog.INFO, catalog.UTILIZATION))


def without(sample: Sample) -> Reading:
    return replace(GOOD, samples=tuple(other for other in GOOD.samples if other != sample))


def beside(*samples: Sample) -> Reading:
    return replace(GOOD, samples=(*GOOD.samples, *samples))


def of(**fields: object) -> Reading:
    """The valid reading with another first device."""
    changed: Callable[..., Device] = replace
    return replace(GOOD, devices=(changed(GOOD.devices[0], **fields), GOOD.devices[1]))


def made_up(**fields: object) -> Sample:
    """A utilization with a row that is not in the catalogue."""
    changed: Callable[..., Metric] = replace
    return Sample(changed(catalog.UTILIZATION, stem="sleep_ratio", **fields), "a", 0.5)


def hot(value: float) -> Reading:
    return beside(replace(HOT, labels=("board",), value=value))


BAD = [
    (replace(GOOD, devices=(*GOOD.devices, gpu("a"))), "uuid 'a' is not unique"),
    (replace(GOOD, partitions=(*GOOD.partitions, part("b", "a"))), "uuid 'a' is not unique"),
    (replace(GOOD, devices=(*GOOD.devices, replace(gpu("c"), device="dev-a"))), "device 'dev-a' is not unique"),
    (of(aliases=frozenset({Alias("B")})), "alias ('b', '') belongs to more than one device or partition"),
    (of(model=" "), "model of device 'a' is empty"),
    (of(device=""), "device of device 'a' is empty"),
    (of(vendor="Acme Inc"), "vendor 'Acme Inc' is not one word in lower case"),
    (beside(Sample(catalog.POWER_LIMIT, "a", 1)), "power_limit_watts of a: not a row of the collector's specification"),
    (
        beside(Sample(catalog.TEMPERATURE, "a", 1, "s0", ("core",))),
        "temperature_celsius of s0: not a row of the catalogue",
    ),
    (beside(made_up()), "sleep_ratio of a: not a row of the catalogue for devices"),
    (beside(replace(HOT, labels=())), "temperature_celsius of a: labels (), expected ['sensor']"),
    (beside(replace(HOT, labels=("",))), "temperature_celsius of a: label sensor is empty"),
    (beside(replace(HOT, labels=("nose",))), "temperature_celsius of a: label sensor is 'nose', expected one of"),
    (
        beside(replace(info("a"), labels=("1", *[""] * 6, "toy", "", "", ""))),
        "info of a: label class is 'toy', expected",
    ),
    (beside(replace(info("a", index="1"), value=2)), "info of a: 2, expected 1"),
    (hot(math.nan), "temperature_celsius of a: nan is not between"),
    (hot(math.inf), "temperature_celsius of a: inf is not between"),
    (hot(4e9), "temperature_celsius of a: 4000000000.0 is not between"),
    (beside(Sample(catalog.UTILIZATION, "a", 55, "s1")), "utilization_ratio of s1: 55 is not between 0 and 1"),
    (beside(Sample(catalog.ENERGY, "a", -1, labels=())), "energy_joules_total of a: -1 is not between"),
    (beside(Sample(catalog.ENERGY, "a", 2.0**64)), "energy_joules_total of a: 1.8446744073709552e+19 is not between"),
    (beside(Sample(catalog.ERRORS, "a", 0.5, labels=("xid", "79", "hardware"))), "0.5 is not a whole number"),
    (beside(Sample(catalog.MODE_STATE, "a", 2, labels=("ecc",))), "mode of a: 2, expected 0 or 1"),
    (beside(Sample(catalog.UTILIZATION, "b", 0.5)), "utilization_ratio of b: a reading of a lost device"),
    (beside(replace(USED, value=0.6)), "utilization_ratio of a occurs twice with labels ()"),
    (without(info("a")), "info of a is missing"),
    (without(info("a", "s1")), "info of s1 is missing"),
    (without(STATES[1]), "expected every state and exactly one of them 1"),
    (beside(*(Sample(catalog.STATUS_STATE, "b", 0.0, labels=s.labels) for s in STATES)), "status of b: {"),
    (beside(replace(USED, device_uuid="z")), "utilization_ratio: device 'z' with partition '' is not listed"),
    (beside(replace(USED, partition_uuid="z")), "utilization_ratio: device 'a' with partition 'z' is not listed"),
    (
        replace(GOOD, partitions=(*GOOD.partitions, Partition("s9", "z", "1g"))),
        "partition s9 belongs to a device that is",
    ),
    (replace(GOOD, processes=(Process(7, "z"),)), "processes: device 'z' with partition '' is not listed"),
    (
        replace(GOOD, unsupported=(Unsupported(catalog.ENERGY, "a", ""),)),
        "energy_joules_total of a is present but reported",
    ),
    (replace(GOOD, stuck=frozenset({"a"})), "utilization_ratio of a: a reading of a stuck device"),
    (replace(GOOD, stuck=frozenset({"z"})), "stuck device 'z' is not listed"),
    (replace(GOOD, conditions={"z": (BAD_MEMORY,)}), "conditions of device 'z', which is not listed"),
    (replace(GOOD, conditions={"a": (BAD_MEMORY,)}), "the first condition of a is not one of its state ok"),
    (replace(GOOD, conditions={"b": ()}), "the first condition of b is not one of its state None"),
    (replace(GOOD, conditions={"b": (BAD_MEMORY._replace(do=""),)}), "a condition of b says not what is wrong"),
    (replace(GOOD, events=(FALLEN._replace(text=" "),)), "event 79 of a says not what it means"),
    (replace(GOOD, processes=(Process(0, "a"),)), "pid 0 is not positive"),
    (replace(GOOD, processes=(Process(7, "a", utilization_ratio=1.5),)), "process 7 has a utilization of 1.5"),
    (replace(GOOD, processes=(Process(7, "a", memory_usage_bytes=2**64 - 1),)), "process 7 has 18446744073709551615"),
]


def test_good_reading_has_no_breach() -> None:
    assert list(breaches(SPEC, GOOD, ALL)) == []


@pytest.mark.parametrize(("reading", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_a_breach_is_named(reading: Reading, sentence: str) -> None:
    assert len([found for found in breaches(SPEC, reading, ALL) if sentence in found]) == 1


def test_sample_that_was_not_due_is_named() -> None:
    wrong = list(breaches(SPEC, GOOD, frozenset({Cadence.FAST, Cadence.MEDIUM})))
    assert wrong == [f"info of {subject}: slow was not due" for subject in ("a", "s0", "s1")]


def test_info_is_required_only_when_due_and_not_of_lost_devices() -> None:
    medium = replace(GOOD, samples=(HOT,))
    assert list(breaches(SPEC, medium, frozenset({Cadence.MEDIUM}))) == []
    gone = replace(GOOD, devices=(gpu("a", lost=True),), samples=(), processes=(), unsupported=(), conditions={})
    assert list(breaches(SPEC, gone, ALL)) == []


def test_a_label_without_a_closed_list_may_have_any_value() -> None:
    assert Label("code") in catalog.ERRORS.labels
    reading = beside(Sample(catalog.ERRORS, "a", 3, labels=("xid", "any", "hardware")))
    assert list(breaches(SPEC, reading, ALL)) == ["errors_total of a: not a row of the collector's specification"]
