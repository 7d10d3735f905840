"""The readings: which NVML call feeds which catalogue rows, and how an answer becomes samples in base units."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from collectors import catalog
from collectors.contract import UnsupportedError
from collectors.metric import Metric
from collectors.nvidia import field_values
from collectors.nvidia.field_values import Field
from collectors.nvidia.nvml import ClockType, Handle, Memory, Nvml
from collectors.nvidia.query import Answer, Query, Questions
from collectors.units import (
    hertz_from_megahertz,
    joules_from_millijoules,
    ratio_from_percent,
    watts_from_milliwatts,
)


def _utilization(nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    rates = nvml.utilization(handle)
    yield Answer(catalog.UTILIZATION, rates.gpu, ratio_from_percent)
    yield Answer(catalog.MEMORY_BANDWIDTH, rates.memory, ratio_from_percent)


def _memory(ask: Callable[[Nvml, Handle], Memory], nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    memory = ask(nvml, handle)
    yield Answer(catalog.MEMORY_USAGE, memory.used)
    yield Answer(catalog.MEMORY_LIMIT, memory.total)
    if memory.reserved is not None:
        yield Answer(catalog.MEMORY_RESERVED, memory.reserved)


def _milliwatts(metric: Metric, ask: Callable[[Nvml, Handle], int], nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    yield Answer(metric, ask(nvml, handle), watts_from_milliwatts)


def _energy(nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    yield Answer(catalog.ENERGY, nvml.energy(handle), joules_from_millijoules)


def _power_range(nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    limits = nvml.power_range(handle)
    yield Answer(catalog.POWER_MIN_LIMIT, limits.lowest, watts_from_milliwatts)
    yield Answer(catalog.POWER_MAX_LIMIT, limits.highest, watts_from_milliwatts)


def _temperature(sensor: str, ask: Callable[[Nvml, Handle], float], nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    yield Answer(catalog.TEMPERATURE, ask(nvml, handle), labels=(sensor,))


def _clock(domain: str, clock: ClockType, nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    yield Answer(catalog.CLOCK, nvml.clock(handle, clock), hertz_from_megahertz, (domain,))


def _max_clock(domain: str, clock: ClockType, nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    yield Answer(catalog.MAX_CLOCK, nvml.max_clock(handle, clock), hertz_from_megahertz, (domain,))


def _processes(nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    """Distinct processes: one with a compute and a graphics context is in both lists."""
    pids = nvml.compute_pids(handle)
    for ask in (nvml.graphics_pids, nvml.mps_pids):
        with suppress(UnsupportedError):  # data centre cards do without graphics, old drivers without MPS
            pids |= ask(handle)
    yield Answer(catalog.PROCESSES, len(pids))


def _mode(mode: str, ask: Callable[[Nvml, Handle], bool], nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    yield Answer(catalog.MODE_STATE, ask(nvml, handle), labels=(mode,))


_CLOCKS = {
    "core": ClockType.GRAPHICS,
    "sm": ClockType.SM,
    "memory": ClockType.MEMORY,
    "video": ClockType.VIDEO,
}
_MEMORY_TEMPERATURE = Field(82)  # NVML_FI_DEV_MEMORY_TEMP, cards with HBM
_MEMORY_ROWS = (catalog.MEMORY_USAGE, catalog.MEMORY_LIMIT, catalog.MEMORY_RESERVED)

MEMORY_QUERIES: tuple[Query, ...] = (
    Query("memory", _MEMORY_ROWS, partial(_memory, Nvml.memory)),
    # Usage then includes what the driver reserves, some hundred MiB that the older call does not tell apart.
    Query(
        "memory, first version",
        (catalog.MEMORY_USAGE, catalog.MEMORY_LIMIT),
        partial(_memory, Nvml.memory_with_reserved_as_used),
        instead_of="memory",
    ),
)
PROCESS_QUERY = Query("processes", (catalog.PROCESSES,), _processes)

DEVICE_QUERIES: Questions = (
    Query("utilization", (catalog.UTILIZATION, catalog.MEMORY_BANDWIDTH), _utilization),
    *MEMORY_QUERIES,
    Query("power", (catalog.POWER,), partial(_milliwatts, catalog.POWER, Nvml.power)),
    Query("energy", (catalog.ENERGY,), _energy),
    Query("power limit", (catalog.POWER_LIMIT,), partial(_milliwatts, catalog.POWER_LIMIT, Nvml.power_limit)),
    Query(
        "default power limit",
        (catalog.POWER_DEFAULT_LIMIT,),
        partial(_milliwatts, catalog.POWER_DEFAULT_LIMIT, Nvml.power_default_limit),
    ),
    Query("power range", (catalog.POWER_MIN_LIMIT, catalog.POWER_MAX_LIMIT), _power_range),
    Query("temperature", (catalog.TEMPERATURE,), partial(_temperature, "core", Nvml.temperature)),
    Query(
        "temperature, old drivers",
        (catalog.TEMPERATURE,),
        partial(_temperature, "core", Nvml.temperature_of_old_drivers),
        instead_of="temperature",
    ),
    *(Query(f"{domain} clock", (catalog.CLOCK,), partial(_clock, domain, clock)) for domain, clock in _CLOCKS.items()),
    *(
        Query(f"highest {domain} clock", (catalog.MAX_CLOCK,), partial(_max_clock, domain, clock))
        for domain, clock in _CLOCKS.items()
    ),
    PROCESS_QUERY,
    Query("partitioning mode", (catalog.MODE_STATE,), partial(_mode, "partitioning", Nvml.mig_mode)),
    Query("persistence mode", (catalog.MODE_STATE,), partial(_mode, "persistence", Nvml.persistence_mode)),
    Query("ecc mode", (catalog.MODE_STATE,), partial(_mode, "ecc", Nvml.ecc_mode)),
    field_values.batch(
        field_values.part("memory temperature", catalog.TEMPERATURE, _MEMORY_TEMPERATURE, labels=("memory",)),
    ),
)
