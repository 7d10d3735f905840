"""The tables that describe themselves."""

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from collectors.amd.gpu_metrics.model import Metrics, PartitionMetrics, Residencies, UnknownTableError, XgmiLinks
from collectors.amd.gpu_metrics.parse import parse, parse_partition
from collectors.query import InvalidValueError
from tests.doubles.amd_attributes import (
    CELSIUS,
    GPU,
    NONE,
    PERCENT,
    SIZE,
    WATTS,
    Attribute,
    assembled,
    gpu_table,
    partition_table,
)
from tests.doubles.amd_metrics import Fields, Value

NO_ATTRIBUTES = assembled((1, 9), [])
# Fields that are used only together with others.
OF_PAIRS = {"clock", "cycles", "prochot", "ppt", "socket_thm", "vr_thm", "hbm_thm", "xgmi_width", "xgmi_speed"}
GPU_BY_NAME = {each.name: each for each in GPU}
# As of a loaded MI300X: the last link and the last die do not exist.
FILLED: Fields = {
    "hotspot": 61,
    "memory": 47,
    "vrsoc": 55,
    "power": 611,
    "gfx": 88,
    "umc": 31,
    "energy": 3 << 40,
    "clock": 2_500_000_000,
    "cycles": 1000,
    "prochot": 1,
    "ppt": 2,
    "socket_thm": 3,
    "vr_thm": 4,
    "hbm_thm": 5,
    "xgmi_width": 16,
    "xgmi_speed": 32,
    "replays": 4,
    "xgmi_read": (1, 2, 3, 4, 5, 6, 7),
    "xgmi_written": (8,),
    "xgmi_status": (1, 0, 2),
    "gfx_dies": (10, 20, 30, 40, 50, 60, 70),
    "jpeg": (3,),
    "vcn": (7, 9),
}
METRICS = Metrics(
    power_watts=611,
    energy_joules=3 * 2.0**24,
    gfx_ratio=0.88,
    umc_ratio=0.31,
    vcn_ratios=[0.07, 0.09, None, None],
    jpeg_ratios=[0.03, *[None] * 39],
    hotspot_celsius=61,
    memory_celsius=47,
    residencies=Residencies(1000, {"prochot": 1, "ppt": 2, "socket_thm": 3, "vr_thm": 4, "hbm_thm": 5}, 2.5),
    pcie_replays=4,
    xgmi=XgmiLinks(
        received_bytes=[*(1024.0 * link for link in range(1, 8)), None],
        sent_bytes=[8192.0, *[None] * 7],
        up=[True, False, *[None] * 6],
        link_bytes_per_second=64e9,
    ),
    compute_dies=7,
)


def alone(attribute: Attribute, value: Value) -> Metrics:
    """What is read of a table with one attribute."""
    return parse(assembled((1, 9), [attribute.bytes_of(value)]))


def test_every_attribute_of_an_mi300x_is_read() -> None:
    blob = gpu_table(FILLED)
    assert len(blob) == SIZE
    assert parse(blob) == METRICS


def test_the_types_of_newer_drivers_are_read_too() -> None:
    wide = dict.fromkeys(("cycles", "prochot", "ppt", "socket_thm", "vr_thm", "hbm_thm"), "Q")
    assert parse(gpu_table(FILLED, wide)) == METRICS


@pytest.mark.parametrize("kind", "BbHhIiQq")
def test_every_type_is_read_and_has_its_own_mark_for_unfilled(kind: str) -> None:
    size = struct.calcsize(f"<{kind}")
    hotspot = Attribute("hotspot", 0, CELSIUS, kind)
    assert alone(hotspot, 61).hotspot_celsius == 61
    assert alone(hotspot, -1 if kind.islower() else (1 << 8 * size) - 1).hotspot_celsius is None
    if kind in "HIQ":
        assert alone(hotspot, 0xFF).hotspot_celsius == 255


def test_only_a_temperature_can_be_negative() -> None:
    assert alone(Attribute("hotspot", 0, CELSIUS, "h"), -7).hotspot_celsius == -7
    assert alone(Attribute("power", 3, WATTS, "h"), -7).power_watts is None
    assert alone(Attribute("gfx", 4, PERCENT, "b"), -7).gfx_ratio is None


def test_a_table_that_the_driver_did_not_fill_has_no_values() -> None:
    eight: list[None] = [None] * 8
    assert parse(gpu_table({})) == Metrics(vcn_ratios=[None] * 4, jpeg_ratios=[None] * 40, xgmi=XgmiLinks(eight, eight))


def test_a_table_without_attributes_has_no_values() -> None:
    assert parse(NO_ATTRIBUTES) == Metrics(xgmi=XgmiLinks([], []), vcn_ratios=[], jpeg_ratios=[])


@pytest.mark.parametrize(
    "key", [2, 6, 15, 16, 17, 20, 21, 22, 23, 24, 26, 27, 28, 32, 38, 39, 43, 47, 48, 49, 90, 1023]
)
@pytest.mark.parametrize("unit", [NONE, CELSIUS, PERCENT])
def test_an_attribute_that_is_not_used_is_skipped(key: int, unit: int) -> None:
    other = Attribute("other", key, unit, "I", 12)
    blob = assembled((1, 9), [other.bytes_of((7,) * 12), GPU_BY_NAME["power"].bytes_of(611)])
    assert parse(blob) == replace(parse(NO_ATTRIBUTES), power_watts=611)


