import struct
from collections.abc import Callable
from dataclasses import fields

import pytest

from collectors.amd.gpu_metrics.model import Metrics, PartitionMetrics, Residencies, UnknownTableError
from collectors.amd.gpu_metrics.parse import parse
from collectors.query import InvalidValueError
from tests.doubles.amd_metrics import PLACES, SIZES, Fields, Value, Version, table

CARDS: tuple[Version, ...] = ((1, 0), (1, 1), (1, 2), (1, 3))
WITH_STACKS: tuple[Version, ...] = ((1, 1), (1, 2), (1, 3))
SOCKETS: tuple[Version, ...] = ((1, 4), (1, 5), (1, 6), (1, 7), (1, 8))
WITH_PARTITIONS: tuple[Version, ...] = ((1, 6), (1, 7), (1, 8))
WITH_LINK_STATES: tuple[Version, ...] = ((1, 7), (1, 8))
WITH_BITS: tuple[Version, ...] = ((1, 3), (2, 2), (2, 3), (2, 4))

Getter = Callable[[Metrics], object]
# Version, name of the written field, written value, function that reads it, expected value.
FACTS: tuple[tuple[tuple[Version, ...], str, Value, Getter, object], ...] = (
    (CARDS, "edge", 41, lambda it: it.edge_celsius, 41),
    ((*CARDS, *SOCKETS), "hotspot", 48, lambda it: it.hotspot_celsius, 48),
    ((*CARDS, *SOCKETS), "memory", 52, lambda it: it.memory_celsius, 52),
    ((*CARDS, *SOCKETS), "power", 287, lambda it: it.power_watts, 287),
    ((*CARDS, *SOCKETS), "gfx", 37, lambda it: it.gfx_ratio, 0.37),
    ((*CARDS, *SOCKETS), "umc", 12, lambda it: it.umc_ratio, 0.12),
    (CARDS, "mm", 7, lambda it: it.vcn_ratios, [0.07]),
    ((*WITH_STACKS, *SOCKETS), "energy", 3 << 40, lambda it: it.energy_joules, 3 * 2.0**24),
    (WITH_STACKS, "hbm", (50, 51, 52), lambda it: it.hbm_celsius, [50, 51, 52, None]),
    (WITH_BITS, "throttle_bits", 1 << 57 | 1, lambda it: it.throttle_bits, 1 << 57 | 1),
    (((1, 4), (1, 5)), "vcn", (7, 9), lambda it: it.vcn_ratios, [0.07, 0.09, None, None]),
    (((1, 5),), "jpeg", (3,), lambda it: it.jpeg_ratios, [0.03, *[None] * 31]),
    (SOCKETS, "replays", 5, lambda it: it.pcie_replays, 5),
    (SOCKETS, "xgmi_read", (3, 5), lambda it: it.xgmi.received_bytes, [3072, 5120, *[None] * 6]),
    (SOCKETS, "xgmi_written", (7,), lambda it: it.xgmi.sent_bytes, [7168, *[None] * 7]),
    (WITH_LINK_STATES, "xgmi_status", (1, 0, 1), lambda it: it.xgmi.up, [True, False, True, *[None] * 5]),
    (((2, 4),), "power", 15_250, lambda it: it.power_watts, 15.25),
    (((2, 4),), "gfx", 3_700, lambda it: it.gfx_ratio, 0.37),
    (((2, 4),), "mm", 700, lambda it: it.vcn_ratios, [0.07]),
    (((2, 4),), "gfx_temperature", 4_150, lambda it: it.edge_celsius, 41.5),
    (((3, 0),), "power", 15_250, lambda it: it.power_watts, 15.25),
    (((3, 0),), "vcn", 700, lambda it: it.vcn_ratios, [0.07]),
)
CASES = [
    (version, name, written, getter, read) for versions, name, written, getter, read in FACTS for version in versions
]


@pytest.mark.parametrize(("version", "name", "written", "getter", "read"), CASES)
def test_a_field_is_read_where_its_version_has_it(
    version: Version, name: str, written: Value, getter: Getter, read: object
) -> None:
    metrics = parse(table(version, {name: written}))
    assert getter(metrics) == read
    assert _fields_with_value(metrics) == _fields_with_value(parse(table(version, {}))) | {_field_of(getter)}


