"""Bytes and errors of NVLinks, which NVML reports differently for each generation."""

from collections.abc import Callable
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import CollectOptions, Reading, Sample
from collectors.contract import Device as Known
from collectors.metric import Cadence
from collectors.nvidia.readings import device_queries
from collectors.query_runner import QueryResult
from exporter.validation import Validator
from tests.doubles.nvidia_collector import collector_bench
from tests.doubles.nvidia_device import QueriedDevice, reasons, values
from tests.doubles.nvlink_cards import (
    ALL_LINKS,
    NEWEST,
    OF_LINKS,
    OLDEST,
    STATE,
    UINT,
    WIDE,
    blackwell,
    errors,
    hopper,
    linked,
    with_sums,
)
from tests.doubles.nvml import Device, NvmlState, ValueType
from tests.doubles.options import EACH_LINK, USUAL

FIELDS = "nvmlDeviceGetFieldValues"
INVALID_ARGUMENT, UNSUPPORTED, NOT_READY, GPU_IS_LOST = 2, 3, 27, 15
MARK = 0xFFFFFFFFFFFFFFFF
REPLAY, RECOVERY, CRC = OF_LINKS
MEDIUM = frozenset({Cadence.MEDIUM})

Make = Callable[..., QueriedDevice]


@pytest.fixture
def query(nvml: NvmlState) -> Make:
    def device(card: Device, options: CollectOptions = USUAL) -> QueriedDevice:
        nvml.devices = [card]
        return QueriedDevice(nvml, device_queries(options))

    return device


def transferred(result: QueryResult) -> dict[tuple[str, str], float]:
    found = values(result, catalog.INTERCONNECT_BYTES)
    return {(direction, link): value for (_, direction, link), value in found.items()}


@pytest.mark.parametrize("card", [hopper(), with_sums(hopper(), 0)], ids=["sums are refused", "sums are a false 0"])
def test_errors_that_the_driver_does_not_add_up_are_added_up(query: Make, card: Device) -> None:
    device = query(card)
    assert errors(device.query()) == {"replay": 3, "recovery": 30, "crc": 300}
    device.card.set_field(CRC, 205, WIDE, scope=2)
    assert errors(device.query()) == {"replay": 3, "recovery": 30, "crc": 305}


def test_the_fields_of_all_links_take_one_call(query: Make, nvml: NvmlState) -> None:
    device = query(hopper(18))
    assert device.query(times=2).faults == []
    assert errors(device.query(MEDIUM)) != {}
    before = nvml.calls(FIELDS)
    assert errors(device.query(MEDIUM)) != {}
    assert nvml.calls(FIELDS) - before == 1


def test_sums_of_the_driver_are_used_if_no_link_counts(query: Make) -> None:
    assert errors(query(with_sums(linked(2), 7)).query()) == dict.fromkeys(OLDEST, 7)


def test_a_false_zero_of_the_oldest_sums_does_not_hide_errors_of_the_fifth_generation(query: Make) -> None:
    assert errors(query(with_sums(blackwell(), 0)).query()) == NEWEST


def test_two_generations_of_fields_are_never_mixed(query: Make) -> None:
    card = with_sums(blackwell(), 5)
    for link in range(2):
        card.set_field(RECOVERY, 4, WIDE, scope=link)
    device = query(card)
    for _ in range(2):
        result = device.query()
        assert result.faults == []
        assert errors(result) == {"recovery": 8}


def test_a_source_that_is_supported_later_does_not_replace_the_chosen_one(query: Make) -> None:
    """A change of the partition layout makes every unsupported query run again."""
    device = query(with_sums(linked(2), 7))
    device.query()
    for number in (*OF_LINKS, *NEWEST.values()):
        for scope in (0, 1, ALL_LINKS):
            device.card.set_field(number, 1000, WIDE, scope=scope)
    device.forget("GPU-0")
    for _ in range(2):
        assert errors(device.query()) == dict.fromkeys(OLDEST, 7)


@pytest.mark.parametrize(
    ("value", "code"),
    [(0, 0), (0, UNSUPPORTED), (0, INVALID_ARGUMENT), (0, NOT_READY), (MARK, 0)],
    ids=["0", "refused", "unknown", "error", "mark"],
)
@pytest.mark.parametrize("state", [0, 2], ids=["down", "asleep"])
def test_a_link_that_is_down_does_not_reduce_the_sum(query: Make, state: int, value: int, code: int) -> None:
    device = query(hopper())
    device.query()
    card = device.card
    card.set_field(STATE, state, UINT, scope=2)
    for number in OF_LINKS:
        card.set_field(number, value, WIDE, scope=2, code=code)
    for _ in range(6):
        result = device.query()
        assert result.faults == []
        assert errors(result) == {"replay": 3, "recovery": 30, "crc": 300}
    card.set_field(REPLAY, 11, WIDE, scope=1)
    assert errors(device.query())["replay"] == 13
    card.set_field(STATE, 1, UINT, scope=2)
    for number, count in zip(OF_LINKS, (5, 20, 200), strict=True):
        card.set_field(number, count, WIDE, scope=2)
    assert errors(device.query()) == {"replay": 16, "recovery": 30, "crc": 300}


