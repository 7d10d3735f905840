"""The field values of a device are read by one call in each poll."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import CollectOptions
from collectors.metric import Cadence
from tests.doubles.nvidia_collector import collector_bench
from tests.doubles.nvlink_cards import ALL_LINKS, WIDE, blackwell, hopper, linked, with_sums
from tests.doubles.nvml import Device, NvmlState, h100
from tests.doubles.options import DIAGNOSED, EACH_LINK, USUAL

FIELDS = "nvmlDeviceGetFieldValues"
FAST = (Cadence.FAST,)
MEDIUM = (Cadence.FAST, Cadence.MEDIUM)
SLOW = tuple(Cadence)
BYTES_5 = {202: 7_000, 204: 9_000}


def fifth_generation() -> Device:
    """A card whose bytes and errors are read from fields that are fallbacks."""
    card = blackwell()
    for number, count in BYTES_5.items():
        card.set_field(number, count, WIDE, scope=ALL_LINKS)
    return card


def oldest() -> Device:
    return with_sums(linked(2), 7)


CARDS: Sequence[Callable[[], Device]] = (partial(h100, 0), partial(hopper, 18), fifth_generation, oldest)


@pytest.mark.parametrize("options", [USUAL, EACH_LINK, DIAGNOSED], ids=["usual", "each link", "diagnostics"])
@pytest.mark.parametrize("make", CARDS, ids=["H100", "Hopper", "Blackwell", "oldest"])
def test_each_device_takes_one_call_in_each_poll(
    nvml: NvmlState, tmp_path: Path, make: Callable[[], Device], options: CollectOptions
) -> None:
    other = h100(1)
    nvml.devices = [make(), other]
    with collector_bench(tmp_path, nvml, options) as bench:
        for due in (SLOW, SLOW, MEDIUM):
            bench.pass_time(10)
            bench.poll(*due)
        for due, expected in ((MEDIUM, 1), (FAST, 0), (SLOW, 1), (MEDIUM, 1), (SLOW, 1)):
            before = [nvml.calls(FIELDS, device=index) for index in range(2)]
            bench.pass_time(10)
            result = bench.poll(*due)
            after = [nvml.calls(FIELDS, device=index) for index in range(2)]
            assert [count - last for count, last in zip(after, before, strict=True)] == [expected] * 2
            # The jumps of the clock may make the wait for events late.
            assert [fault for fault in result.faults if fault[1] != "events"] == []


def test_a_fallback_is_in_the_first_reading(nvml: NvmlState, tmp_path: Path) -> None:
    nvml.devices = [fifth_generation()]
    uuid = nvml.devices[0].uuid
    with collector_bench(tmp_path, nvml) as bench:
        first, second = bench.poll(), bench.poll()
    for result in (first, second):
        assert result.values(catalog.INTERCONNECT_BYTES, uuid) == {"nvlink transmit ": 7_000, "nvlink receive ": 9_000}
        assert result.value(catalog.INTERCONNECT_ERRORS, uuid, "nvlink", "symbol", "") == 221


def test_field_values_after_a_hang_are_those_of_the_new_call(nvml: NvmlState, tmp_path: Path) -> None:
    cards = [hopper(3) for _ in range(2)]
    for index, card in enumerate(cards):
        card.uuid, card.pci_address = f"GPU-{index}", f"0000:{0x10 + index:02x}:00.0"
    nvml.devices = cards
    hung, other = nvml.devices[0], nvml.devices[1]
    with collector_bench(tmp_path, nvml) as bench:

        def crc(*due: Cadence) -> list[float | None]:
            bench.pass_time(10)
            result = bench.poll(*due)
            return [result.value(catalog.INTERCONNECT_ERRORS, uuid, "nvlink", "crc", "") for uuid in ("GPU-0", "GPU-1")]

        assert [crc(*due) for due in (SLOW, MEDIUM, MEDIUM)] == [[300, 300]] * 3
        bench.hang(FIELDS, 0)
        assert crc(*MEDIUM) == [None, 300]
        bench.collector.close()  # a new session while the call is out
        other.set_field(163, 207, WIDE, scope=2)
        assert [crc(*MEDIUM) for _ in range(2)] == [[None, 307]] * 2
        hung.set_field(163, 205, WIDE, scope=2)
        bench.release()
        assert [crc(*MEDIUM) for _ in range(3)] == [[305, 307]] * 3