@pytest.mark.parametrize("version", SIZES)
def test_a_table_that_the_driver_did_not_fill_has_no_values(version: Version) -> None:
    metrics = parse(table(version, {}))
    assert _fields_with_value(metrics) == set()


@pytest.mark.parametrize("version", SIZES)
def test_no_other_field_is_used(version: Version) -> None:
    taken = {name for given, name, *_ in CASES if given == version}
    for name in PLACES[version].keys() - taken - {"cycles", "clock", "partitions"}:
        assert _fields_with_value(parse(table(version, {name: 1}))) == set(), name


@pytest.mark.parametrize("version", SIZES)
def test_zero_is_a_value(version: Version) -> None:
    every: dict[str, Value] = {name: [0] * count for name, (_, _, count) in PLACES[version].items()}
    expected = {_field_of(getter) for given, _, _, getter, _ in CASES if given == version}
    read = _fields_with_value(parse(table(version, every)))
    assert expected <= read
    assert read <= expected | {"residencies", "link_bytes_per_second"}


@pytest.mark.parametrize("version", SOCKETS)
def test_the_bandwidth_of_a_link_is_the_sum_of_its_lanes(version: Version) -> None:
    metrics = parse(table(version, {"xgmi_width": 16, "xgmi_speed": 32}))
    assert metrics.xgmi.link_bytes_per_second == 64e9
    assert parse(table(version, {"xgmi_width": 16})).xgmi.link_bytes_per_second is None
    assert parse(table(version, {"xgmi_speed": 32})).xgmi.link_bytes_per_second is None


@pytest.mark.parametrize("version", WITH_PARTITIONS)
def test_cycles_of_throttling_come_with_the_time_of_their_reading(version: Version) -> None:
    filled: Fields = {"cycles": 1000, "clock": 2_500_000_000, "ppt": 10, "socket_thm": 20, "hbm_thm": 30, "prochot": 40}
    residencies = parse(table(version, filled)).residencies
    assert residencies == Residencies(1000, {"ppt": 10, "socket_thm": 20, "hbm_thm": 30, "prochot": 40}, 2.5)
    assert parse(table(version, {**filled, "cycles": 0xFFFFFFFF})).residencies is None
    assert parse(table(version, {**filled, "clock": 2**64 - 1})).residencies is None


@pytest.mark.parametrize("version", WITH_PARTITIONS)
def test_partitions_have_separate_values(version: Version) -> None:
    jpegs = 40 if version == (1, 8) else 32
    blob = table(
        version,
        {"partitions": 2},
        [{"gfx": (10, 20), "vcn": (5,), "jpeg": (1, 2)}, {"gfx": (90,), "vcn": (6, 7)}, {"gfx": (99,)}],
    )
    metrics = parse(blob)
    assert metrics.partitions == [
        PartitionMetrics([0.1, 0.2, *[None] * 6], [0.05, None, None, None], [0.01, 0.02, *[None] * (jpegs - 2)]),
        PartitionMetrics([0.9, *[None] * 7], [0.06, 0.07, None, None], [None] * jpegs),
    ]
    # The whole GPU has no own fields for these.
    assert [ratio for ratio in metrics.vcn_ratios if ratio is not None] == [0.05, 0.06, 0.07]
    assert [ratio for ratio in metrics.jpeg_ratios if ratio is not None] == [0.01, 0.02]


@pytest.mark.parametrize("version", WITH_PARTITIONS)
@pytest.mark.parametrize("count", [0xFFFF, 9])
def test_too_many_partitions_are_ignored(version: Version, count: int) -> None:
    assert parse(table(version, {"partitions": count}, [{"gfx": (10,)}] * 8)).partitions == []


@pytest.mark.parametrize(("written", "read"), [(0xFF, 255), (0xFFFE, 65534), (0xFFFF, None)])
def test_only_all_bits_of_its_own_width_mean_that_a_field_is_unknown(written: int, read: int | None) -> None:
    assert parse(table((1, 3), {"power": written})).power_watts == read


def test_a_large_counter_is_not_confused_with_the_mark_of_a_narrower_field() -> None:
    assert parse(table((1, 7), {"replays": 0xFFFFFFFF})).pcie_replays == 0xFFFFFFFF


