"""The AMD collector with a tree of files, and its readings by row, subject and labels."""

from collections.abc import Callable
from pathlib import Path

from collectors.amd.collector import AmdCollector
from collectors.amd.gpu_metrics.model import Metrics, Parse
from collectors.contract import Alias, CollectOptions, Device, Node, Partition, Reading, UnsupportedError
from collectors.device_calls import DeviceCalls
from collectors.metric import Cadence, Metric
from collectors.sysfs import Root
from tests.doubles.amd_tree import AmdTree

ALL = frozenset(Cadence)
FAST = frozenset({Cadence.FAST})
MACHINE = "a machine"
NOW = 1_700_000_000.0
NO_DEADLINE = 3600.0  # of calls that return
NOWHERE = Root(Path("/nonexistent"))


def no_table(_: bytes) -> Metrics:
    """The parser for a GPU without `gpu_metrics`."""
    raise UnsupportedError("gpu_metrics: no such file")


def collector_of(
    tree: AmdTree,
    options: CollectOptions | None = None,
    wall_clock: Callable[[], float] = lambda: NOW,
    parse: Parse = no_table,
    procfs: Root = NOWHERE,
    clock: Callable[[], float] = lambda: 0.0,
) -> AmdCollector:
    """A collector that reads the tree."""
    node = Node(tree.root, procfs, MACHINE, options or CollectOptions())
    return AmdCollector(node, wall_clock, parse, clock, DeviceCalls("test", NO_DEADLINE))


def values(reading: Reading, metric: Metric, uuid: str, partition: str = "") -> dict[tuple[str, ...], float]:
    """Values of one row for one subject, by labels."""
    return {
        sample.labels: sample.value
        for sample in reading.samples
        if (sample.metric, sample.device_uuid, sample.partition_uuid) == (metric, uuid, partition)
    }


def value(reading: Reading, metric: Metric, uuid: str, *labels: str, partition: str = "") -> float | None:
    """One value; None if there is none."""
    return values(reading, metric, uuid, partition).get(labels)


def meaning(reading: Reading, name: str, scope: str = "amd.com/") -> set[str]:
    """Uuids of the subjects that a name means."""
    subjects: tuple[Device | Partition, ...] = (*reading.devices, *reading.partitions)
    return {each.uuid for each in subjects if {Alias(name), Alias(name, scope)} & each.aliases}


def reasons(reading: Reading) -> set[tuple[str, str]]:
    """The place and the reason of each fault."""
    return {(fault.where, str(fault.reason)) for fault in reading.faults}