@pytest.mark.parametrize("name", [name for name in FILLED if name != "vrsoc"])
def test_a_value_in_another_unit_is_not_used(name: str) -> None:
    attribute = GPU_BY_NAME[name]
    assert alone(attribute, FILLED[name]) != parse(NO_ATTRIBUTES) or name in OF_PAIRS
    assert alone(attribute._replace(unit=attribute.unit + 1), FILLED[name]) == parse(NO_ATTRIBUTES)


def test_a_single_number_for_all_links_is_not_that_of_a_link() -> None:
    assert alone(GPU_BY_NAME["xgmi_read"]._replace(instances=1), 5).xgmi.received_bytes == []


def test_several_values_where_one_is_expected_are_not_used() -> None:
    assert alone(GPU_BY_NAME["power"]._replace(instances=2), (300, 311)).power_watts is None


def test_a_link_that_is_1024_times_too_fast_has_no_bandwidth() -> None:
    assert parse(gpu_table({"xgmi_width": 16, "xgmi_speed": 32 << 10})).xgmi.link_bytes_per_second is None


@pytest.mark.parametrize("kind", range(8, 16))
def test_what_follows_an_unknown_type_cannot_be_found(kind: int) -> None:
    unknown = struct.pack("<QQ", kind << 20 | 50 << 10 | 1, 0)
    with pytest.raises(UnknownTableError, match=f"^gpu_metrics 1.9, attribute 1: its type {kind} is not supported$"):
        parse(assembled((1, 9), [GPU_BY_NAME["power"].bytes_of(611), unknown]))


def _with_count(count: int) -> bytes:
    blob = bytearray(gpu_table(FILLED))
    struct.pack_into("<i", blob, 4, count)
    return bytes(blob)


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (b"\x08\x00\x01", "3 bytes"),
        (b"\x04\x00\x01\x09", "4 bytes"),
        (gpu_table(FILLED)[:1149], "1149 bytes, 1150 in the header"),
        (_with_count(-1), "-1 attributes in 1150 bytes"),
        (_with_count(48), "attribute 47: it starts at byte 1150 of 1150"),
        (_with_count(143), "143 attributes in 1150 bytes"),
        (_with_count(2**31 - 1), "2147483647 attributes in 1150 bytes"),
        (
            assembled((1, 9), [struct.pack("<QQ", 6 << 20 | 29 << 10 | 1023, 0)]),
            "attribute 0: 1023 values end at byte 8200 of 24",
        ),
        (assembled((1, 9), [GPU_BY_NAME["power"].bytes_of(1)] * 2), "attribute 1: the id 3 is there twice"),
    ],
)
def test_a_table_that_states_more_than_it_contains_is_refused(blob: bytes, why: str) -> None:
    with pytest.raises(InvalidValueError, match=f"{why}$"):
        parse(blob)


def test_bytes_after_a_table_are_ignored() -> None:
    assert parse(gpu_table(FILLED) + b"\1" * 64) == METRICS


def _fixed(fields: Fields) -> bytes:
    """A table `xcp_metrics` 1.0: places by offset, computed apart from the collector's layout."""
    blob = bytearray(b"\xff" * 488)
    struct.pack_into("<HBB", blob, 0, 488, 1, 0)
    for name, (offset, kind) in {"gfx_dies": (48, "I"), "jpeg": (80, "H"), "vcn": (160, "H")}.items():
        values = fields.get(name, ())
        assert not isinstance(values, int)
        struct.pack_into(f"<{len(values)}{kind}", blob, offset, *values)
    return bytes(blob)


@pytest.mark.parametrize("write", [_fixed, partition_table])
def test_the_table_of_a_partition_has_its_own_engines(write: Callable[[Fields], bytes]) -> None:
    read = parse_partition(write({"gfx_dies": (10, 20), "jpeg": (3,), "vcn": (7,)}))
    assert read == PartitionMetrics([0.1, 0.2, *[None] * 6], [0.07, *[None] * 3], [0.03, *[None] * 39])


@pytest.mark.parametrize("version", [(1, 2), (2, 0), (1, 9)])
def test_another_version_of_the_table_of_a_partition_is_named(version: tuple[int, int]) -> None:
    blob = struct.pack("<HBB", 16, *version) + bytes(12)
    with pytest.raises(UnknownTableError, match=f"^xcp_metrics {version[0]}.{version[1]}: this version"):
        parse_partition(blob)


def test_the_table_of_a_partition_with_another_size_has_another_layout() -> None:
    blob = bytearray(_fixed({}))
    blob[0] += 8
    with pytest.raises(UnknownTableError, match=r"xcp_metrics 1\.0: 496 bytes, expected 488"):
        parse_partition(bytes(blob) + bytes(8))


@pytest.mark.parametrize("length", [0, 3, 100])
@pytest.mark.parametrize("write", [_fixed, partition_table])
def test_an_incomplete_table_of_a_partition_is_refused(write: Callable[[Fields], bytes], length: int) -> None:
    with pytest.raises(InvalidValueError, match=r"xcp_metrics.*bytes"):
        parse_partition(write({})[:length])
