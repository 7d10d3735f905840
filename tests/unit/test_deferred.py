"""The code of a vendor is loaded when its hardware is first seen."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors import amd, catalog, nvidia
from collectors.contract import AbsentError, CollectorSpec, Node, Reading
from collectors.deferred import DeferredCollector, DeferredRows, ReleasingCollector
from collectors.metric import Cadence
from collectors.sysfs import Root
from tests.doubles.sysfs_tree import SysfsTree

ALL = frozenset(Cadence)


class Counting:
    def __init__(self) -> None:
        self.created = self.closings = 0
        self.closed = False
        self.released: list[frozenset[str]] = []

    def read(self, _due: frozenset[Cadence]) -> Reading:
        return Reading(devices=())

    def close(self) -> None:
        self.closings += 1

    def release_devices(self, addresses: frozenset[str]) -> None:
        self.released.append(addresses)

    def create(self) -> ReleasingCollector:
        self.created += 1
        return self


def test_a_collector_is_created_once_its_hardware_is_there() -> None:
    there: list[bool] = []

    def verify() -> None:
        if not there:
            raise AbsentError("nothing yet")

    made = Counting()
    collector = DeferredCollector(verify, made.create)
    for _ in range(2):
        with pytest.raises(AbsentError, match="nothing yet"):
            collector.read(ALL)
    collector.close()
    assert (made.created, made.closings) == (0, 0)

    there.append(True)
    assert [collector.read(ALL), collector.read(ALL)] == [Reading(devices=())] * 2
    there.clear()
    collector.read(ALL)  # what becomes of known devices is the collector's to say
    collector.close()
    assert (made.created, made.closings) == (1, 1)


def test_devices_that_are_released_before_the_collector_exists_stay_released() -> None:
    made = Counting()
    collector = DeferredCollector(lambda: None, made.create)
    early, later = frozenset({"0000:01:00.0"}), frozenset({"0000:02:00.0"})

    collector.release_devices(early)
    assert made.created == 0
    collector.read(ALL)
    collector.release_devices(later)
    collector.read(ALL)
    assert made.released == [early, later]


def test_it_is_closed_when_the_collector_is() -> None:
    made = Counting()
    collector = DeferredCollector(lambda: None, made.create)
    assert collector.closed

    collector.read(ALL)
    assert not collector.closed
    made.closed = True
    assert collector.closed


def test_rows_are_loaded_when_they_are_read() -> None:
    loads: list[str] = []

    def load() -> tuple[object, ...]:
        loads.append("load")
        return catalog.ROWS

    rows = DeferredRows(load)  # type: ignore[arg-type] # rows, as far as this test knows
    assert loads == []
    assert (tuple(rows), rows[0], rows[1:3], len(rows)) == (
        catalog.ROWS,
        catalog.ROWS[0],
        catalog.ROWS[1:3],
        len(catalog.ROWS),
    )
    assert catalog.INFO in rows


def nothing(_: SysfsTree) -> None:
    pass


def other_vendor(tree: SysfsTree) -> None:
    tree.add_pci("0000:01:00.0", vendor=0x8086, driver="i915")


def nvidia_card(tree: SysfsTree) -> None:
    tree.add_pci("0000:01:00.0")


def amd_card(tree: SysfsTree) -> None:
    tree.add_pci("0000:01:00.0", vendor=0x1002, driver=None)


def amd_driver(tree: SysfsTree) -> None:
    (tree.path / "bus" / "pci" / "drivers" / "amdgpu" / "bind").mkdir(parents=True)


SCRIPT = """
import sys
from collectors import registry
from collectors.contract import CollectorError, Node
from collectors.metric import Cadence
from collectors.sysfs import Root
from pathlib import Path

for spec in registry.load():
    try:
        spec.create(Node(Root(Path(sys.argv[1])), Root(Path("/nowhere")), "machine")).read(frozenset(Cadence))
    except CollectorError:
        pass
print(*{name.split(".")[1] for name in sys.modules if name.endswith(".collector")})
"""


@pytest.mark.parametrize(
    ("fill", "loaded"),
    [
        (nothing, set()),
        (other_vendor, set()),
        (nvidia_card, {"nvidia"}),
        (amd_card, {"amd"}),
        (amd_driver, {"amd"}),
    ],
)
def test_only_the_code_of_vendors_with_hardware_is_loaded(
    tmp_path: Path, fill: Callable[[SysfsTree], None], loaded: set[str]
) -> None:
    fill(SysfsTree(tmp_path))
    environment = {**os.environ, "LD_LIBRARY_PATH": os.devnull}
    command = (sys.executable, "-c", SCRIPT, str(tmp_path))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) & {"amd", "nvidia"} == loaded


@pytest.mark.parametrize("spec", [amd.SPEC, nvidia.SPEC], ids=lambda spec: spec.name)
def test_a_node_without_hardware_has_no_vendor(tmp_path: Path, spec: CollectorSpec) -> None:
    with pytest.raises(AbsentError, match="on this node"):
        spec.create(Node(Root(tmp_path), Root(tmp_path), "machine")).read(ALL)
