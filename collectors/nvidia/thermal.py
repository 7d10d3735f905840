"""Temperatures, temperature limits, fans, and the current reasons for throttling.

Up to Ampere the limits are absolute. From Ada on there are no absolute limits: the driver reports the margin, which is
the degrees left until the device slows down, and the earlier calls return an error or 0. Fields 193 to 196 are the
positions of slowdown, shutdown and the memory's maximum on the scale of that margin. They are neither limits nor
margins, so they are not exported.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

from collectors import catalog
from collectors.contract import UnsupportedError
from collectors.nvidia import field_values
from collectors.nvidia.errors import InvalidValueError, NoDataError
from collectors.nvidia.field_values import Field
from collectors.nvidia.nvml import Handle, Nvml, Query
from collectors.query import BatchItem, RawValue
from collectors.units import ratio_from_percent

_MEMORY_TEMPERATURE = Field(82)  # NVML_FI_DEV_MEMORY_TEMP, cards with HBM
# nvmlTemperatureThresholds_t.
_THRESHOLDS = {("core", "shutdown"): 0, ("core", "slowdown"): 1, ("memory", "maximum"): 2, ("core", "maximum"): 3}
_MAX_FANS = 16

_NO_REASONS = 0xFFFFFFFFFFFFFFFF  # not available
# nvmlClocksEventReasons. The bits for an idle device, for clocks set by a user (application clocks, sync boost, display
# clocks) and for no reason do not mean throttling.
_IDLE = 0x1
_POWER_CAP = 0x4
_HARDWARE_SLOWDOWN = 0x8
_SOFTWARE_THERMAL = 0x20
_HARDWARE_THERMAL = 0x40
_POWER_BRAKE = 0x80
_BOARD_LIMIT = 0x200  # the power or current of the board; from driver 615 on a bit of its own
# The slowdown bit is set together with the bit of its cause, hardware thermal or power brake. If it is set alone, the
# hardware does not name its reason: a fast trigger for high power or, by nvml.h, a change of the performance state. An
# idle device changes its state all the time, so there the bit alone means nothing.
_THROTTLE_REASONS = {
    "power": _POWER_CAP | _BOARD_LIMIT,
    "thermal": _SOFTWARE_THERMAL | _HARDWARE_THERMAL,
    "external": _POWER_BRAKE,
}
_CAUSES_OF_SLOWDOWN = _HARDWARE_THERMAL | _POWER_BRAKE


def _temperature(sensor: str, read: Callable[[Nvml, Handle], float], nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    yield RawValue(catalog.TEMPERATURE, read(nvml, handle), labels=(sensor,))


def _threshold(sensor: str, limit: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetTemperatureThreshold; some devices return 0 if they have no such limit."""
    celsius = nvml.call("nvmlDeviceGetTemperatureThreshold", handle, _THRESHOLDS[sensor, limit], read=int)
    if celsius == 0:
        raise NoDataError(f"nvmlDeviceGetTemperatureThreshold: no {limit} temperature of the {sensor}")
    yield RawValue(catalog.TEMPERATURE_LIMIT, celsius, labels=(sensor, limit))


def _margin(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetMarginTemperature, driver 570: signed, negative while the device slows down."""
    celsius = nvml.call("nvmlDeviceGetMarginTemperature", handle, read=int)
    yield RawValue(catalog.TEMPERATURE_MARGIN, celsius, labels=("core", "slowdown"))


def _fans(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """The target speed of each fan: nvmlDeviceGetFanSpeed_v2."""
    count = nvml.call("nvmlDeviceGetNumFans", handle, read=int)
    if count == 0:
        raise UnsupportedError("nvmlDeviceGetNumFans: the device has no fan")
    if count > _MAX_FANS:
        raise InvalidValueError(f"nvmlDeviceGetNumFans: {count}")
    for fan in range(count):
        percent = nvml.call("nvmlDeviceGetFanSpeed_v2", handle, fan, read=int)
        yield RawValue(catalog.FAN_SPEED, percent, ratio_from_percent, (str(fan),))


def _throttle_reasons(call: str, nvml: Nvml, handle: Handle) -> tuple[RawValue, ...]:
    bits = nvml.call(call, handle, read=int)
    if bits == _NO_REASONS:
        raise InvalidValueError(f"{call}: {bits:#x}")
    return _throttle_states(bits)


@lru_cache(maxsize=64)  # asked of every device in every poll; few combinations occur
def _throttle_states(bits: int) -> tuple[RawValue, ...]:
    states = {reason: bool(bits & mask) for reason, mask in _THROTTLE_REASONS.items()}
    states["hardware"] = bool(bits & _HARDWARE_SLOWDOWN) and not bits & (_CAUSES_OF_SLOWDOWN | _IDLE)
    return tuple(RawValue(catalog.THROTTLE_ACTIVE, state, labels=(reason,)) for reason, state in states.items())


THROTTLE_QUERIES: tuple[Query, ...] = (
    Query(
        "throttle reasons",  # driver 535
        (catalog.THROTTLE_ACTIVE,),
        partial(_throttle_reasons, "nvmlDeviceGetCurrentClocksEventReasons"),
    ),
    Query(
        "throttle reasons, old drivers",
        (catalog.THROTTLE_ACTIVE,),
        partial(_throttle_reasons, "nvmlDeviceGetCurrentClocksThrottleReasons"),
        fallback_for="throttle reasons",
    ),
)
QUERIES: tuple[Query, ...] = (
    Query("temperature", (catalog.TEMPERATURE,), partial(_temperature, "core", Nvml.temperature)),
    Query(
        "temperature, old drivers",
        (catalog.TEMPERATURE,),
        partial(_temperature, "core", Nvml.temperature_of_old_drivers),
        fallback_for="temperature",
    ),
    *(
        Query(f"{limit} temperature of {sensor}", (catalog.TEMPERATURE_LIMIT,), partial(_threshold, sensor, limit))
        for sensor, limit in _THRESHOLDS
    ),
    Query("temperature margin", (catalog.TEMPERATURE_MARGIN,), _margin),
    Query("fan speed", (catalog.FAN_SPEED,), _fans),
)
FIELDS: tuple[BatchItem, ...] = (
    field_values.item("memory temperature", catalog.TEMPERATURE, _MEMORY_TEMPERATURE, labels=("memory",)),
)