def test_a_link_that_is_refused_although_it_is_up_does_not_reduce_the_sum(query: Make) -> None:
    device = query(hopper())
    device.query()
    device.card.set_field(CRC, 0, WIDE, scope=2, code=UNSUPPORTED)
    assert errors(device.query()) == {"replay": 3, "recovery": 30, "crc": 300}


def test_errors_counted_while_a_link_goes_down_are_not_lost(query: Make) -> None:
    device = query(hopper())
    device.query()
    device.card.set_field(STATE, 0, UINT, scope=2)
    device.card.set_field(RECOVERY, 25, WIDE, scope=2)
    assert errors(device.query())["recovery"] == 35


def test_a_link_that_is_up_and_fails_makes_only_its_kind_fail(query: Make) -> None:
    device = query(hopper())
    device.query()
    device.card.set_field(CRC, 0, WIDE, scope=1, code=NOT_READY)
    result = device.query()
    assert errors(result) == {"replay": 3, "recovery": 30}
    assert reasons(result) == ["unavailable"]


MARKS = {"64 bits": (MARK, WIDE), "32 bits": (2**32 - 1, UINT), "negative": (-1, ValueType.SIGNED_INT)}


@pytest.mark.parametrize(("value", "kind"), MARKS.values(), ids=MARKS)
@pytest.mark.parametrize("options", [USUAL, EACH_LINK], ids=["sums", "each link"])
def test_an_impossible_count_of_one_link_does_not_affect_the_others(
    query: Make, options: CollectOptions, value: int, kind: ValueType
) -> None:
    device = query(hopper(), options)
    before = values(device.query(), catalog.INTERCONNECT_ERRORS)
    device.card.set_field(CRC, value, kind, scope=1)
    device.card.set_field(CRC, 205, WIDE, scope=2)
    for _ in range(2):
        result = device.query()
        changed = ("nvlink", "crc", "" if options is USUAL else "2")
        assert values(result, catalog.INTERCONNECT_ERRORS) == before | {changed: before[changed] + 5}
        assert reasons(result) == ["invalid_value"]
    device.card.set_field(CRC, 100, WIDE, scope=1)
    assert device.query().faults == []


def test_a_sum_does_not_begin_without_a_link_of_which_nothing_is_known(query: Make) -> None:
    """It would rise by all errors of the link when that answers."""
    card = hopper()
    card.set_field(CRC, MARK, WIDE, scope=2)
    device = query(card)
    result = device.query()
    assert errors(result) == {"replay": 3, "recovery": 30}
    assert reasons(result) == ["invalid_value"]
    device.card.set_field(CRC, 200, WIDE, scope=2)
    assert errors(device.query()) == {"replay": 3, "recovery": 30, "crc": 300}


def test_each_link_is_counted_without_one_of_which_nothing_is_known(query: Make) -> None:
    card = hopper()
    card.set_field(CRC, MARK, WIDE, scope=2)
    result = query(card, EACH_LINK).query()
    found = values(result, catalog.INTERCONNECT_ERRORS)
    assert {link: value for (_, kind, link), value in found.items() if kind == "crc"} == {"0": 0, "1": 100}
    assert reasons(result) == ["invalid_value"]


def test_a_link_of_an_impossible_state_is_not_down(query: Make) -> None:
    """So that its count is believed, also if it is lower."""
    device = query(hopper())
    device.query()
    device.card.set_field(STATE, 2**32 - 1, UINT, scope=2)
    device.card.set_field(CRC, 1, WIDE, scope=2)
    assert errors(device.query())["crc"] == 101


def test_a_group_of_which_all_answers_fail_at_first_is_not_replaced(query: Make) -> None:
    card = with_sums(hopper(), 0)
    for link in range(3):
        card.set_field(REPLAY, 0, WIDE, scope=link, code=NOT_READY)
        for number in (RECOVERY, CRC):
            card.set_field(number, 0, WIDE, scope=link, code=UNSUPPORTED)
    device = query(card)
    assert errors(device.query()) == {}
    for link in range(3):
        device.card.set_field(REPLAY, 4, WIDE, scope=link)
    assert errors(device.query()) == {"replay": 12}


def test_the_count_of_a_link_that_is_up_may_fall(query: Make) -> None:
    """Its counter was reset: the rule for all counters decides what is exported."""
    device = query(hopper())
    device.query()
    device.card.set_field(CRC, 1, WIDE, scope=2)
    assert errors(device.query())["crc"] == 101


