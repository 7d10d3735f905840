"""PCIe, NVLink, C2C and the fabric, as the QueryRunner reads them."""

from collections.abc import Callable

import pytest

from collectors import catalog
from collectors.contract import CollectOptions
from collectors.metric import Cadence
from collectors.nvidia.readings import device_queries
from collectors.query_runner import QueryResult
from tests.doubles.nvidia_device import QueriedDevice, reasons, series
from tests.doubles.nvml import Device, NvmlState, ValueType, h100
from tests.doubles.options import EACH_LINK, USUAL

FIELDS, THROUGHPUT = "nvmlDeviceGetFieldValues", "nvmlDeviceGetPcieThroughput"
UINT, ULONGLONG = ValueType.UNSIGNED_INT, ValueType.UNSIGNED_LONG_LONG
INVALID_ARGUMENT, UNSUPPORTED, NOT_READY = 2, 3, 27
ALL_LINKS = 0xFFFFFFFF
COUNT, SPEED, STATE = 91, 164, 165
OLDER_ERRORS = (38, 45, 52, 59)

Values = dict[tuple[str, ...], float]


class Bench:
    """A card whose queries can be run repeatedly."""

    def __init__(self, state: NvmlState, card: Device, options: CollectOptions = USUAL) -> None:
        state.devices = [card]
        self.state = state
        self.device = QueriedDevice(state, device_queries(options))
        self.card = self.device.card

    def query(self) -> QueryResult:
        return self.device.query()

    def values(self, prefix: str) -> Values:
        """The series of families with this prefix, from the second run, when fallbacks are in use."""
        result = self.device.query(times=2)
        assert result.faults == []
        return {key: value for key, value in series(result).items() if key[0].startswith(prefix)}

    def error_kinds(self) -> tuple[set[str], list[str]]:
        """The counted kinds of errors, and the reasons of the faults."""
        result = self.query()
        kinds = {key[2] for key in series(result) if key[0] == "interconnect_errors_total"}
        return kinds, reasons(result)


Benches = Callable[..., Bench]


@pytest.fixture
def bench(nvml: NvmlState) -> Benches:
    def bench(card: Device, options: CollectOptions = USUAL) -> Bench:
        return Bench(nvml, card, options)

    return bench


def links(count: int, of_each: dict[int, int] | None = None) -> Device:
    """A card with this many NVLinks, all up, and one C2C link; values of a field rise by 1 from link to link."""
    card = h100(0)
    card.fields = ()
    for field, value in {82: 40, COUNT: count, 170: 1, 171: 1, 172: 900_000}.items():
        card.set_field(field, value, UINT)
    for field in OLDER_ERRORS:
        card.set_field(field, 0, ULONGLONG)
    for link in range(count):
        card.set_field(STATE, 1, UINT, scope=link)
        card.set_field(SPEED, 25_000, UINT, scope=link)
        for field, value in (of_each or {}).items():
            card.set_field(field, value + link, ULONGLONG, scope=link)
    return card


def blackwell(count: int) -> Device:
    """A card without the older error counters and with the newer ones for each link and for all links."""
    newer = {206: 10, 207: 20, 208: 30, 215: 40, 221: 50}
    card = links(count, newer)
    for field, value in newer.items():
        card.set_field(field, 1000 + value, ULONGLONG, scope=ALL_LINKS)
    for field in OLDER_ERRORS:
        card.set_field(field, 0, ULONGLONG, code=UNSUPPORTED)
    return card


def test_links_are_counted_by_state_and_only_those_that_are_up_have_bandwidth(bench: Benches) -> None:
    card = links(18)
    card.set_field(STATE, 0, UINT, scope=3)
    card.set_field(STATE, 2, UINT, scope=4)  # asleep
    card.set_field(STATE, 3, UINT, scope=5)  # its traffic is disabled
    reader = bench(card)
    assert reader.values("interconnect_links") == {
        ("interconnect_links", "nvlink", "up"): 16,
        ("interconnect_links", "nvlink", "down"): 1,
        ("interconnect_links", "c2c", "up"): 1,
        ("interconnect_links", "c2c", "down"): 0,
    }
    assert reader.values("interconnect_bandwidth") == {
        ("interconnect_bandwidth_limit_bytes_per_second", "nvlink"): 16 * 25e9,
        ("interconnect_bandwidth_limit_bytes_per_second", "c2c"): 900e9,
    }


def test_the_bandwidth_limit_is_zero_if_every_link_is_down(bench: Benches) -> None:
    card = links(2)
    for link in range(2):
        card.set_field(STATE, 0, UINT, scope=link)
    limits = bench(card).values("interconnect_bandwidth")
    assert limits["interconnect_bandwidth_limit_bytes_per_second", "nvlink"] == 0


def test_a_device_without_links_has_no_series_of_them_and_is_queried_once(bench: Benches) -> None:
    card = h100(0)
    card.fields = ()
    reader = bench(card)
    reader.card.set_field(82, 40, UINT)
    assert reader.values("interconnect") == {}
    calls = reader.state.calls(FIELDS)
    reader.query()
    # The batch still has the memory temperature. Queries of links are no longer made.
    assert reader.state.calls(FIELDS) == calls + 1
    assert {catalog.INTERCONNECT_LINKS, catalog.INTERCONNECT_BYTES, catalog.INTERCONNECT_ERRORS} <= set(
        reader.device.gaps()
    )


