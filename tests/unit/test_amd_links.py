import os
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import CollectOptions
from collectors.metric import Metric
from tests.doubles.amd_cards import MI210, MI300X, RX_7900_XTX
from tests.doubles.amd_node import ALL, collector_of, reasons, value, values
from tests.doubles.amd_tree import AmdTree, Gpu

_KIB = 1024


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.fixture
def gpu(tree: AmdTree) -> Gpu:
    return tree.add(MI300X, "0000:05:00.0")


def _bridge(folder: Path, vendor: str, speed: str, width: int) -> None:
    folder.mkdir(parents=True)
    files = {"vendor": vendor, "current_link_speed": speed, "current_link_width": width}
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")
    for kind, text in (("speed", speed), ("width", width)):
        (folder / f"max_link_{kind}").write_text(f"{text}\n")


def _put_behind_a_switch(tree: AmdTree, gpu: Gpu) -> Path:
    """A root port of another vendor, a card's switch with two ports, the GPU. Returns the card's outer port."""
    bus = gpu.folder.parent
    root_port = bus / "0000:00:01.0"
    outer = root_port / "0000:01:00.0"
    _bridge(root_port, "0x8086", "8.0 GT/s PCIe", 4)
    _bridge(outer, "0x1002", "8.0 GT/s PCIe", 4)
    _bridge(outer / "0000:02:00.0", "0x1002", "16.0 GT/s PCIe", 16)
    moved = outer / "0000:02:00.0" / gpu.address
    gpu.folder.rename(moved)
    for folder in (tree.path / "bus" / "pci" / "devices", tree.driver):
        (folder / gpu.address).unlink()
        (folder / gpu.address).symlink_to(os.path.relpath(moved, folder))
    return outer


def test_the_link_of_a_card(tree: AmdTree, gpu: Gpu) -> None:
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.PCIE_GENERATION, gpu.uuid) == 5
    assert value(reading, catalog.PCIE_MAX_GENERATION, gpu.uuid) == 5
    assert value(reading, catalog.PCIE_WIDTH, gpu.uuid) == 16
    assert value(reading, catalog.PCIE_MAX_WIDTH, gpu.uuid) == 16


def test_the_link_of_a_card_with_a_switch_is_the_link_of_the_switch(tree: AmdTree) -> None:
    radeon = tree.add(RX_7900_XTX, "0000:03:00.0")
    outer = _put_behind_a_switch(tree, radeon)
    (outer / "max_link_width").write_text("8\n")
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.PCIE_GENERATION, radeon.uuid) == 3
    assert value(reading, catalog.PCIE_WIDTH, radeon.uuid) == 4
    assert value(reading, catalog.PCIE_MAX_WIDTH, radeon.uuid) == 8
    assert value(reading, catalog.UTILIZATION, radeon.uuid) == 0.81


@pytest.mark.parametrize(
    ("speed", "generation"),
    [("2.5 GT/s PCIe", 1), ("5.0 GT/s PCIe", 2), ("8.0 GT/s PCIe", 3), ("16 GT/s", 4), ("64.0 GT/s PCIe", 6)],
)
def test_a_speed_is_a_generation(tree: AmdTree, gpu: Gpu, speed: str, generation: int) -> None:
    gpu.write("current_link_speed", speed)
    assert value(collector_of(tree).read(ALL), catalog.PCIE_GENERATION, gpu.uuid) == generation


@pytest.mark.parametrize(
    ("name", "text", "metric", "faults"),
    [
        ("current_link_speed", "Unknown speed", catalog.PCIE_GENERATION, set()),
        ("current_link_speed", "Unknown", catalog.PCIE_GENERATION, set()),
        ("current_link_speed", "7.0 GT/s PCIe", catalog.PCIE_GENERATION, {"invalid_value"}),
        ("current_link_width", "0", catalog.PCIE_WIDTH, set()),
        ("current_link_width", "255", catalog.PCIE_WIDTH, set()),
        ("current_link_width", "33", catalog.PCIE_WIDTH, {"invalid_value"}),
        ("current_link_width", "x16", catalog.PCIE_WIDTH, {"invalid_value"}),
    ],
)
def test_an_unknown_link_is_absent(
    tree: AmdTree, gpu: Gpu, name: str, text: str, metric: Metric, faults: set[str]
) -> None:
    gpu.write(name, text)
    reading = collector_of(tree).read(ALL)
    assert value(reading, metric, gpu.uuid) is None
    assert {reason for _, reason in reasons(reading)} == faults


