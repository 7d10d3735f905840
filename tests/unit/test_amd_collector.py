import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.contract import Reason, UnavailableError
from collectors.metric import Cadence
from tests.contract.amd_bench import KINDS, AmdBench
from tests.contract.breaches import breaches
from tests.contract.reading_rules import MIXTURES
from tests.doubles.amd_cards import MI210, MI300X
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_tree import AmdTree


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[AmdBench]:
    with AmdBench(tmp_path) as made:
        yield made


def test_a_partitioned_card_under_changing_load_fulfils_the_contract(bench: AmdBench) -> None:
    gpu = bench.tree.gpus[KINDS.index(MI300X)]
    collector = bench.start()
    for mode in ("SPX", "CPX", "DPX", "SPX", "QPX"):
        gpu.set_partition_mode(mode)
        for due in MIXTURES:
            assert list(breaches(bench.spec, collector.read(due), due)) == []


def test_the_first_reading_may_be_of_any_cadence(bench: AmdBench) -> None:
    for due in MIXTURES:
        assert list(breaches(bench.spec, bench.start().read(due), due)) == []


def test_an_unloaded_driver_is_reported_and_read_again_when_loaded(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys")
    gpu = tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    before = collector.read(ALL)
    module = tree.path / "module" / "amdgpu"
    gpu.unbind()
    module.rename(tmp_path / "module")
    with pytest.raises(UnavailableError, match="load the amdgpu kernel module") as caught:
        collector.read(ALL)
    assert caught.value.reason is Reason.DRIVER_NOT_LOADED
    (tmp_path / "module").rename(module)
    gpu.bind()
    assert collector.read(ALL) == before


def test_a_driver_that_renumbers_its_nodes_changes_the_names(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys")
    gpu = tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    (old,) = collector.read(ALL).devices
    (gpu.folder / "drm" / "card0").rename(gpu.folder / "drm" / "card7")
    (new,) = collector.read(ALL).devices
    assert new.uuid == old.uuid
    assert {alias.id for alias in new.aliases ^ old.aliases} == {
        "gpu-0-128",
        "gpu-7-128",
        "/dev/dri/card0",
        "/dev/dri/card7",
    }


def test_creating_a_collector_reads_no_file(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys")
    tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    shutil.rmtree(tree.path)
    with pytest.raises(Exception, match="no AMD GPU"):
        collector.read(frozenset(Cadence))
