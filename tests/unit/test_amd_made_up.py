"""Values that a driver writes into the table although the GPU does not have them."""

from dataclasses import replace
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from tests.doubles.amd_cards import MI210, MI250X_SECOND_DIE, RX_7900_XTX, AmdCard
from tests.doubles.amd_metrics import Value
from tests.doubles.amd_node import ALL, collector_of, value, values
from tests.doubles.amd_tree import AmdTree

HOTSPOT = 1 << 36
VIDEO = "video"
MI100 = replace(MI210, device=0x738C, gfx_target_version=90008)
MI300X = replace(MI210, device=0x74A1, gfx_target_version=90402)  # with its first driver
R9700 = replace(RX_7900_XTX, device=0x7551, gfx_target_version=120001)
W6800 = replace(RX_7900_XTX, device=0x73A3, gfx_target_version=100300)


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.mark.parametrize("version", [(1, 0), (1, 1), (1, 2), (1, 3)])
@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [(MI210, 0, None), (MI300X, 0, None), (MI100, 0, 0), (MI100, 7, 0.07), (W6800, 7, 0.07), (R9700, 0, 0)],
)
def test_video_engines_are_absent_where_the_gpu_cannot_report_them(
    tree: AmdTree, kind: AmdCard, version: tuple[int, int], written: int, read: float | None
) -> None:
    files = {name: text for name, text in kind.files.items() if name != "vcn_busy_percent"}
    card = tree.add(replace(kind, files=files, table=version, table_fields={"mm": written}), "0000:05:00.0")
    reading = collector_of(tree, parse=parse).read(ALL)
    assert value(reading, catalog.ENGINE_UTILIZATION, card.uuid, VIDEO) == read
    assert reading.faults == ()


def test_video_engines_of_an_mi200_are_absent_also_without_the_compute_driver(tree: AmdTree) -> None:
    card = tree.add(MI210, "0000:05:00.0")
    (tree.kfd / "topology" / "generation_id").unlink()
    assert value(collector_of(tree, parse=parse).read(ALL), catalog.ENGINE_UTILIZATION, card.uuid, VIDEO) is None


@pytest.mark.parametrize(("kind", "thermal"), [(MI100, 1), (MI210, 1), (W6800, 1), (RX_7900_XTX, None), (R9700, None)])
def test_throttling_by_heat_is_unknown_where_the_bit_of_the_hotspot_is_always_set(
    tree: AmdTree, kind: AmdCard, thermal: int | None
) -> None:
    card = tree.add(kind, "0000:05:00.0")
    card.write_table(throttle_bits=HOTSPOT | 1)
    active = values(collector_of(tree, parse=parse).read(ALL), catalog.THROTTLE_ACTIVE, card.uuid)
    assert active.get(("thermal",)) == thermal
    assert {reason: active[reason] for reason in active if reason != ("thermal",)} == {
        ("power",): 1,
        ("reliability",): 0,
        ("external",): 0,
    }


@pytest.mark.parametrize(("kind", "known"), [(MI210, True), (W6800, False), (RX_7900_XTX, False)])
def test_a_gpu_of_unknown_architecture_has_only_certain_reasons(tree: AmdTree, kind: AmdCard, *, known: bool) -> None:
    card = tree.add(kind, "0000:05:00.0")
    (tree.kfd / "topology" / "generation_id").unlink()
    active = values(collector_of(tree, parse=parse).read(ALL), catalog.THROTTLE_ACTIVE, card.uuid)
    assert (("thermal",) in active) == known
    assert ("power",) in active


def test_the_first_table_of_an_mi300_has_no_reasons(tree: AmdTree) -> None:
    card = tree.add(MI300X, "0000:05:00.0")
    card.write_table(throttle_bits=0)
    reading = collector_of(tree, parse=parse).read(ALL)
    assert values(reading, catalog.THROTTLE_ACTIVE, card.uuid) == {}
    assert catalog.THROTTLE_ACTIVE in {gap.metric for gap in reading.unsupported}


@pytest.mark.parametrize("kind", [MI250X_SECOND_DIE, W6800])
def test_a_power_of_0_is_no_reading(tree: AmdTree, kind: AmdCard) -> None:
    hwmon = {name: text for name, text in kind.hwmon.items() if not name.startswith("power1_average")}
    card = tree.add(replace(kind, hwmon=hwmon), "0000:05:00.0")
    collector = collector_of(tree, parse=parse)
    for written, read in ((0, None), (9, 9), (0, None)):
        power: dict[str, Value] = {"power": written}
        card.write_table(**power)
        reading = collector.read(ALL)
        assert value(reading, catalog.POWER, card.uuid) == read
        assert reading.faults == ()


@pytest.mark.parametrize("percent", [0, 7])
def test_the_unit_of_the_graphics_engine_of_strix_is_that_of_its_file_only(tree: AmdTree, percent: int) -> None:
    strix = replace(
        RX_7900_XTX,
        gfx_target_version=110500,
        files={"gpu_busy_percent": str(percent)},
        table=(3, 0),
        table_fields={"gfx": percent, "vcn": 700},
    )
    card = tree.add(strix, "0000:05:00.0")
    reading = collector_of(tree, parse=parse).read(ALL)
    assert value(reading, catalog.UTILIZATION, card.uuid) == percent / 100
    assert value(reading, catalog.ENGINE_UTILIZATION, card.uuid, VIDEO) == 0.07
    card.remove("gpu_busy_percent")
    reading = collector_of(tree, parse=parse).read(ALL)
    assert value(reading, catalog.UTILIZATION, card.uuid) is None