def test_nothing_is_reported_while_no_link_answers(query: Make) -> None:
    """As in MIG mode. The loss of each kind, and of the state, counts once."""
    device = query(hopper())
    device.query()
    card = device.card
    for number in (*OF_LINKS, STATE):
        for link in range(3):
            card.set_field(number, 0, WIDE, scope=link, code=UNSUPPORTED)
    results = [device.query() for _ in range(2)]
    assert [errors(result) for result in results] == [{}, {}]
    assert [len(result.faults) for result in results] == [len((*OF_LINKS, STATE)), 0]


def link_samples(result: QueryResult) -> tuple[Sample, ...]:
    return tuple(sample for sample in result.samples if sample.metric is catalog.INTERCONNECT_ERRORS)


def test_the_exported_sum_does_not_fall_while_a_link_is_down(query: Make) -> None:
    """Over many polls, with the rule that believes a lower counter after some readings."""
    device = query(hopper())
    validator, exported = Validator(), []
    for second in range(0, 100, 10):
        state = 0 if 20 <= second < 80 else 1
        device.card.set_field(STATE, state, UINT, scope=2)
        device.card.set_field(CRC, 200 * state, WIDE, scope=2)
        reading = Reading((Known("GPU-0", "0000:10:00.0", "nvidia", "H100"),), samples=link_samples(device.query()))
        accepted = validator.validate(reading, second)
        assert accepted.faults == ()
        exported += [s.value for s in accepted.samples if s.labels[1:] == ("crc", "")]
    assert exported == [300] * 10


def test_a_device_that_is_back_from_lost_counts_from_its_reset(nvml: NvmlState, tmp_path: Path) -> None:
    card = hopper()
    nvml.devices = [card]
    uuid = nvml.devices[0].uuid
    with collector_bench(tmp_path, nvml) as bench:
        assert bench.poll().value(catalog.INTERCONNECT_ERRORS, uuid, "nvlink", "crc", "") == 300
        nvml.lose(0)
        bench.poll()
        nvml.heal()
        for link, state in enumerate((1, 1, 0)):
            nvml.devices[0].set_field(STATE, state, UINT, scope=link)
            nvml.devices[0].set_field(CRC, 0, WIDE, scope=link)
        bench.pass_time(10)
        assert bench.poll().value(catalog.INTERCONNECT_ERRORS, uuid, "nvlink", "crc", "") == 0


def test_a_link_that_is_down_keeps_its_own_count(query: Make) -> None:
    device = query(hopper(2), EACH_LINK)
    device.query()
    device.card.set_field(STATE, 0, UINT, scope=1)
    device.card.set_field(CRC, 0, WIDE, scope=1)
    found = values(device.query(), catalog.INTERCONNECT_ERRORS)
    assert (found["nvlink", "crc", "0"], found["nvlink", "crc", "1"]) == (0, 100)


def test_a_group_with_a_refused_kind_is_not_replaced_for_single_links(query: Make) -> None:
    card = hopper(2)
    for link in range(2):
        card.set_field(CRC, 0, WIDE, scope=link, code=UNSUPPORTED)
        card.set_field(215, 5, WIDE, scope=link)
    device = query(card, EACH_LINK)
    for _ in range(2):
        found = values(device.query(), catalog.INTERCONNECT_ERRORS)
        assert {kind for _, kind, _ in found} == {"replay", "recovery"}
        assert found["nvlink", "recovery", "1"] == 10


def test_bytes_of_the_fifth_generation_replace_refused_ones(query: Make) -> None:
    card = blackwell()
    for number, value in {202: 7_000, 204: 9_000}.items():
        card.set_field(number, value, WIDE, scope=ALL_LINKS)
        for link in range(2):
            card.set_field(number, value + link, WIDE, scope=link)
    assert transferred(query(card).query()) == {("transmit", ""): 7_000, ("receive", ""): 9_000}
    assert transferred(query(card, EACH_LINK).query()) == {
        ("transmit", "0"): 7_000,
        ("transmit", "1"): 7_001,
        ("receive", "0"): 9_000,
        ("receive", "1"): 9_001,
    }


def test_bytes_without_protocol_overhead_are_preferred(query: Make) -> None:
    card = blackwell()
    for number in (138, 139, 202, 204):
        card.set_field(number, 5, WIDE, scope=ALL_LINKS)
    device = query(card)
    for _ in range(2):
        assert transferred(device.query()) == {("transmit", ""): 5_120, ("receive", ""): 5_120}


def test_bytes_that_are_supported_later_do_not_replace_those_in_use(query: Make) -> None:
    card = blackwell()
    for number in (202, 204):
        card.set_field(number, 7_000, WIDE, scope=ALL_LINKS)
    device = query(card)
    device.query()
    for number in (138, 139):
        device.card.set_field(number, 1, WIDE, scope=ALL_LINKS)
    device.forget("GPU-0")
    assert transferred(device.query()) == {("transmit", ""): 7_000, ("receive", ""): 7_000}
