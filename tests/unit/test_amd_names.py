"""The names of AMD GPUs and partitions that a claim or a container's specification can use."""

from pathlib import Path

import pytest

from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_node import ALL, collector_of, meaning
from tests.doubles.amd_tree import AmdTree, Gpu


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.fixture
def gpu(tree: AmdTree) -> Gpu:
    return tree.add(MI300X, "0000:05:00.0")


def test_the_device_files_of_a_gpu_are_those_of_its_first_partition_while_it_is_partitioned(
    tree: AmdTree, gpu: Gpu
) -> None:
    collector = collector_of(tree)
    own = (f"/dev/dri/renderD{gpu.render}", f"/dev/dri/card{gpu.number}", f"gpu-{gpu.number}-{gpu.render}")
    reading = collector.read(ALL)
    assert [meaning(reading, name, "gpu.amd.com") for name in own] == [{gpu.uuid}] * 3
    gpu.set_partition_mode("DPX", "NPS1")
    _, card, render = gpu.xcp[0]
    reading = collector.read(ALL)
    assert [meaning(reading, name, "gpu.amd.com") for name in own] == [{f"{gpu.uuid}-dpx_nps1-0"}] * 3
    second = (f"/dev/dri/renderD{render}", f"/dev/dri/card{card}", f"gpu-{card}-{render}")
    assert [meaning(reading, name, "gpu.amd.com") for name in second] == [{f"{gpu.uuid}-dpx_nps1-1"}] * 3


@pytest.mark.parametrize("name", ["gpu-0", "gpu-0-spx-nps1", "gpu-0-cpx-nps4"])
def test_the_number_that_the_dra_driver_counts_itself_names_no_gpu(tree: AmdTree, gpu: Gpu, name: str) -> None:
    for mode in ("SPX", "CPX"):
        gpu.set_partition_mode(mode)
        assert meaning(collector_of(tree).read(ALL), name, "gpu.amd.com") == set()
