"""The readings: which NVML call supplies which catalogue rows, and how its values are converted to base units."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from collectors import catalog
from collectors.contract import CollectOptions
from collectors.metric import DEFAULT_SETS, Metric, MetricSet
from collectors.nvidia import (
    activity,
    diagnostics,
    field_values,
    interconnect,
    links,
    nvlink_counters,
    reliability,
    thermal,
    throttle_time,
)
from collectors.nvidia.errors import InvalidValueError
from collectors.nvidia.nvml import Batch, ClockType, Handle, Memory, Nvml, Queries, Query
from collectors.nvidia.processes import host_memory
from collectors.nvidia.reliability import RecoveryAction
from collectors.nvidia.throttle_time import ThrottleTime
from collectors.query import RawValue, rows_of
from collectors.units import (
    hertz_from_megahertz,
    joules_from_millijoules,
    ratio_from_percent,
    watts_from_milliwatts,
)

# nvmlComputeMode_t: default, exclusive thread (no longer supported), prohibited, exclusive process.
_COMPUTE_MODES = range(4)
_EXCLUSIVE = (1, 3)
_NOT_CONFIDENTIAL = 0  # NVML_CC_SYSTEM_FEATURE_DISABLED; there is more than one way to be enabled


def _utilization(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    yield RawValue(catalog.UTILIZATION, nvml.utilization(handle).gpu, ratio_from_percent)


def _memory_busy(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """The fraction of time, not of bandwidth: `nvmlUtilization_t.memory`."""
    yield RawValue(catalog.MEMORY_BUSY, nvml.utilization(handle).memory, ratio_from_percent)


def _memory(read: Callable[[Nvml, Handle], Memory], nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    memory = read(nvml, handle)
    yield RawValue(catalog.MEMORY_USAGE, memory.used)
    yield RawValue(catalog.MEMORY_LIMIT, memory.total)
    if memory.reserved is not None:
        yield RawValue(catalog.MEMORY_RESERVED, memory.reserved)


def _milliwatts(metric: Metric, read: Callable[[Nvml, Handle], int], nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    yield RawValue(metric, read(nvml, handle), watts_from_milliwatts)


def _energy(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    yield RawValue(catalog.ENERGY, nvml.energy(handle), joules_from_millijoules)


def _power_range(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    limits = nvml.power_range(handle)
    yield RawValue(catalog.POWER_MIN_LIMIT, limits.lowest, watts_from_milliwatts)
    yield RawValue(catalog.POWER_MAX_LIMIT, limits.highest, watts_from_milliwatts)


def _clock(domain: str, clock: ClockType, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    yield RawValue(catalog.CLOCK, nvml.clock(handle, clock), hertz_from_megahertz, (domain,))


def _max_clock(domain: str, clock: ClockType, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    yield RawValue(catalog.MAX_CLOCK, nvml.max_clock(handle, clock), hertz_from_megahertz, (domain,))


def _mode(mode: str, read: Callable[[Nvml, Handle], bool], nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    yield RawValue(catalog.MODE_STATE, read(nvml, handle), labels=(mode,))


def _exclusive(nvml: Nvml, handle: Handle) -> bool:
    """Whether only one process at a time may use it: nvmlDeviceGetComputeMode, unavailable while MIG is on."""
    mode = nvml.call("nvmlDeviceGetComputeMode", handle, read=int)
    if mode not in _COMPUTE_MODES:
        raise InvalidValueError(f"nvmlDeviceGetComputeMode: {mode}")
    return mode in _EXCLUSIVE


def _confidential(nvml: Nvml, _: Handle) -> bool:
    """Whether the node's GPUs are in confidential computing mode: nvmlSystemGetConfComputeState, driver 535."""
    return nvml.call("nvmlSystemGetConfComputeState", read=lambda state: int(state.ccFeature) != _NOT_CONFIDENTIAL)


