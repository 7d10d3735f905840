from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.model import Residencies
from collectors.amd.gpu_metrics.parse import parse
from collectors.amd.throttle_time import ThrottleTime
from tests.doubles.amd_cards import APU, MI210, MI300X, AmdCard
from tests.doubles.amd_node import ALL, FAST, collector_of, values
from tests.doubles.amd_tree import AmdTree, Gpu

_SECOND = 1_000_000_000
NONE = {("power",): 0, ("thermal",): 0, ("reliability",): 0, ("external",): 0}


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


def _card(tree: AmdTree, kind: AmdCard) -> Gpu:
    return tree.add(kind, "0000:05:00.0")


@pytest.mark.parametrize(
    ("bits", "reasons"),
    [
        ([], ()),
        ([0], ("power",)),
        ([7], ("power",)),
        ([22], ("power",)),
        ([56], ("power",)),
        ([32], ("thermal",)),
        ([45], ("thermal",)),
        ([46], ("external",)),
        ([47], ("external",)),
        ([57], ("reliability",)),
        ([0, 36, 47, 57], ("power", "thermal", "external", "reliability")),
        ([48, 58, 63], ()),  # no such reasons
    ],
)
def test_a_card_with_status_bits_reports_the_current_reasons(
    tree: AmdTree, bits: list[int], reasons: tuple[str, ...]
) -> None:
    gpu = _card(tree, MI210)
    gpu.write_table(throttle_bits=sum(1 << bit for bit in bits))
    reading = collector_of(tree, parse=parse).read(ALL)
    expected = NONE | {(reason,): 1 for reason in reasons}
    assert values(reading, catalog.THROTTLE_ACTIVE, gpu.uuid) == expected
    assert catalog.THROTTLE_SECONDS in {each.metric for each in reading.unsupported}


def test_a_card_with_cycle_counters_reports_reasons_between_two_readings(tree: AmdTree) -> None:
    gpu = _card(tree, MI300X)
    collector = collector_of(tree, parse=parse)
    first = collector.read(ALL)
    assert values(first, catalog.THROTTLE_ACTIVE, gpu.uuid) == {}
    assert values(first, catalog.THROTTLE_SECONDS, gpu.uuid) == {("power",): 0, ("thermal",): 0, ("external",): 0}
    gpu.write_table(cycles=3_610_000, clock=3_610 * _SECOND, ppt=36_000 + 2_500)
    assert values(collector.read(FAST), catalog.THROTTLE_ACTIVE, gpu.uuid) == {
        ("power",): 1,
        ("thermal",): 0,
        ("external",): 0,
    }
    gpu.write_table(cycles=3_620_000, clock=3_620 * _SECOND, ppt=36_000 + 2_500, vr_thm=5_000, hbm_thm=2_800)
    last = collector.read(ALL)
    assert values(last, catalog.THROTTLE_ACTIVE, gpu.uuid) == {("power",): 0, ("thermal",): 1, ("external",): 0}
    # A quarter of ten seconds; the longer of two causes of one reason: half of ten seconds.
    assert values(last, catalog.THROTTLE_SECONDS, gpu.uuid) == pytest.approx(
        {("power",): 2.5, ("thermal",): 5.0, ("external",): 0}
    )


def test_the_rows_are_consistent_within_a_poll(tree: AmdTree) -> None:
    """Both rows read the same cycles; the second read must not create an interval of length 0."""
    gpu = _card(tree, MI300X)
    collector = collector_of(tree, parse=parse)
    collector.read(ALL)
    gpu.write_table(cycles=3_610_000, clock=3_610 * _SECOND, prochot=10_000)
    reading = collector.read(ALL)
    assert values(reading, catalog.THROTTLE_ACTIVE, gpu.uuid)["external",] == 1
    assert values(reading, catalog.THROTTLE_SECONDS, gpu.uuid)["external",] == pytest.approx(10)


def test_tables_before_version_2_2_have_no_throttle_reasons(tree: AmdTree) -> None:
    _card(tree, APU)
    reading = collector_of(tree, parse=parse).read(ALL)
    missing = {each.metric for each in reading.unsupported}
    assert {catalog.THROTTLE_ACTIVE, catalog.THROTTLE_SECONDS} <= missing
    assert reading.faults == ()


def _at(cycles: int, seconds: float, **by_cause: int) -> Residencies:
    return Residencies(cycles, by_cause, seconds)


def test_after_falling_counters_the_time_in_between_is_unknown() -> None:
    time = ThrottleTime()
    time.update(_at(1000, 10.0, ppt=500))
    time.update(_at(2000, 11.0, ppt=1000))
    assert time.seconds() == pytest.approx({"power": 0.5})
    assert time.active() == {"power": True}
    time.update(_at(100, 12.0, ppt=50))
    assert time.active() == {}
    assert time.seconds() == pytest.approx({"power": 0.5})
    time.update(_at(1100, 13.0, ppt=1050))
    assert time.seconds() == pytest.approx({"power": 1.5})


def test_dip_of_the_counters_is_bridged() -> None:
    time = ThrottleTime()
    time.update(_at(1_000_000, 10.0, ppt=900_000))
    time.update(_at(0, 11.0, ppt=0))
    time.update(_at(0, 11.0, ppt=0))  # the same poll
    assert time.active() == {}
    time.update(_at(1_002_000, 12.0, ppt=900_000))
    assert (time.seconds(), time.active()) == ({"power": 0.0}, {"power": False})


@pytest.mark.parametrize(
    ("cycles", "seconds", "ppt"),
    [(999, 11.0, 600), (2000, 10.0, 600), (2000, 9.0, 600), (2000, 11.0, 400)],
)
def test_an_implausible_interval_adds_nothing(cycles: int, seconds: float, ppt: int) -> None:
    time = ThrottleTime()
    time.update(_at(1000, 10.0, ppt=500))
    time.update(_at(cycles, seconds, ppt=ppt))
    assert time.seconds() == {"power": 0}
    assert time.active() == {}


def test_impossible_time_of_the_firmware_adds_nothing() -> None:
    time = ThrottleTime()
    for reading in (_at(1000, 100.0, ppt=0), _at(2000, 1.8e10, ppt=1000), _at(3000, 120.0, ppt=1000)):
        time.update(reading)
    time.update(_at(4000, 130.0, ppt=1500))
    assert time.seconds()["power"] == 10 + 5  # half of the 20 s, and half of the last 10 s


def test_a_reason_applies_at_most_for_the_elapsed_time() -> None:
    time = ThrottleTime()
    time.update(_at(1000, 10.0, ppt=0))
    time.update(_at(1001, 11.0, ppt=5000))
    assert time.seconds() == {"power": 1.0}


def test_a_cause_without_a_counter_has_no_reason() -> None:
    time = ThrottleTime()
    assert time.seconds() == {}
    time.update(_at(1000, 10.0, hbm_thm=1))
    time.update(_at(2000, 11.0, hbm_thm=1, ppt=7))
    assert time.active() == {"thermal": False}


def test_without_new_cycles_nothing_changes() -> None:
    time = ThrottleTime()
    time.update(_at(1000, 10.0, ppt=0))
    time.update(_at(2000, 11.0, ppt=1000))
    time.update(_at(2000, 12.0, ppt=1000))
    assert time.active() == {"power": True}
    time.update(_at(4000, 13.0, ppt=2000))  # half of the two seconds since the last change
    assert time.seconds() == {"power": 2.0}
