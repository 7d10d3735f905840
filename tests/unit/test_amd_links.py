from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.metric import Metric
from tests.doubles.amd_cards import MI210, MI300X, RX_7900_XTX
from tests.doubles.amd_node import ALL, collector_of, reasons, value, values
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.options import EACH_LINK

_KIB = 1024


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.fixture
def gpu(tree: AmdTree) -> Gpu:
    return tree.add(MI300X, "0000:05:00.0")


_PCIE = (catalog.PCIE_GENERATION, catalog.PCIE_WIDTH, catalog.PCIE_MAX_GENERATION, catalog.PCIE_MAX_WIDTH)


def _pcie(tree: AmdTree, gpu: Gpu) -> tuple[float | None, ...]:
    """The generation and the lanes now, and at most."""
    reading = collector_of(tree).read(ALL)
    assert reading.faults == ()
    return tuple(value(reading, metric, gpu.uuid) for metric in _PCIE)


def test_the_link_of_a_card(tree: AmdTree, gpu: Gpu) -> None:
    assert _pcie(tree, gpu) == (5, 16, 5, 16)


@pytest.mark.parametrize(
    ("speed", "width", "expected"),
    [("8.0 GT/s PCIe", 8, (3, 8, 3, 8)), ("16.0 GT/s PCIe", 4, (4, 4, 4, 4)), ("32.0 GT/s PCIe", 16, (4, 16, 4, 16))],
    ids=["slower slot", "narrower slot", "faster slot"],
)
def test_a_link_is_at_most_what_card_and_slot_allow(
    tree: AmdTree, speed: str, width: int, expected: tuple[float, ...]
) -> None:
    radeon = tree.add(RX_7900_XTX, "0000:03:00.0")  # generation 4, 16 lanes
    outer = radeon.put_in_slot(speed, width)
    if expected[0] == 4:
        (outer / "current_link_speed").write_text("16.0 GT/s PCIe\n")
    assert _pcie(tree, radeon) == expected
    assert value(collector_of(tree).read(ALL), catalog.UTILIZATION, radeon.uuid) == 0.81


def test_a_degraded_link_is_below_what_card_and_slot_allow(tree: AmdTree) -> None:
    radeon = tree.add(RX_7900_XTX, "0000:03:00.0")
    outer = radeon.put_in_slot("16.0 GT/s PCIe", 16)
    (outer / "current_link_speed").write_text("2.5 GT/s PCIe\n")
    (outer / "current_link_width").write_text("1\n")
    assert _pcie(tree, radeon) == (1, 1, 4, 16)


@pytest.mark.parametrize(("speed", "width"), [("Unknown", "0"), ("Unknown", "255"), (None, None)])
def test_a_port_that_states_nothing_does_not_limit_the_link(
    tree: AmdTree, speed: str | None, width: str | None
) -> None:
    radeon = tree.add(RX_7900_XTX, "0000:03:00.0")
    slot = radeon.put_in_slot("8.0 GT/s PCIe", 8).parent
    for name, text in (("speed", speed), ("width", width)):
        (slot / f"max_link_{name}").write_text(f"{text}\n")
        if text is None:
            (slot / f"max_link_{name}").unlink()
    assert _pcie(tree, radeon) == (3, 8, 4, 16)


def test_a_port_that_states_less_than_the_link_does_is_wrong(tree: AmdTree) -> None:
    radeon = tree.add(RX_7900_XTX, "0000:03:00.0")
    slot = radeon.put_in_slot("16.0 GT/s PCIe", 16).parent
    (slot / "max_link_speed").write_text("2.5 GT/s PCIe\n")  # as in a virtual machine
    (slot / "max_link_width").write_text("1\n")
    assert _pcie(tree, radeon) == (4, 16, 4, 16)


@pytest.mark.parametrize("name", ["speed", "width"])
def test_with_a_garbled_port_the_maximum_is_absent(tree: AmdTree, name: str) -> None:
    radeon = tree.add(RX_7900_XTX, "0000:03:00.0")
    slot = radeon.put_in_slot("8.0 GT/s PCIe", 8).parent
    (slot / f"max_link_{name}").write_text("99 GT/s\n")
    reading = collector_of(tree).read(ALL)
    metric = catalog.PCIE_MAX_GENERATION if name == "speed" else catalog.PCIE_MAX_WIDTH
    assert value(reading, metric, radeon.uuid) is None
    assert reasons(reading) == {(radeon.uuid, "invalid_value")}


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


_VIRTUAL = (2,) * 8  # every link of a virtual function


@pytest.mark.parametrize(
    ("statuses", "links", "bytes_per_second"),
    [
        (_VIRTUAL, {}, None),
        ((1, 1, 1, 0, 2, 2, 2), {("xgmi", "up"): 3, ("xgmi", "down"): 1}, 3 * 64e9),
        ((1, 3, 7, 0), {("xgmi", "up"): 1, ("xgmi", "down"): 1}, 64e9),
        ((0,) * 7, {("xgmi", "up"): 0, ("xgmi", "down"): 7}, 0),
    ],
    ids=["virtual function", "some", "unknown numbers", "all down"],
)
def test_a_link_whose_state_is_not_known_is_neither_up_nor_down(
    tree: AmdTree,
    gpu: Gpu,
    statuses: tuple[int, ...],
    links: dict[tuple[str, ...], float],
    bytes_per_second: float | None,
) -> None:
    gpu.write("xgmi_num_links", "00 01 01 01 01 01 01 01")  # trained at the start, which says nothing of their state
    gpu.write_table(xgmi_status=statuses)
    reading = collector_of(tree, parse=parse).read(ALL)
    assert values(reading, catalog.INTERCONNECT_LINKS, gpu.uuid) == links
    assert value(reading, catalog.INTERCONNECT_BANDWIDTH_LIMIT, gpu.uuid, "xgmi") == bytes_per_second
    assert reading.faults == ()


def test_a_table_without_any_state_of_links_is_replaced_by_the_trained_links(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("xgmi_num_links", "00 01 01")
    gpu.write_table(xgmi_status=(0xFFFF,) * 8)
    reading = collector_of(tree, parse=parse).read(ALL)
    assert values(reading, catalog.INTERCONNECT_LINKS, gpu.uuid) == {("xgmi", "up"): 2}


def test_each_link_is_reported_on_request(tree: AmdTree, gpu: Gpu) -> None:
    reading = collector_of(tree, EACH_LINK, parse=parse).read(ALL)
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
