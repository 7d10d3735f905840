"""Readings and allocations for an assembler, and the series of its snapshots."""

from collectors.contract import Device, Partition, Reading, Sample, Unsupported
from exporter.assembler import Assembler
from exporter.attribution.holding import Holding
from exporter.attribution.watcher import AttributionState
from exporter.exposition import render
from exporter.snapshot import Snapshot
from exporter.text_format import Format
from tests.doubles.collectors import Clock, ended, gpu
from tests.doubles.expositions import parse

GPU = "acme/gpu"
BOTH = (gpu("gpu-a"), gpu("gpu-b"))
Series = dict[tuple[str, str], float]


def held(*pods: tuple[str, str]) -> AttributionState:
    """Pods with their allocated device ids."""
    holdings = tuple(Holding("ns", pod, "main", GPU, device, "device_plugin") for pod, device in pods)
    return AttributionState(holdings, up=True, last_success_timestamp_seconds=5.0)


def reading(
    *samples: Sample,
    devices: tuple[Device, ...] = BOTH,
    partitions: tuple[Partition, ...] = (),
    unsupported: tuple[Unsupported, ...] = (),
) -> Reading:
    return Reading(devices, partitions, samples, unsupported=unsupported)


def poll(assembler: Assembler, clock: Clock, at: float, brought: Reading) -> Snapshot:
    clock.now = at
    assembler.apply(ended(at, brought))
    return assembler.snapshot()


def series(snapshot: Snapshot) -> Series:
    """Values by family and uuid, or by pod where the series has one."""
    found: Series = {}
    for family in parse(render(snapshot, (), Format.TEXT), Format.TEXT):
        for sample in family.samples:
            who = sample.labels.get("pod") or sample.labels.get("partition_uuid") or sample.labels["uuid"]
            assert found.setdefault((sample.name, who), sample.value) == sample.value
    return found


def who_has(snapshot: Snapshot, name: str) -> dict[str, float]:
    return {who: value for (family, who), value in series(snapshot).items() if family == name}