def test_replays_come_from_the_file_or_else_from_the_table(tree: AmdTree, gpu: Gpu) -> None:
    older = tree.add(MI210, "0000:63:00.0")
    reading = collector_of(tree, parse=parse).read(ALL)
    assert value(reading, catalog.PCIE_REPLAYS, older.uuid) == 3
    assert value(reading, catalog.PCIE_REPLAYS, gpu.uuid) == 4


def test_links_to_other_gpus_are_summed(tree: AmdTree, gpu: Gpu) -> None:
    reading = collector_of(tree, parse=parse).read(ALL)
    assert values(reading, catalog.INTERCONNECT_BYTES, gpu.uuid) == {
        ("xgmi", "receive", ""): (7_000_000 + 21) * _KIB,
        ("xgmi", "transmit", ""): (14_000_000 + 21) * _KIB,
    }
    assert values(reading, catalog.INTERCONNECT_LINKS, gpu.uuid) == {("xgmi", "up"): 6, ("xgmi", "down"): 1}
    assert value(reading, catalog.INTERCONNECT_BANDWIDTH_LIMIT, gpu.uuid, "xgmi") == 6 * 64e9


def test_each_link_is_reported_on_request(tree: AmdTree, gpu: Gpu) -> None:
    reading = collector_of(tree, CollectOptions(each_link=True), parse=parse).read(ALL)
    assert values(reading, catalog.INTERCONNECT_BYTES, gpu.uuid) == {
        ("xgmi", direction, str(link)): (first + link) * _KIB
        for direction, first in (("receive", 1_000_000), ("transmit", 2_000_000))
        for link in range(7)
    }
    assert values(reading, catalog.INTERCONNECT_LINKS, gpu.uuid) == {("xgmi", "up"): 6, ("xgmi", "down"): 1}


def test_a_card_without_xgmi_links_reports_them_as_unsupported(tree: AmdTree) -> None:
    radeon = tree.add(RX_7900_XTX, "0000:03:00.0")
    reading = collector_of(tree, parse=parse).read(ALL)
    assert values(reading, catalog.INTERCONNECT_BYTES, radeon.uuid) == {}
    missing = {each.metric for each in reading.unsupported}
    assert {
        catalog.INTERCONNECT_BYTES,
        catalog.INTERCONNECT_LINKS,
        catalog.INTERCONNECT_BANDWIDTH_LIMIT,
    } <= missing
    assert reading.faults == ()


def test_without_link_states_the_trained_links_are_counted(tree: AmdTree) -> None:
    older = tree.add(MI210, "0000:63:00.0")
    reading = collector_of(tree, parse=parse).read(ALL)
    assert values(reading, catalog.INTERCONNECT_LINKS, older.uuid) == {("xgmi", "up"): 3}


@pytest.mark.parametrize(("text", "links"), [("00 0a 10", 26), ("02", 2)])
def test_the_numbers_of_trained_links_are_hexadecimal(tree: AmdTree, text: str, links: int) -> None:
    older = tree.add(MI210, "0000:63:00.0")
    older.write("xgmi_num_links", text)
    assert value(collector_of(tree).read(ALL), catalog.INTERCONNECT_LINKS, older.uuid, "xgmi", "up") == links


@pytest.mark.parametrize(("text", "faults"), [("00 00", set()), ("zz", {"invalid_value"}), ("", {"invalid_value"})])
def test_zero_trained_links_are_unsupported(tree: AmdTree, text: str, faults: set[str]) -> None:
    older = tree.add(MI210, "0000:63:00.0")
    older.write("xgmi_num_links", text)
    reading = collector_of(tree).read(ALL)
    assert values(reading, catalog.INTERCONNECT_LINKS, older.uuid) == {}
    assert {reason for _, reason in reasons(reading)} == faults


def test_a_link_without_a_stated_width_has_no_bandwidth(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write_table(xgmi_width=0xFFFF)
    reading = collector_of(tree, parse=parse).read(ALL)
    assert values(reading, catalog.INTERCONNECT_BANDWIDTH_LIMIT, gpu.uuid) == {}
    assert value(reading, catalog.INTERCONNECT_LINKS, gpu.uuid, "xgmi", "up") == 6
