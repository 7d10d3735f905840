import shutil
from pathlib import Path

import pytest

from collectors.amd import SPEC
from collectors.contract import Collector, CollectorSpec, Node, Reason, UnavailableError
from collectors.metric import Cadence
from collectors.sysfs import Root
from tests.contract.bench import FIRST_MACHINE
from tests.contract.breaches import breaches
from tests.contract.reading_rules import MIXTURES, ReadingRules
from tests.doubles.amd_cards import APU, MI210, MI250X, MI250X_SECOND_DIE, MI300X, MI355X, RX_7900_XTX
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_tree import AmdTree

KINDS = (MI210, MI250X, MI250X_SECOND_DIE, MI300X, MI355X, RX_7900_XTX, APU)


class TreeBench:
    """See `Readable`: a card of every kind, one of them cut into eight."""

    spec: CollectorSpec = SPEC

    def __init__(self, path: Path) -> None:
        self.tree = AmdTree(path / "sys")
        for bus, kind in enumerate(KINDS, start=1):
            self.tree.add(kind, f"0000:{bus:02x}:00.0")
        self.tree.gpus[KINDS.index(MI300X)].cut("CPX", "NPS4")
        self._seconds = 0.0

    def start(self, machine: str = FIRST_MACHINE) -> Collector:
        """As the entry point does."""
        return SPEC.create(Node(self.tree.root, Root(self.tree.path / "proc"), machine))

    def pass_time(self, seconds: float) -> None:
        """Every block errs twice a second."""
        before, self._seconds = int(self._seconds), self._seconds + seconds
        if int(self._seconds) == before:
            return
        for gpu in self.tree.gpus:
            for block in gpu.kind.ras:
                gpu.write(f"ras/{block}_err_count", f"ue: {int(self._seconds)}\nce: {int(self._seconds)}")


@pytest.fixture
def bench(tmp_path: Path) -> TreeBench:
    return TreeBench(tmp_path)


class TestRules(ReadingRules):
    """The contract's rules, over the tree."""


def test_a_cut_card_under_changing_load_keeps_the_contract(bench: TreeBench) -> None:
    gpu = bench.tree.gpus[KINDS.index(MI300X)]
    collector = bench.start()
    for mode in ("SPX", "CPX", "DPX", "SPX", "QPX"):
        gpu.cut(mode)
        for due in MIXTURES:
            assert list(breaches(SPEC, collector.read(due), due)) == []


def test_the_first_reading_may_be_of_any_cadence(bench: TreeBench) -> None:
    for due in MIXTURES:
        assert list(breaches(SPEC, bench.start().read(due), due)) == []


def test_a_driver_that_goes_away_is_said_to_and_taken_up_again(tmp_path: Path) -> None:
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


def test_a_driver_that_numbers_its_nodes_anew_gives_new_names(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys")
    gpu = tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    (old,) = collector.read(ALL).devices
    (gpu.folder / "drm" / "card0").rename(gpu.folder / "drm" / "card7")
    (new,) = collector.read(ALL).devices
    assert new.uuid == old.uuid
    assert {alias.id for alias in new.aliases ^ old.aliases} == {"gpu-0-128", "gpu-7-128"}


def test_creating_one_reads_nothing(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys")
    tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    shutil.rmtree(tree.path)
    with pytest.raises(Exception, match="no AMD GPU"):
        collector.read(frozenset(Cadence))
