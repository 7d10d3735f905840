"""Activity of the parts of a device: the fixed-function engines, and from GPM the compute pipes and the memory.

GPM reports whole devices and MIG devices; for MIG devices there is no other utilization. While a device is in MIG mode,
the utilization of its engines is unavailable.

The values of a MIG device are those of its GPU instance, assumed to be relative to the instance and not to the device.
A compute instance with only a part of its GPU instance, shared with others or not, has none.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import cast

from collectors import catalog
from collectors.contract import CollectorError, Reason, UnavailableError, UnsupportedError
from collectors.metric import ALL_SETS, Metric, MetricSet, Subject
from collectors.nvidia.gpm import Gpm, Sampler
from collectors.nvidia.nvml import Batch, Handle, Nvml, Query
from collectors.query import BatchItem, RawValue
from collectors.units import ratio_from_percent

# Names of the queries for the utilization of a device and of its memory.
UTILIZATION, MEMORY_BANDWIDTH = "utilization", "gpm memory bandwidth"

# NVML_GPM_METRIC_*: percent between two samples; of the memory, percent of the bandwidth that is possible.
_GRAPHICS, _OCCUPANCY, _DRAM = 1, 3, 10
_PIPES = {"sm": 2, "tensor": 5, "fp64": 11, "fp32": 12, "fp16": 13, "integer": 4}
# Cycles since the node was booted, driver 595. The traffic over PCIe (255, 256) is not used: its unit is not stated.
_ELAPSED_CYCLES = 248
_ACTIVE_CYCLES = {"sm": 249, "tensor": 250, "fp64": 258, "fp32": 259, "fp16": 260, "integer": 257}
# JPEG and optical flow: driver 535 or later, Turing or later.
_ENGINE_CALLS = {
    "encoder": "nvmlDeviceGetEncoderUtilization",
    "decoder": "nvmlDeviceGetDecoderUtilization",
    "jpeg": "nvmlDeviceGetJpgUtilization",
    "optical_flow": "nvmlDeviceGetOfaUtilization",
}


def _engine(engine: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """Percent of the last sampling period. The second value is the period in microseconds."""
    percent, _ = nvml.call(_ENGINE_CALLS[engine], handle, read=tuple)
    yield RawValue(catalog.ENGINE_UTILIZATION, percent, ratio_from_percent, (engine,))


ENGINE_QUERIES: tuple[Query, ...] = tuple(
    Query(f"{engine} utilization", (catalog.ENGINE_UTILIZATION,), partial(_engine, engine)) for engine in _ENGINE_CALLS
)


def _item(
    name: str,
    metric: Metric,
    number: int,
    labels: tuple[str, ...] = (),
    convert: Callable[[float], float] = ratio_from_percent,
    fallback_for: str = "",
) -> BatchItem:
    def read(raw: float) -> Iterable[RawValue]:
        return (RawValue(metric, raw, convert, labels),)

    return BatchItem(name, (metric,), number, read, fallback_for)


_COMMON_ITEMS: tuple[BatchItem, ...] = (
    *(_item(f"gpm {pipe} activity", catalog.PIPE_ACTIVITY, number, (pipe,)) for pipe, number in _PIPES.items()),
    _item("gpm occupancy", catalog.SM_OCCUPANCY, _OCCUPANCY),
    _item(MEMORY_BANDWIDTH, catalog.MEMORY_BANDWIDTH, _DRAM),
)
# For a device without MIG, NVML reports the utilization by another call, over another period.
DEVICE_ITEMS: tuple[BatchItem, ...] = (
    _item("gpm utilization", catalog.UTILIZATION, _GRAPHICS, fallback_for=UTILIZATION),
    *_COMMON_ITEMS,
)
PARTITION_ITEMS: tuple[BatchItem, ...] = (_item("gpm utilization", catalog.UTILIZATION, _GRAPHICS), *_COMMON_ITEMS)
# In a separate call: an older driver that rejects their numbers must not reject the others too.
CYCLE_ITEMS: tuple[BatchItem, ...] = (
    _item("gpm elapsed cycles", catalog.PIPE_ELAPSED_CYCLES, _ELAPSED_CYCLES, convert=float),
    *(
        _item(f"gpm {pipe} cycles", catalog.PIPE_ACTIVE_CYCLES, number, (pipe,), float)
        for pipe, number in _ACTIVE_CYCLES.items()
    ),
)
# All rows that GPM can supply, for devices and partitions.
GPM_ROWS: frozenset[Metric] = frozenset(row for item in (*DEVICE_ITEMS, *CYCLE_ITEMS) for row in item.rows)


_PIPE_OF: Mapping[Hashable, str] = {number: pipe for pipe, number in (*_PIPES.items(), *_ACTIVE_CYCLES.items())}


def _exported(items: Iterable[BatchItem], subject: Subject, sets: Collection[MetricSet]) -> tuple[BatchItem, ...]:
    """The items whose series are in one of the sets."""

    def set_of(item: BatchItem) -> MetricSet:
        [row] = item.rows
        return row.set_of(subject, {"pipe": _PIPE_OF.get(item.key, "")})

    return tuple(item for item in items if set_of(item) in sets)


class Activity:
    """Creates the activity queries for the devices and partitions of one session.

    Only what is exported is read. Where nothing of it is, no samples are taken.

    Args:
        gpm: Their samples.
        sets: The sets of metrics that are exported.
    """

    def __init__(self, gpm: Gpm, sets: Collection[MetricSet] = ALL_SETS) -> None:
        self._gpm = gpm
        of_device, of_partition = Subject.DEVICE, Subject.PARTITION
        self._of_device = tuple(_exported(items, of_device, sets) for items in (DEVICE_ITEMS, CYCLE_ITEMS))
        self._of_partition = tuple(_exported(items, of_partition, sets) for items in (PARTITION_ITEMS, CYCLE_ITEMS))
        self._supported: set[str] = set()
        self._unsupported: dict[str, str] = {}  # the reason, by uuid

    def of_device(self, uuid: str) -> tuple[Batch, ...]:
        """The queries for a device."""

        def sampler_for(handle: Handle) -> Sampler:
            return self._gpm.of_device(handle)

        return self._batches(uuid, self._of_device, sampler_for)

    def of_partition(self, uuid: str, parent: Handle, gpu_instance: int, *, whole: bool) -> tuple[Batch, ...]:
        """The queries for a MIG device.

        Args:
            uuid: Its uuid. It is never used again, so samples of different MIG devices are never compared.
            parent: Its device.
            gpu_instance: Its GPU instance.
            whole: Whether it is the whole GPU instance.
        """
        if not whole:
            self._gpm.drop(uuid)  # if it is the whole instance again later, the activity in between is not all its own
            items = tuple(item for group in self._of_partition for item in group)
            return (Batch(items, _refuse_partial_instance),)

        def sampler_for(_: Handle) -> Sampler:
            return self._gpm.of_gpu_instance(parent, gpu_instance)

        return self._batches(uuid, self._of_partition, sampler_for, parent)

    def _batches(
        self,
        uuid: str,
        groups: tuple[tuple[BatchItem, ...], ...],
        sampler_for: Callable[[Handle], Sampler],
        parent: Handle | None = None,
    ) -> tuple[Batch, ...]:
        new, last = partial(self._read_new_sample, uuid, sampler_for, parent), partial(self._read_last_sample, uuid)
        return tuple(Batch(items, read) for items, read in zip(groups, (new, last), strict=True) if items)

    def _read_new_sample(
        self,
        uuid: str,
        sampler_for: Callable[[Handle], Sampler],
        parent: Handle | None,
        _: Nvml,
        handle: Handle,
        keys: Sequence[Hashable],
    ) -> Sequence[float | CollectorError]:
        self._unsupported.pop(uuid, None)
        try:
            if uuid not in self._supported:
                self._gpm.require(parent or handle)
                self._supported.add(uuid)
            self._gpm.sample(uuid, sampler_for(handle))
            return self._gpm.metrics(uuid, cast("Sequence[int]", keys))
        except (UnsupportedError, UnavailableError) as error:
            if isinstance(error, UnsupportedError) or error.reason is Reason.PERMISSION_DENIED:
                self._unsupported[uuid] = str(error)
            raise

    def _read_last_sample(
        self, uuid: str, _: Nvml, __: Handle, keys: Sequence[Hashable]
    ) -> Sequence[float | CollectorError]:
        """Read metrics of the samples that were just taken, unless the device or partition does not support samples."""
        if uuid in self._unsupported:
            raise UnsupportedError(self._unsupported[uuid])
        return self._gpm.metrics(uuid, cast("Sequence[int]", keys))


def _refuse_partial_instance(_: Nvml, __: Handle, ___: Sequence[Hashable]) -> Sequence[float | CollectorError]:
    raise UnsupportedError("GPM reports whole GPU instances only, and this compute instance is only a part of one")
