"""Queries of the table `gpu_metrics`: for values that only the table has, and for files that a GPU does not have."""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from collectors import catalog
from collectors.amd import hwmon, load
from collectors.amd.gpu_files import Batch, GpuFiles
from collectors.amd.gpu_metrics.model import Metrics
from collectors.contract import CollectorError, UnsupportedError
from collectors.metric import Metric
from collectors.query import BatchItem, InvalidValueError, NoDataError, RawValue
from collectors.sysfs import Root

_STACKS = range(4)


def mean(ratios: Sequence[float | None]) -> float | None:
    """The mean of the known ratios; None if none is known.

    Raises:
        InvalidValueError: A ratio is impossible, which the mean might hide.
    """
    known = [ratio for ratio in ratios if ratio is not None]
    impossible = [ratio for ratio in known if not 0 <= ratio <= 1]
    if impossible:
        raise InvalidValueError(f"gpu_metrics: ratio {impossible[0]:g}, expected 0 to 1")
    return math.fsum(known) / len(known) if known else None


def _energy(metrics: Metrics) -> float | None:
    """The energy.

    Raises:
        UnsupportedError: There is no counter, so the power is integrated instead.
    """
    if metrics.energy_joules is None:
        raise UnsupportedError("gpu_metrics: no energy counter")
    return metrics.energy_joules


def _power(metrics: Metrics) -> float | None:
    """The power; 0 means that there is no reading.

    So on the second die of an MI250X, and with firmware of Vega 20 that has only the momentary power. Source: the
    kernel's `aldebaran_ppt.c` (aldebaran_get_gpu_metrics) and `vega20_hwmgr.c` (vega20_get_gpu_power,
    vega20_get_gpu_metrics).
    """
    return metrics.power_watts or None


def _stack(number: int, metrics: Metrics) -> float | None:
    return metrics.hbm_celsius[number] if number < len(metrics.hbm_celsius) else None


def _answer(metric: Metric, labels: tuple[str, ...], value: float) -> Iterable[RawValue]:
    return [RawValue(metric, value, labels=labels)]


def _energy_answer(value: float) -> Iterable[RawValue]:
    """A counter that stays at 0 does not count, because it rises every 15 microjoules."""
    return [RawValue(catalog.ENERGY, value, unsupported_at_zero=True)]


def _item(
    name: str, metric: Metric, extract: Callable[[Metrics], float | None], label: str = "", fallback_for: str = ""
) -> BatchItem:
    labels = (label,) if label else ()
    return BatchItem(name, (metric,), extract, partial(_answer, metric, labels), fallback_for)


def _extracted(extract: Callable[[Metrics], float | None], metrics: Metrics) -> float | CollectorError:
    try:
        value = extract(metrics)
    except CollectorError as error:
        return error
    # A missing value may exist later, because the firmware fills some fields only under load.
    return NoDataError("gpu_metrics: no value") if value is None else value


def _read(_: Root, files: GpuFiles, keys: Sequence[Hashable]) -> Sequence[float | CollectorError]:
    metrics = files.metrics()
    return [_extracted(cast("Callable[[Metrics], float | None]", extract), metrics) for extract in keys]


GPU_METRICS_BATCH = Batch(
    (
        BatchItem("energy", (catalog.ENERGY,), _energy, _energy_answer),
        _item("utilization, table", catalog.UTILIZATION, lambda it: it.gfx_ratio, fallback_for=load.UTILIZATION),
        _item("power, table", catalog.POWER, _power, fallback_for=hwmon.POWER_NOW),
        _item(
            "video engines, table",
            catalog.ENGINE_UTILIZATION,
            lambda it: mean(it.vcn_ratios),
            "video",
            fallback_for=load.VIDEO,
        ),
        _item("jpeg engines", catalog.ENGINE_UTILIZATION, lambda it: mean(it.jpeg_ratios), "jpeg"),
        _item(
            "temperature, edge, table",
            catalog.TEMPERATURE,
            lambda it: it.edge_celsius,
            "core",
            fallback_for=f"{hwmon.TEMPERATURE}, edge",
        ),
        _item(
            "temperature, hotspot, table",
            catalog.TEMPERATURE,
            lambda it: it.hotspot_celsius,
            "hotspot",
            fallback_for=f"{hwmon.TEMPERATURE}, junction",
        ),
        _item(
            "temperature, memory, table",
            catalog.TEMPERATURE,
            lambda it: it.memory_celsius,
            "memory",
            fallback_for=f"{hwmon.TEMPERATURE}, mem",
        ),
        *(
            _item(f"temperature, stack {number}", catalog.TEMPERATURE, partial(_stack, number), f"hbm{number}")
            for number in _STACKS
        ),
    ),
    _read,
)


def with_memory(row: Metric) -> Batch:
    """The batch with a query for one of the families of the memory, see `load.memory_row`."""
    item = _item("memory activity, table", row, lambda it: it.umc_ratio, fallback_for=load.MEMORY)
    return replace(GPU_METRICS_BATCH, items=(*GPU_METRICS_BATCH.items, item))
