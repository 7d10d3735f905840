"""The queries of a GPU and of a partition: the file for each row of the catalogue, or the library instead.

Source of `ras/features`: the kernel's `drivers/gpu/drm/amd/amdgpu/amdgpu_ras.c`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from collectors import catalog, query
from collectors.amd import hwmon, kfd, links, load, ras, throttling
from collectors.amd.files import read_text
from collectors.amd.gpu_files import GpuFiles, Queries, Query
from collectors.amd.gpu_metrics.model import PartitionMetrics
from collectors.amd.gpu_metrics.queries import mean, with_memory
from collectors.amd.kfd import KfdNode
from collectors.amd.rocm_smi.queries import LIBRARY_ROWS, Backend, library_batches
from collectors.contract import CollectOptions, UnsupportedError
from collectors.metric import Metric, MetricSet
from collectors.query import InvalidValueError, NoDataError, RawValue, rows_of
from collectors.sysfs import Root

PARTITIONING = ("partitioning",)
_ECC = ("ecc",)
_FEATURES = re.compile(r"feature mask: 0x([0-9a-fA-F]{1,16})")
_MEMORY_BLOCK = 1


def _partitions(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    if not files.layout.known:
        raise NoDataError("partitions: unknown at the moment")
    yield RawValue(catalog.PARTITIONS, len(files.layout.partitions))


def _partitioning(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    if not files.layout.partitionable:
        raise UnsupportedError("current_compute_partition: no such file")
    if not files.layout.known:
        raise NoDataError("partitions: unknown at the moment")
    yield RawValue(catalog.MODE_STATE, bool(files.layout.partitions), labels=PARTITIONING)


def _ecc(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    """ras/features: a mask of the monitored blocks; the lowest bit is the memory."""
    text = read_text(files.paths.folder / "ras" / "features")
    found = _FEATURES.fullmatch(text.splitlines()[0])
    if found is None:
        raise InvalidValueError(f"ras/features: {text[:40]!r}")
    yield RawValue(catalog.MODE_STATE, int(found[1], 16) & _MEMORY_BLOCK, labels=_ECC)


_MODES: tuple[Query, ...] = (
    Query("partitions", (catalog.PARTITIONS,), _partitions),
    Query("partitioning", (catalog.MODE_STATE,), _partitioning),
    Query("ecc", (catalog.MODE_STATE,), _ecc),
)


def device_queries(options: CollectOptions, memory: Metric, library: Backend | None = None) -> Queries:
    """The queries of a GPU.

    Args:
        options: What to read in addition to the default.
        memory: The family of what it reports about its memory.
        library: Replaces the files for the readings that it supports; None to read only files.
    """
    link_queries = links.QUERIES_PER_LINK if MetricSet.LINKS in options.sets else links.QUERIES
    files: Queries = (
        *_MODES,
        *load.QUERIES,
        load.memory_query(memory),
        *hwmon.QUERIES,
        *link_queries,
        *ras.QUERIES,
        with_memory(memory),
        *throttling.QUERIES,
    )
    return files if library is None else (*_without(files, LIBRARY_ROWS), *library_batches(library, memory))


def _without(
    queries: Queries, rows: frozenset[Metric]
) -> Iterator[query.Query[Root, GpuFiles] | query.Batch[Root, GpuFiles]]:
    """The queries without those for the given rows."""
    for each in queries:
        if isinstance(each, query.Batch):
            yield replace(each, items=tuple(item for item in each.items if not rows & {*item.rows}))
        elif not rows & {*each.rows}:
            yield each


# Every row that can be read for a device.
DEVICE_ROWS: frozenset[Metric] = frozenset[Metric]().union(
    *(rows_of(device_queries(CollectOptions(), row)) for row in load.MEMORY_ROWS)
)


@dataclass(frozen=True, slots=True)
class PartitionFiles:
    """The files of one partition in one poll.

    Attributes:
        node: Its KFD node, which has its own files.
        folder: The folder of its device.
        count: Number of partitions that its GPU is divided into.
        gpu: The files of its GPU.
    """

    node: KfdNode
    folder: Path
    count: int
    gpu: GpuFiles


# A class, not an alias: a frozen class with slots cannot be created by an alias in Python 3.11.
class PartitionQuery(query.Query[Root, PartitionFiles]):
    """One query of a partition."""

    __slots__ = ()


PartitionQueries: TypeAlias = query.Queries[Root, PartitionFiles]


def _utilization(_: Root, files: PartitionFiles) -> Iterator[RawValue]:
    """The mean of its compute dies."""
    ratio = mean(_metrics(files).gfx_ratios)
    if ratio is None:
        raise NoDataError("gpu_metrics: no value")
    yield RawValue(catalog.UTILIZATION, ratio)


def _metrics(files: PartitionFiles) -> PartitionMetrics:
    """Its values in the table of the GPU, which has them in versions 1.6 to 1.8; else in its own table."""
    try:
        partitions = files.gpu.metrics().partitions
    except UnsupportedError:
        partitions = ()
    if not partitions:
        return files.gpu.partition_metrics(files.folder)
    if len(partitions) != files.count:
        raise NoDataError("gpu_metrics: another partition layout")
    return partitions[files.node.partition]


def _memory_limit(_: Root, files: PartitionFiles) -> Iterator[RawValue]:
    yield RawValue(catalog.MEMORY_LIMIT, kfd.memory_limit(files.node))


def _memory_usage(_: Root, files: PartitionFiles) -> Iterator[RawValue]:
    yield RawValue(catalog.MEMORY_USAGE, kfd.memory_usage(files.node))


PARTITION_QUERIES: PartitionQueries = (
    PartitionQuery("utilization", (catalog.UTILIZATION,), _utilization),
    PartitionQuery("memory limit", (catalog.MEMORY_LIMIT,), _memory_limit),
    PartitionQuery("memory usage", (catalog.MEMORY_USAGE,), _memory_usage),
)

# Every row that can be read for a partition.
PARTITION_ROWS: frozenset[Metric] = rows_of(PARTITION_QUERIES)
