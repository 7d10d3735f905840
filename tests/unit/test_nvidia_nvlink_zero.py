"""A false zero of the oldest NVLink fields, which answers first, and the fields that count."""

from collections.abc import Callable
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import CollectOptions
from collectors.nvidia.readings import device_queries
from tests.doubles.nvidia_collector import collector_bench
from tests.doubles.nvidia_device import QueriedDevice
from tests.doubles.nvlink_cards import ALL_LINKS, NEWEST, OF_LINKS, OLDEST, WIDE, errors, linked, with_sums
from tests.doubles.nvml import Device, NvmlState

Make = Callable[[Device], QueriedDevice]


@pytest.fixture
def query(nvml: NvmlState) -> Make:
    def device(card: Device) -> QueriedDevice:
        nvml.devices = [card]
        return QueriedDevice(nvml, device_queries(CollectOptions()))

    return device


def of_links_later(device: QueriedDevice, count: int) -> None:
    for number in OF_LINKS:
        for link in range(2):
            device.card.set_field(number, count, WIDE, scope=link)


def of_generation_5_later(device: QueriedDevice, count: int) -> None:
    for number in NEWEST.values():
        device.card.set_field(number, 2 * count, WIDE, scope=ALL_LINKS)


LATER = {
    "links": (of_links_later, {"replay": 0, "recovery": 0, "crc": 2000}, "replay"),
    "generation 5": (of_generation_5_later, {**dict.fromkeys(NEWEST, 2000), "recovery": 0}, "recovery"),
}


@pytest.mark.parametrize(("answer", "expected", "kind"), LATER.values(), ids=LATER)
def test_a_false_zero_that_answers_first_is_replaced_without_a_jump(
    query: Make, answer: Callable[[QueriedDevice, int], None], expected: dict[str, float], kind: str
) -> None:
    """What was counted before is the new base of the kinds that were exported as 0."""
    device = query(with_sums(linked(2), 0))
    for _ in range(2):
        assert errors(device.query()) == dict.fromkeys(OLDEST, 0)
    answer(device, 1000)
    device.forget("GPU-0")
    results = [device.query() for _ in range(2)]
    assert [errors(result) for result in results] == [expected] * 2
    assert [result.faults for result in results] == [[], []]
    answer(device, 1003)
    assert errors(device.query()) == {name: value + 6 for name, value in expected.items()}
    for number in OLDEST.values():  # it begins to count the same errors
        device.card.set_field(number, 9, WIDE)
    assert errors(device.query())[kind] == 6
    answer(device, 1)  # reset
    assert errors(device.query())[kind] == 0
    answer(device, 5)
    assert errors(device.query())[kind] == 8


def test_a_sum_of_the_driver_that_has_counted_once_is_not_replaced(query: Make) -> None:
    card = with_sums(linked(2), 0)
    card.set_field(OLDEST["replay"], 1, WIDE)
    device = query(card)
    device.query()
    of_links_later(device, 1000)
    device.forget("GPU-0")
    for _ in range(2):
        assert errors(device.query()) == dict.fromkeys(OLDEST, 0) | {"replay": 1}


def test_newer_fields_are_found_by_the_slow_readings(nvml: NvmlState, tmp_path: Path) -> None:
    nvml.devices = [with_sums(linked(2), 0)]
    uuid = nvml.devices[0].uuid
    with collector_bench(tmp_path, nvml) as bench:
        assert bench.poll().value(catalog.INTERCONNECT_ERRORS, uuid, "nvlink", "replay", "") == 0
        for count in (1000, 1001):
            for number in OF_LINKS:
                for link in range(2):
                    nvml.devices[0].set_field(number, count, WIDE, scope=link)
            bench.pass_time(60)
            result = bench.poll()
            rises = [result.value(catalog.INTERCONNECT_ERRORS, uuid, "nvlink", kind, "") for kind in ("replay", "crc")]
            assert rises == [2 * (count - 1000), 2 * count]