def test_a_32_bit_counter_is_not_an_energy_counter() -> None:
    assert parse(table((1, 0), {"energy": 1 << 20})).energy_joules is None


@pytest.mark.parametrize("version", [(1, 10), (0, 0), (2, 5), (3, 1), (4, 0), (255, 255)])
def test_an_unsupported_version_is_named(version: Version) -> None:
    blob = bytearray(table((1, 3), {}))
    blob[2:4] = version
    with pytest.raises(
        UnknownTableError, match=f"^gpu_metrics {version[0]}.{version[1]}: this version is not supported$"
    ):
        parse(bytes(blob))


@pytest.mark.parametrize("version", SIZES)
def test_an_incomplete_table_is_refused(version: Version) -> None:
    blob = table(version, {})
    for length in {0, 3, 4, len(blob) // 2, len(blob) - 1}:
        with pytest.raises(InvalidValueError, match="bytes"):
            parse(blob[:length])


@pytest.mark.parametrize("version", SIZES)
def test_a_version_with_another_size_has_another_layout(version: Version) -> None:
    blob = bytearray(table(version, {}))
    struct.pack_into("<H", blob, 0, len(blob) - 1)
    expected = f"gpu_metrics {version[0]}.{version[1]}: {len(blob) - 1} bytes, expected {len(blob)}"
    with pytest.raises(UnknownTableError, match=f"^{expected}: this layout is not supported$"):
        parse(bytes(blob))


def test_the_first_layout_of_1_6_is_not_taken_for_the_later_one() -> None:
    early = struct.pack("<HBB", 384, 1, 6) + b"\1" * 380
    with pytest.raises(UnknownTableError, match=r"gpu_metrics 1\.6: 384 bytes, expected 1664"):
        parse(early.ljust(4096, b"\0"))


@pytest.mark.parametrize("version", SOCKETS)
@pytest.mark.parametrize(("width", "speed"), [(0, 32), (16, 0), (0, 0), (16, 32 << 10)])
def test_a_link_without_a_possible_speed_has_no_bandwidth(version: Version, width: int, speed: int) -> None:
    metrics = parse(table(version, {"xgmi_width": width, "xgmi_speed": speed}))
    assert metrics.xgmi.link_bytes_per_second is None


@pytest.mark.parametrize("version", WITH_PARTITIONS)
def test_causes_that_applied_in_every_cycle_since_the_start_are_not_readings(version: Version) -> None:
    filled: Fields = {"cycles": 1000, "clock": 5, "prochot": 0, "ppt": 1000, "socket_thm": 1000, "vr_thm": 0}
    assert parse(table(version, filled)).residencies is None
    stuck = parse(table(version, {**filled, "ppt": 0, "socket_thm": 0, "prochot": 1000})).residencies
    assert stuck is not None
    assert stuck.by_cause["prochot"] == 1000
    reset: Fields = dict.fromkeys(("cycles", "prochot", "ppt", "socket_thm", "vr_thm"), 0)
    assert parse(table(version, {**reset, "clock": 5})).residencies is not None


@pytest.mark.parametrize("version", SIZES)
def test_bytes_after_a_table_are_ignored(version: Version) -> None:
    blob = table(version, {"gfx": 1} if "gfx" in PLACES[version] else {})
    assert parse(blob + b"\1" * 64) == parse(blob)


def _fields_with_value(metrics: Metrics) -> set[str]:
    """The fields that have a value."""
    own = {each.name for each in fields(metrics) if _has_value(getattr(metrics, each.name))} - {"xgmi", "partitions"}
    return own | {each.name for each in fields(metrics.xgmi) if _has_value(getattr(metrics.xgmi, each.name))}


def _has_value(value: object) -> bool:
    return any(map(_has_value, value)) if isinstance(value, list | tuple) else value is not None


class _Recorder:
    """Records the last attribute that was read from it."""

    def __init__(self) -> None:
        self.last = ""

    def __getattr__(self, name: str) -> "_Recorder":
        self.last = name
        return self


def _field_of(getter: Getter) -> str:
    recorder = _Recorder()
    getter(recorder)  # type: ignore[arg-type]
    return recorder.last
