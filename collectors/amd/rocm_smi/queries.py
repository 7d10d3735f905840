"""Queries of the library, which replace those of the kernel's files."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Protocol, cast

from collectors import catalog
from collectors.amd import load
from collectors.amd.gpu_files import Batch, GpuFiles
from collectors.contract import CollectorError, UnsupportedError
from collectors.metric import Metric
from collectors.query import BatchItem, NoDataError, RawValue
from collectors.sysfs import Root
from collectors.units import celsius_from_millicelsius, ratio_from_percent, watts_from_microwatts

_JOULES_PER_COUNT = 2**-16
_SENSORS = {"edge": "core", "junction": "hotspot", "memory": "memory", **{f"hbm{n}": f"hbm{n}" for n in range(4)}}
_ENERGY = "energy_count"
_AVERAGE, _CURRENT = "power_average_microwatts", "power_current_microwatts"


class Backend(Protocol):
    """Reads from the library."""

    def read(self, address: str, names: Sequence[str]) -> Sequence[float | CollectorError]:
        """The value of each reading of the device at a PCI address, or the reason why it has none."""
        ...


def _joules(count: float) -> float:
    return count * _JOULES_PER_COUNT


def _answer(
    metric: Metric, convert: Callable[[float], float], labels: tuple[str, ...], value: float
) -> Iterable[RawValue]:
    return [RawValue(metric, value, convert, labels)]


def _power(value: float) -> Iterable[RawValue]:
    """The library returns 0 for a die if another die reports the power of the package."""
    if value == 0:
        raise NoDataError("power: 0")
    return [RawValue(catalog.POWER, value, watts_from_microwatts)]


def _energy(count: float) -> Iterable[RawValue]:
    """A counter that stays at 0 does not count; then the power is integrated instead."""
    return [RawValue(catalog.ENERGY, count, _joules, unsupported_at_zero=True)]


def _item(
    name: str, metric: Metric, convert: Callable[[float], float] = float, labels: tuple[str, ...] = ()
) -> BatchItem:
    return BatchItem(f"library, {name}", (metric,), name, partial(_answer, metric, convert, labels))


LIBRARY_ITEMS: tuple[BatchItem, ...] = (
    _item("utilization_percent", catalog.UTILIZATION, ratio_from_percent),
    _item("vram_used_bytes", catalog.MEMORY_USAGE),
    _item("vram_total_bytes", catalog.MEMORY_LIMIT),
    _item("gtt_used_bytes", catalog.HOST_MEMORY_USAGE),
    BatchItem(f"library, {_AVERAGE}", (catalog.POWER,), _AVERAGE, _power),
    _item("power_cap_microwatts", catalog.POWER_LIMIT, watts_from_microwatts),
    BatchItem("library, energy_count", (catalog.ENERGY,), _ENERGY, _energy),
    _item("pcie_replays", catalog.PCIE_REPLAYS),
    *(
        _item(f"{sensor}_millidegrees", catalog.TEMPERATURE, celsius_from_millicelsius, (label,))
        for sensor, label in _SENSORS.items()
    ),
)
# Read after the readings that they replace, so that they are in the first reading.
LIBRARY_FALLBACKS: tuple[BatchItem, ...] = (
    BatchItem(f"library, {_CURRENT}", (catalog.POWER,), _CURRENT, _power, fallback_for=f"library, {_AVERAGE}"),
)
# Rows that are read only from the library if it is used: what it does not support is absent.
LIBRARY_ROWS: frozenset[Metric] = frozenset(row for item in LIBRARY_ITEMS for row in item.rows) | {*load.MEMORY_ROWS}


def memory_item(row: Metric) -> BatchItem:
    """The query for one of the families of the memory, see `load.memory_row`."""
    return _item("memory_activity_percent", row, ratio_from_percent)


def _without_narrow_energy(files: GpuFiles, key: Hashable, value: float | CollectorError) -> float | CollectorError:
    """The library returns the energy counter of `gpu_metrics`, also where it is narrow."""
    if key != _ENERGY or isinstance(value, CollectorError):
        return value
    try:
        narrow = files.has_narrow_energy()
    except CollectorError:
        return value
    return UnsupportedError("energy: the firmware's counter has 32 bits") if narrow else value


def library_batches(backend: Backend, memory: Metric) -> tuple[Batch, ...]:
    """All queries of the library, for each GPU.

    Args:
        backend: Reads from the library.
        memory: The family of what it reports about the memory.
    """

    def read(_: Root, files: GpuFiles, keys: Sequence[Hashable]) -> Sequence[float | CollectorError]:
        values = backend.read(files.paths.address, cast("Sequence[str]", keys))
        return [_without_narrow_energy(files, key, value) for key, value in zip(keys, values, strict=True)]

    return Batch((*LIBRARY_ITEMS, memory_item(memory)), read), Batch(LIBRARY_FALLBACKS, read)
