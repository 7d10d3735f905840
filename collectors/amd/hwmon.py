"""Sensors of a GPU by the kernel's hwmon interface: power and its limits, temperatures, clocks, fan.

Source: the kernel's `Documentation/gpu/amdgpu/thermal.rst` and `drivers/gpu/drm/amd/pm/amdgpu_pm.c`; of the two dies
of an MI250X, `drivers/gpu/drm/amd/pm/swsmu/smu13/aldebaran_ppt.c` (aldebaran_is_primary).
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from collectors import catalog
from collectors.amd.gpu_files import GpuFiles, Query
from collectors.contract import UnsupportedError
from collectors.metric import Metric
from collectors.query import InvalidValueError, NoDataError, RawValue
from collectors.sysfs import Root
from collectors.units import celsius_from_millicelsius, watts_from_microwatts

# The die's own sensors: at its edge, at its hottest point, in its memory.
_SENSORS = {"edge": "core", "junction": "hotspot", "mem": "memory"}
# The firmware slows the GPU down at crit and switches it off at emergency.
_LIMITS = {"crit": "slowdown", "emergency": "shutdown"}
_CLOCKS = {"sclk": "core", "mclk": "memory"}
_FULL_SPEED = 255


def _folder(files: GpuFiles) -> Path:
    if files.paths.hwmon is None:
        raise UnsupportedError("no hwmon folder of amdgpu")
    return files.paths.hwmon


def _sensor(files: GpuFiles, kind: str, label: str, suffix: str) -> int:
    folder = _folder(files)
    stem = files.paths.sensors.get(f"{kind} {label}")
    if stem is None:
        raise UnsupportedError(f"hwmon: no {kind} sensor labelled {label}")
    return files.kept.read_number(folder, f"{stem}_{suffix}")


def _microwatts(files: GpuFiles, name: str) -> int:
    microwatts = files.kept.read_number(_folder(files), name)
    if microwatts == 0:
        raise NoDataError(f"{name}: 0")
    return microwatts


def _power(name: str, metric: Metric, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    """Microwatts. The second die of an MI250X reports 0, because the first die reports the power of the package."""
    yield RawValue(metric, _microwatts(files, name), watts_from_microwatts)


def _range(name: str, metric: Metric, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    """One end of the range of power limits; the lower end may be 0.

    The second die of an MI250X has the range of the package, but no limit can be set there; its own limit is 0.
    """
    _microwatts(files, "power1_cap")
    yield RawValue(metric, files.kept.read_number(_folder(files), name), watts_from_microwatts)


def _temperature(label: str, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    millicelsius = _sensor(files, "temp", label, "input")
    yield RawValue(catalog.TEMPERATURE, millicelsius, celsius_from_millicelsius, (_SENSORS[label],))


def _threshold(label: str, limit: str, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    """The driver reports 0 if it has no such limit."""
    millicelsius = _sensor(files, "temp", label, limit)
    if millicelsius == 0:
        raise NoDataError(f"{limit} temperature of {label}: 0")
    yield RawValue(
        catalog.TEMPERATURE_LIMIT, millicelsius, celsius_from_millicelsius, (_SENSORS[label], _LIMITS[limit])
    )


def _clock(label: str, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    """Hertz. For a GPU with several compute dies it is the clock of the first one."""
    yield RawValue(catalog.CLOCK, _sensor(files, "freq", label, "input"), labels=(_CLOCKS[label],))


def _fan(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    """fan1_input divided by fan1_max: current revolutions per minute divided by the nominal maximum."""
    maximum = files.kept.read_number(_folder(files), "fan1_max")
    if maximum <= 0:
        raise InvalidValueError(f"fan1_max: {maximum}")
    yield RawValue(catalog.FAN_SPEED, files.kept.read_number(_folder(files), "fan1_input") / maximum, labels=("0",))


def _fan_duty(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    """pwm1: 0 to 255."""
    yield RawValue(catalog.FAN_SPEED, files.kept.read_number(_folder(files), "pwm1") / _FULL_SPEED, labels=("0",))


POWER = "power, average"
POWER_NOW = "power, now"
TEMPERATURE = "temperature"

QUERIES: tuple[Query, ...] = (
    # A GPU has the first or the second; an APU may have both.
    Query(POWER, (catalog.POWER,), partial(_power, "power1_average", catalog.POWER)),
    Query(POWER_NOW, (catalog.POWER,), partial(_power, "power1_input", catalog.POWER), fallback_for=POWER),
    Query("power limit", (catalog.POWER_LIMIT,), partial(_power, "power1_cap", catalog.POWER_LIMIT)),
    Query(
        "default power limit",
        (catalog.POWER_DEFAULT_LIMIT,),
        partial(_power, "power1_cap_default", catalog.POWER_DEFAULT_LIMIT),
    ),
    Query("lowest power limit", (catalog.POWER_MIN_LIMIT,), partial(_range, "power1_cap_min", catalog.POWER_MIN_LIMIT)),
    Query(
        "highest power limit", (catalog.POWER_MAX_LIMIT,), partial(_range, "power1_cap_max", catalog.POWER_MAX_LIMIT)
    ),
    *(Query(f"{TEMPERATURE}, {label}", (catalog.TEMPERATURE,), partial(_temperature, label)) for label in _SENSORS),
    *(
        Query(f"{limit} temperature, {label}", (catalog.TEMPERATURE_LIMIT,), partial(_threshold, label, limit))
        for label in _SENSORS
        for limit in _LIMITS
    ),
    *(Query(f"clock, {label}", (catalog.CLOCK,), partial(_clock, label)) for label in _CLOCKS),
    Query("fan speed", (catalog.FAN_SPEED,), _fan),
    Query("fan duty", (catalog.FAN_SPEED,), _fan_duty, fallback_for="fan speed"),
)
