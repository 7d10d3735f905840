from pathlib import Path

import pytest

from collectors.amd.kfd import PciSlot, generation, memory_limit, memory_usage, read_topology, slot_of
from collectors.contract import Reason, UnsupportedError
from collectors.sysfs import Root
from tests.doubles.amd_cards import GIB, MI210, MI300X
from tests.doubles.amd_tree import AmdTree


class ChangingRoot(Root):
    """A `/sys` whose nodes change every time they are listed."""

    def names(self, *parts: str) -> tuple[str, ...]:
        path = self.path.joinpath("class", "kfd", "kfd", "topology", "generation_id")
        path.write_text(f"{int(path.read_text()) + 1}\n")
        return super(ChangingRoot, self).names(*parts)  # noqa: UP008, slots make another class of this one


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


def test_a_slot_does_not_include_the_function() -> None:
    assert slot_of("0000:c6:00.0") == PciSlot(0, 0xC600)
    assert slot_of("0001:05:1f.7") == PciSlot(1, 0x05F8)
    with pytest.raises(ValueError, match="no PCI address"):
        slot_of("card0")


@pytest.mark.parametrize("in_function", [True, False])
def test_the_partition_is_read_from_the_bits_of_both_drivers(tmp_path: Path, *, in_function: bool) -> None:
    tree = AmdTree(tmp_path / "sys", partition_in_function=in_function)
    tree.add(MI210, "0000:63:00.0")
    tree.add(MI300X, "0001:05:00.0").set_partition_mode("QPX")
    topology = read_topology(tree.root)
    assert topology is not None
    assert [(node.slot, node.partition) for node in topology.nodes] == [
        (PciSlot(0, 0x6300), 0),
        *((PciSlot(1, 0x0500), number) for number in range(4)),
    ]
    assert {node.architecture for node in topology.nodes} == {"gfx90a", "gfx942"}
    assert topology.fault is None


def test_processors_are_not_gpus(tree: AmdTree) -> None:
    topology = read_topology(tree.root)
    assert topology is not None
    assert topology.nodes == ()


def test_without_the_driver_there_is_no_topology(tmp_path: Path) -> None:
    assert generation(Root(tmp_path)) is None
    assert read_topology(Root(tmp_path)) is None


def test_nodes_that_change_during_the_read_are_not_used(tree: AmdTree) -> None:
    tree.add(MI210, "0000:63:00.0")
    assert read_topology(ChangingRoot(tree.path)) is None
    assert read_topology(tree.root) is not None


@pytest.mark.parametrize("unset", ["location_id", "drm_render_minor"])
def test_a_new_node_that_is_not_complete_is_a_change(tree: AmdTree, unset: str) -> None:
    """The driver counts a new node first and fills in its properties afterwards."""
    properties = tree.node(tree.add(MI210, "0000:63:00.0")) / "properties"
    complete = properties.read_text()
    assert f"\n{unset} " in f"\n{complete}"
    lines = [f"{unset} 0" if line.startswith(f"{unset} ") else line for line in complete.splitlines()]
    properties.write_text("\n".join(lines) + "\n")
    assert read_topology(tree.root) is None
    properties.write_text(complete)
    topology = read_topology(tree.root)
    assert topology is not None
    assert len(topology.nodes) == 1


def test_an_empty_node_is_permission_denied(tree: AmdTree) -> None:
    first, second = tree.add(MI210, "0000:63:00.0"), tree.add(MI210, "0000:83:00.0")
    (tree.node(first) / "properties").write_bytes(b"")
    topology = read_topology(tree.root)
    assert topology is not None
    assert [node.slot for node in topology.nodes] == [slot_of(second.address)]
    assert topology.fault is not None
    assert topology.fault.reason is Reason.PERMISSION_DENIED


def test_memory_is_read_from_the_node(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, "0000:05:00.0")
    gpu.set_partition_mode("CPX")
    topology = read_topology(tree.root)
    assert topology is not None
    assert [memory_limit(node) for node in topology.nodes] == [24 * GIB] * 8
    assert [memory_usage(node) for node in topology.nodes] == [2_907_979_776 + number for number in range(8)]


@pytest.mark.parametrize("content", ["", "0\n", "x\n"])
def test_a_node_without_an_id_is_read(tree: AmdTree, content: str) -> None:
    gpu = tree.add(MI210, "0000:63:00.0")
    before = read_topology(tree.root)
    (tree.node(gpu) / "gpu_id").write_text(content)
    after = read_topology(tree.root)
    assert before is not None
    assert after is not None
    assert [node.gpu_id for node in (*before.nodes, *after.nodes)] == [1001, None]


def test_a_bank_without_a_size_is_unsupported(tree: AmdTree) -> None:
    gpu = tree.add(MI210, "0000:63:00.0")
    (tree.node(gpu) / "mem_banks" / "0" / "properties").write_text("heap_type 1\n")
    topology = read_topology(tree.root)
    assert topology is not None
    with pytest.raises(UnsupportedError, match="size_in_bytes"):
        memory_limit(topology.nodes[0])