_CLOCKS = {
    "core": ClockType.GRAPHICS,
    "sm": ClockType.SM,
    "memory": ClockType.MEMORY,
    "video": ClockType.VIDEO,
}
_MODES: dict[str, Callable[[Nvml, Handle], bool]] = {
    "partitioning": Nvml.mig_mode,
    "persistence": Nvml.persistence_mode,
    "ecc": Nvml.ecc_mode,
    "exclusive": _exclusive,
    "confidential": _confidential,
}
_MEMORY_ROWS = (catalog.MEMORY_USAGE, catalog.MEMORY_LIMIT, catalog.MEMORY_RESERVED)
MEMORY_QUERIES: tuple[Query, ...] = (
    Query("memory", _MEMORY_ROWS, partial(_memory, Nvml.memory)),
    # Usage then includes some hundred MiB reserved by the driver, which the older call does not report separately.
    Query(
        "memory, first version",
        (catalog.MEMORY_USAGE, catalog.MEMORY_LIMIT),
        partial(_memory, Nvml.memory_with_reserved_as_used),
        fallback_for="memory",
    ),
)
_OWN_QUERIES: tuple[Query, ...] = (
    *MEMORY_QUERIES,
    Query("memory of processes", (catalog.HOST_MEMORY_USAGE,), host_memory),
    Query("power", (catalog.POWER,), partial(_milliwatts, catalog.POWER, Nvml.power)),
    Query("energy", (catalog.ENERGY,), _energy),
    Query("power limit", (catalog.POWER_LIMIT,), partial(_milliwatts, catalog.POWER_LIMIT, Nvml.power_limit)),
    Query(
        "default power limit",
        (catalog.POWER_DEFAULT_LIMIT,),
        partial(_milliwatts, catalog.POWER_DEFAULT_LIMIT, Nvml.power_default_limit),
    ),
    Query("power range", (catalog.POWER_MIN_LIMIT, catalog.POWER_MAX_LIMIT), _power_range),
    *(Query(f"{domain} clock", (catalog.CLOCK,), partial(_clock, domain, clock)) for domain, clock in _CLOCKS.items()),
    *(
        Query(f"highest {domain} clock", (catalog.MAX_CLOCK,), partial(_max_clock, domain, clock))
        for domain, clock in _CLOCKS.items()
    ),
)
_MODE_QUERIES: tuple[Query, ...] = tuple(
    Query(f"{mode} mode", (catalog.MODE_STATE,), partial(_mode, mode, read)) for mode, read in _MODES.items()
)


def _memory_in_use(activity_batches: Sequence[Batch]) -> Query:
    """Time in which the memory was in use: for a device that does not report the used bandwidth, if it is asked."""
    asked = {item.name for batch in activity_batches for item in batch.items}
    bandwidth = activity.MEMORY_BANDWIDTH if activity.MEMORY_BANDWIDTH in asked else ""
    return Query("memory in use", (catalog.MEMORY_BUSY,), _memory_busy, fallback_for=bandwidth)


def device_queries(
    options: CollectOptions,
    activity_batches: Sequence[Batch] = (),
    throttle: ThrottleTime | None = None,
    recovery: RecoveryAction | None = None,
) -> Queries:
    """The queries of one device in one session. One batch reads most fields with one call.

    Args:
        options: The optional readings to make.
        activity_batches: Its activity queries. A device that supports them reports the used memory bandwidth instead
            of the time in which memory was in use.
        throttle: Its time in throttling; None if it is not read.
        recovery: Its recovery action; None if nobody uses an unknown one.
    """
    each_link, diagnosed = MetricSet.LINKS in options.sets, MetricSet.DIAGNOSTICS in options.sets
    return (
        Query(activity.UTILIZATION, (catalog.UTILIZATION,), _utilization),
        *activity_batches,
        _memory_in_use(activity_batches),
        *_OWN_QUERIES,
        # Before all other field values: it compares its own with the time of their call.
        *(throttle.queries() if throttle else (*thermal.THROTTLE_QUERIES, throttle_time.OMITTED)),
        *activity.ENGINE_QUERIES,
        *thermal.QUERIES,
        *_MODE_QUERIES,
        *links.QUERIES,
        *(links.BLOCKING_QUERIES if options.pcie_throughput else ()),
        *interconnect.QUERIES,
        *reliability.QUERIES,
        (recovery or RecoveryAction()).query,
        *(diagnostics.QUERIES if diagnosed else ()),
        field_values.batch(
            *thermal.FIELDS,
            *links.FIELDS,
            *(() if each_link else nvlink_counters.FIELDS),
            *(diagnostics.ITEMS if diagnosed else ()),
        ),
        *(nvlink_counters.of_each_link() if each_link else nvlink_counters.sums()),
    )


# All rows that queries of a device can supply.
DEVICE_ROWS: frozenset[Metric] = (
    rows_of(device_queries(CollectOptions(DEFAULT_SETS | {MetricSet.DIAGNOSTICS}, pcie_throughput=True)))
    | activity.GPM_ROWS
    | {catalog.PROCESSES}
)