def test_a_link_without_a_state_is_omitted(bench: Benches) -> None:
    card = links(3)
    card.set_field(STATE, 0, UINT, scope=1, code=UNSUPPORTED)
    assert bench(card).values("interconnect_links")["interconnect_links", "nvlink", "up"] == 2


@pytest.mark.parametrize("state", [4, 255, 2**32 - 1])
def test_a_link_of_an_impossible_state_is_neither_up_nor_down(bench: Benches, state: int) -> None:
    card = links(3)
    card.set_field(STATE, 0, UINT, scope=2)
    card.set_field(STATE, state, UINT, scope=1)
    result = bench(card).query()
    found = {key[1:]: value for key, value in series(result).items() if key[0] == "interconnect_links"}
    assert found == {("nvlink", "up"): 1, ("nvlink", "down"): 1, ("c2c", "up"): 1, ("c2c", "down"): 0}
    assert reasons(result) == ["invalid_value"]
    limits = [key[1:] for key in series(result) if key[0] == "interconnect_bandwidth_limit_bytes_per_second"]
    assert limits == [("c2c",)]  # the total is unknown


def test_links_whose_states_are_all_impossible_have_no_series(bench: Benches) -> None:
    card = links(2)
    for link in range(2):
        card.set_field(STATE, 2**32 - 1, UINT, scope=link)
    result = bench(card).query()
    assert {key[1] for key in series(result) if key[0].startswith("interconnect_links")} == {"c2c"}
    assert reasons(result) == ["invalid_value"]


@pytest.mark.parametrize(
    ("speed", "kind"), [(1_000_000, UINT), (2**32 - 1, UINT), (2**64 - 1, ULONGLONG), (-1, ValueType.SIGNED_INT)]
)
def test_an_impossible_speed_of_one_link_makes_the_total_unknown(bench: Benches, speed: int, kind: ValueType) -> None:
    card = links(3)
    card.set_field(SPEED, speed, kind, scope=1)
    result = bench(card).query()
    assert [key[1:] for key in series(result) if key[0].startswith("interconnect_bandwidth")] == [("c2c",)]
    assert reasons(result) == ["invalid_value"]


@pytest.mark.parametrize(("options", "scope"), [(EACH_LINK, 1), (USUAL, ALL_LINKS)], ids=["each link", "sums"])
def test_a_temporary_failure_of_one_kind_does_not_affect_the_others(
    bench: Benches, options: CollectOptions, scope: int
) -> None:
    """With an option for each link, one failing link makes its kind fail for all links."""
    reader = bench(blackwell(3), options)
    reader.device.query()
    assert reader.error_kinds() == ({"receive", "recovery", "symbol"}, [])
    reader.card.set_field(221, 0, ULONGLONG, scope=scope, code=NOT_READY)
    assert reader.error_kinds() == ({"receive", "recovery"}, ["unavailable"])


def test_an_impossible_number_of_links_is_refused(bench: Benches) -> None:
    card = links(2)
    card.set_field(COUNT, 4_000_000, UINT)
    assert reasons(bench(card).query()) == ["invalid_value"] * 3  # links, bandwidth and errors


def test_errors_of_the_fifth_generation_replace_the_older_ones(bench: Benches) -> None:
    """The sums of the driver, without malformed packets and overruns, which the receive errors include."""
    assert bench(blackwell(2)).values("interconnect_errors") == {
        ("interconnect_errors_total", "nvlink", "receive", ""): 1030,
        ("interconnect_errors_total", "nvlink", "recovery", ""): 1040,
        ("interconnect_errors_total", "nvlink", "symbol", ""): 1050,
    }
    assert bench(links(2)).error_kinds() == ({"crc_flit", "crc_data", "replay", "recovery"}, [])


def test_errors_of_the_fifth_generation_are_in_the_first_reading_and_take_one_call(bench: Benches) -> None:
    reader = bench(blackwell(18))
    assert reader.error_kinds() == ({"receive", "recovery", "symbol"}, [])
    medium = frozenset({Cadence.MEDIUM})
    reader.device.query(medium)
    before = reader.state.calls(FIELDS)
    reader.device.query(medium)
    assert reader.state.calls(FIELDS) - before == 1


def test_a_driver_without_errors_of_either_generation_has_no_series(bench: Benches) -> None:
    card = links(2)
    for field in OLDER_ERRORS:
        card.set_field(field, 0, ULONGLONG, code=UNSUPPORTED)
    for field in (208, 209, 210, 211, 212, 215, 221):
        card.set_field(field, 0, ULONGLONG, scope=ALL_LINKS, code=INVALID_ARGUMENT)
    reader = bench(card)
    assert reader.values("interconnect_errors") == {}
    assert catalog.INTERCONNECT_ERRORS in reader.device.gaps()


