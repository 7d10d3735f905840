"""The energy and power of a device with one pod, from readings to series."""

from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse as parse_table
from collectors.contract import Reading, Reason, Sample, Unsupported
from exporter import families
from exporter.assembler import Assembler, Clocks
from exporter.attribution.holding import Holding
from exporter.attribution.watcher import AttributionState
from exporter.exposition import render
from exporter.snapshot import Snapshot
from exporter.text_format import Format
from tests.doubles.amd_cards import MI210, MI250X, MI250X_SECOND_DIE
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_tree import AmdTree
from tests.doubles.collectors import LIMITS, Clock, ended, energy, gpu, info, no_energy, power
from tests.doubles.expositions import parse

LIMIT = Sample(catalog.POWER_LIMIT, "gpu-a", 700)


class Node:
    """A node with one device, which is allocated to one pod."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.assembler = Assembler(["acme"], ("acme/",), LIMITS, Clocks(self.clock, self.clock))
        holding = Holding("ns", "train", "main", "acme/gpu", "gpu-a", "device_plugin")
        self.assembler.apply(AttributionState((holding,), up=True, last_success_timestamp_seconds=5.0))

    def poll(self, at: float, *samples: Sample, unsupported: tuple[Unsupported, ...] = ()) -> Snapshot:
        self.clock.now = at
        self.assembler.apply(
            ended(at, Reading((gpu("gpu-a"),), (), (*samples, LIMIT, info("gpu-a")), unsupported=unsupported))
        )
        return self.assembler.snapshot()


def value(snapshot: Snapshot, name: str) -> float | None:
    """The value of the only series of a family; None if there is none."""
    families = parse(render(snapshot, (), Format.TEXT), Format.TEXT)
    found = [sample.value for family in families for sample in family.samples if sample.name == name]
    return found[0] if found else None


def test_a_pod_on_one_die_has_neither_power_nor_energy_of_the_package(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys")
    die, other, alone = (
        tree.add(kind, f"0000:{bus}:00.0") for kind, bus in ((MI250X, "2e"), (MI250X_SECOND_DIE, "2f"), (MI210, "63"))
    )
    collector = collector_of(tree, parse=parse_table)
    clock = Clock()
    assembler = Assembler(["amd"], ("amd.com/",), LIMITS, Clocks(clock, clock), allocation_energy=True)
    holdings = tuple(
        Holding("ns", f"pod-{card.address}", "main", "amd.com/gpu", card.address, "device_plugin")
        for card in (die, other, alone)
    )
    assembler.apply(AttributionState(holdings, up=True, last_success_timestamp_seconds=5.0))
    for at in range(3):
        clock.now = float(at)
        for card in (die, alone):
            card.write_table(energy=(1_000_000 + 300 * at) << 16)
        assembler.apply(ended(float(at), collector.read(ALL), collector="amd"))
        snapshot = assembler.snapshot()

    rows = (families.CONTAINER_POWER, families.CONTAINER_ENERGY, families.ALLOCATION_ENERGY)
    found = {(s.subject.device_uuid, s.metric): s.value for s in snapshot.holder_samples if s.metric in rows}
    assert found == {(alone.uuid, row): amount for row, amount in zip(rows, (96, 600, 600), strict=True)}
    of_devices = {s.device_uuid: s.value for s in snapshot.samples if s.metric is catalog.POWER}
    assert of_devices == {die.uuid: 412, alone.uuid: 96}
    busy = {s.subject.device_uuid for s in snapshot.holder_samples if s.metric is families.CONTAINER_UTILIZATION}
    assert busy == {die.uuid, other.uuid, alone.uuid}


DEVICE_ENERGY, CONTAINER_ENERGY = "accelerator_device_energy_joules_total", "accelerator_container_energy_joules_total"
COUNTS = 2.0**-16  # joules in one count of an AMD card


@pytest.mark.parametrize(
    ("joules", "credited", "exported"),
    [
        ((5_000_000, 5_000_070, 0, 5_000_140), 140, (5_000_000, 5_000_070, 5_000_070, 5_000_140)),
        (
            (4_750_896_266 * COUNTS, 4_736_943_791 * COUNTS, 4_750_896_266 * COUNTS + 70),
            70,
            (4_750_896_266 * COUNTS, 4_750_896_266 * COUNTS, 4_750_896_266 * COUNTS + 70),
        ),
        ((5_000_000, 6_480_000, 5_000_140), 140, (5_000_000, 5_000_000, 5_000_140)),
        ((5_000_000, 30, 100), 100, (5_000_000, 5_000_000, 100)),
    ],
    ids=["zero once", "recorded on an MI200", "1.48 MJ from one bad reading", "reset"],
)
def test_energy_of_a_pod_follows_the_rule_for_counters(
    joules: tuple[float, ...], credited: float, exported: tuple[float, ...]
) -> None:
    node = Node()
    snapshots = [node.poll(float(at), energy("gpu-a", each)) for at, each in enumerate(joules)]

    assert [value(snapshot, DEVICE_ENERGY) for snapshot in snapshots] == list(exported)
    of_pod = [value(snapshot, CONTAINER_ENERGY) or 0.0 for snapshot in snapshots]
    assert of_pod == sorted(of_pod)
    assert of_pod[-1] == pytest.approx(credited)


def test_power_of_4_megawatts_is_neither_exported_nor_integrated() -> None:
    node = Node()
    for at, watts in enumerate((300, 4_000_000, 300, 300)):
        snapshot = node.poll(float(at), power("gpu-a", watts), unsupported=(no_energy("gpu-a"),))
        assert value(snapshot, "accelerator_device_power_watts") == (None if at == 1 else 300)

    assert value(snapshot, DEVICE_ENERGY) == value(snapshot, CONTAINER_ENERGY) == 900
    assert snapshot.collectors[0].errors[Reason.INVALID_VALUE] == 1