def test_the_option_for_each_link_replaces_the_sums(bench: Benches) -> None:
    card = links(2, {138: 5, 139: 7, 161: 1, 162: 3, 163: 8})
    for field in (138, 139):
        card.set_field(field, 99, ULONGLONG, scope=ALL_LINKS)
    reader = bench(card, EACH_LINK)
    assert reader.values("interconnect_bytes") == {
        ("interconnect_bytes_total", "nvlink", "transmit", "0"): 5 * 1024,
        ("interconnect_bytes_total", "nvlink", "transmit", "1"): 6 * 1024,
        ("interconnect_bytes_total", "nvlink", "receive", "0"): 7 * 1024,
        ("interconnect_bytes_total", "nvlink", "receive", "1"): 8 * 1024,
    }
    assert reader.values("interconnect_errors") == {
        ("interconnect_errors_total", "nvlink", "replay", "0"): 1,
        ("interconnect_errors_total", "nvlink", "replay", "1"): 2,
        ("interconnect_errors_total", "nvlink", "recovery", "0"): 3,
        ("interconnect_errors_total", "nvlink", "recovery", "1"): 4,
        ("interconnect_errors_total", "nvlink", "crc", "0"): 8,
        ("interconnect_errors_total", "nvlink", "crc", "1"): 9,
    }


def fabric(state: int, status: int = 0, newest: int = 3) -> Device:
    """A card in a fabric, with a driver that supports the structure up to a version."""
    card = h100(0)
    card.fabric_state, card.fabric_status, card.fabric_info_version = state, status, newest
    return card


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (fabric(1), "not_started"),
        (fabric(2), "in_progress"),
        (fabric(3), "completed"),
        (fabric(3, 999), "failed"),
        (fabric(3, newest=2), "completed"),  # an older driver is read with the older structure
    ],
)
def test_the_fabric_is_in_one_state(bench: Benches, card: Device, expected: str) -> None:
    values = bench(card).values("fabric_status")
    assert values == {
        ("fabric_status", "nvlink", state): float(state == expected)
        for state in ("not_supported", "not_started", "in_progress", "completed", "failed")
    }


def test_a_device_outside_any_fabric_has_no_status(bench: Benches) -> None:
    reader = bench(fabric(0))
    assert reader.values("fabric_") == {}
    assert {catalog.FABRIC_STATUS, catalog.FABRIC_CONDITION} <= reader.device.gaps().keys()


HEALTHY_MASK = 0b01_10_10_10_10  # the configuration is right, the other conditions are false


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (HEALTHY_MASK, (0, 0, 0, 0, 0)),
        (0b01_10_10_10_01, (1, 0, 0, 0, 0)),
        (0b01_10_10_01_10, (0, 1, 0, 0, 0)),
        (0b01_10_01_10_10, (0, 0, 1, 0, 0)),
        (0b01_01_10_10_10, (0, 0, 0, 1, 0)),
        (0b10_10_10_10_10, (0, 0, 0, 0, 1)),  # wrong system GUID
        (0b1000_10_10_10_10, (0, 0, 0, 0, 1)),  # invalid state of the GPU
        (0b1111_10_10_10_10, (0, 0, 0, 0, 1)),  # a reason that the header does not have yet
        (0b10_10_10_10, (0, 0, 0, 0, None)),  # as version 2 of the structure reports it
        (0b01_00_10_11_01, (1, None, 0, None, 0)),  # not supported, and a value that the header does not have
        (0xFFFFF000 | HEALTHY_MASK, (0, 0, 0, 0, 0)),  # whether a partition is assigned, and later fields
        (0, (None,) * 5),
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_conditions_of_the_fabric_are_those_of_its_health_mask(
    bench: Benches, mask: int, expected: tuple[int | None, ...], version: int
) -> None:
    card = fabric(3, newest=version)
    card.fabric_health_mask = mask
    names = (
        "degraded_bandwidth",
        "route_recovery",
        "route_unhealthy",
        "access_timeout_recovery",
        "incorrect_configuration",
    )
    assert bench(card).values("fabric_condition") == {
        ("fabric_condition", "nvlink", name): value
        for name, value in zip(names, expected, strict=True)
        if value is not None
    }


def test_pcie_bytes_of_32_bits_are_refused(bench: Benches) -> None:
    card = h100(0)
    card.set_field(197, 5, UINT)
    card.set_field(198, 6000, ULONGLONG)
    assert bench(card).values("pcie_bytes") == {("pcie_bytes_total", "receive"): 6000}


def test_pcie_throughput_is_queried_only_when_enabled(bench: Benches) -> None:
    card = h100(0)
    card.pcie_transmit_kilobytes_per_second, card.pcie_receive_kilobytes_per_second = 800, 900
    usual = bench(card)
    assert usual.values("pcie_throughput") == {}
    assert usual.state.calls(THROUGHPUT) == 0
    assert bench(card, CollectOptions(pcie_throughput=True)).values("pcie_throughput") == {
        ("pcie_throughput_bytes_per_second", "transmit"): 800_000,
        ("pcie_throughput_bytes_per_second", "receive"): 900_000,
    }
