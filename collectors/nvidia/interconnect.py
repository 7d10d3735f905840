"""Links between accelerators, and between a GPU and its CPU: the state of NVLink, C2C, and the NVLink fabric.

All of it is unavailable while the device is in MIG mode. Unsupported links are omitted; if one link is unavailable, the
reading of all links fails. A link with an impossible state is neither up nor down, and then the total bandwidth is
unknown, as it is if the speed of a link that is up is impossible.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from ctypes import byref
from functools import partial

from collectors import catalog
from collectors.contract import CollectorError, UnsupportedError
from collectors.labels import FABRIC_STATE
from collectors.nvidia.errors import InvalidValueError, NoDataError, NvmlCode
from collectors.nvidia.field_calls import fields_of_links
from collectors.nvidia.field_values import Field, read_fields
from collectors.nvidia.nvml import Handle, Nvml, Query
from collectors.query import RawValue
from collectors.units import bytes_from_megabytes

NVLINK, _C2C = "nvlink", "c2c"
_MAX_LINKS = 36  # NVML_NVLINK_MAX_LINKS

# By fabric: the fields for the number of links, the state of a link (1 is active) and the speed of a link in MB/s,
# assumed to be 10^6 bytes. NVLink: driver 520, C2C: GH200 and later.
_COUNT = {NVLINK: 91, _C2C: 170}
STATE = {NVLINK: 165, _C2C: 171}
_SPEED = {NVLINK: 164, _C2C: 172}
# NVML_NVLINK_STATE_*. A link that sleeps to save power (2) is up, and wakes for traffic. One whose traffic is disabled
# (3, driver 590 and later) is neither up nor down.
ACTIVE, _SLEEPING, _DISABLED = 1, 2, 3
_UP, _DOWN = (ACTIVE, _SLEEPING), (0,)
STATES = frozenset({*_UP, *_DOWN, _DISABLED})
# The most megabytes per second of one link: ten times those of NVLink 5, and five times those of all of C2C.
_FASTEST = {NVLINK: 500_000, _C2C: 5_000_000}

# nvmlGpuFabricState_t. In nvml.h it is an unsigned char, for which the binding reads four bytes: the other three are
# padding, whose content is undefined.
_FABRIC_STATES = ("not_supported", "not_started", "in_progress", "completed")
_STATE_MASK = 0xFF
# NVML_GPU_FABRIC_HEALTH_MASK_SHIFT_*: the positions of two bits each in `healthMask`, where 1 is true and 2 is false.
_CONDITION_SHIFTS = {"degraded_bandwidth": 0, "route_recovery": 2, "route_unhealthy": 4, "access_timeout_recovery": 6}
_CONDITION_BITS = 0x3
_CONDITIONS = {1: True, 2: False}
# Four bits: 0 where not supported, 1 for none, or one of many reasons, to which newer drivers add more.
_CONFIGURATION, _CONFIGURATION_SHIFT, _CONFIGURATION_BITS = "incorrect_configuration", 8, 0xF
_CONFIGURED = 1


def links_of(fabric: str, nvml: Nvml, handle: Handle) -> range:
    """The numbers of the device's links, active or not.

    Raises:
        UnsupportedError: The device has no such link.
    """
    [count] = read_fields(nvml, handle, [Field(_COUNT[fabric])])
    if isinstance(count, CollectorError):
        raise count
    if not 0 <= count <= _MAX_LINKS:
        raise InvalidValueError(f"nvmlDeviceGetFieldValues({_COUNT[fabric]}): {count} links")
    if count == 0:
        raise UnsupportedError(f"the device has no {fabric} link")
    return range(int(count))


def _of_links(nvml: Nvml, handle: Handle, field: int, links: Sequence[int]) -> dict[int, float]:
    """The value of a field for each link that supports it. If one link is unavailable, the error is raised."""
    found: dict[int, float] = {}
    for link, value in zip(links, read_fields(nvml, handle, fields_of_links((field,), links)), strict=True):
        if isinstance(value, UnsupportedError):
            continue
        if isinstance(value, CollectorError):
            raise value
        found[link] = value
    if not found:
        raise UnsupportedError(f"nvmlDeviceGetFieldValues({field}): no link supports it")
    return found


def _states(fabric: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue | InvalidValueError]:
    states = _of_links(nvml, handle, STATE[fabric], links_of(fabric, nvml, handle))
    wrong = _impossible(STATE[fabric], states, lambda state: state in STATES)
    if len(states) > len(wrong):
        up, down = (sum(state in group for state in states.values()) for group in (_UP, _DOWN))
        yield RawValue(catalog.INTERCONNECT_LINKS, up, labels=(fabric, "up"))
        yield RawValue(catalog.INTERCONNECT_LINKS, down, labels=(fabric, "down"))
    yield from wrong[:1]


def _impossible(
    field: int, of_links: Mapping[int, float], is_possible: Callable[[float], bool]
) -> list[InvalidValueError]:
    """An error for each link with an impossible value."""
    return [
        InvalidValueError(f"nvmlDeviceGetFieldValues({field}), link {link}: {value:g}")
        for link, value in of_links.items()
        if not is_possible(value)
    ]


def _bandwidth(fabric: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """The total of all links that are up; 0 if none is up."""
    states = _of_links(nvml, handle, STATE[fabric], links_of(fabric, nvml, handle))
    if not STATES.issuperset(states.values()):  # counted by the reading of the states
        raise NoDataError(f"{fabric}: it is unknown whether all links are up")
    active = tuple(link for link, state in states.items() if state in _UP)
    speeds = _of_links(nvml, handle, _SPEED[fabric], active) if active else {}
    for error in _impossible(_SPEED[fabric], speeds, lambda speed: 0 <= speed <= _FASTEST[fabric]):
        raise error
    total = sum(speeds.values())
    yield RawValue(catalog.INTERCONNECT_BANDWIDTH_LIMIT, total, bytes_from_megabytes, (fabric,))


def _fabric(structure: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """State and conditions of the device in its fabric, from one call.

    nvmlDeviceGetGpuFabricInfoV: version 3 from driver 580 on, version 2 from driver 550 on, Hopper or later.

    nvmlGpuFabricInfo_v3_t and _v2_t: `status` is that of the registration, and is valid if `state` is completed.
    """
    call = "nvmlDeviceGetGpuFabricInfoV"
    info = nvml.structure(structure)
    nvml.call(call, handle, byref(info), read=int)
    state, status = int(info.state) & _STATE_MASK, int(info.status)
    if state not in range(len(_FABRIC_STATES)):
        raise InvalidValueError(f"{call}: state {state}")
    if state == 0:
        raise UnsupportedError(f"{call}: the device does not belong to a fabric")
    reported = (
        "failed" if _FABRIC_STATES[state] == "completed" and status != NvmlCode.SUCCESS else _FABRIC_STATES[state]
    )
    for value in FABRIC_STATE.values:
        yield RawValue(catalog.FABRIC_STATUS, value == reported, labels=(NVLINK, value))
    for condition, holds in _conditions(int(info.healthMask)).items():
        yield RawValue(catalog.FABRIC_CONDITION, holds, labels=(NVLINK, condition))


def _conditions(mask: int) -> dict[str, bool]:
    """The conditions in a health mask, without those that the driver does not support.

    NVML_GPU_FABRIC_HEALTH_MASK_* in nvml.h; the configuration is part of the mask from version 3 of the structure on,
    and not supported before.
    """
    found = {name: mask >> shift & _CONDITION_BITS for name, shift in _CONDITION_SHIFTS.items()}
    conditions = {name: _CONDITIONS[bits] for name, bits in found.items() if bits in _CONDITIONS}
    configuration = mask >> _CONFIGURATION_SHIFT & _CONFIGURATION_BITS
    if configuration:
        conditions[_CONFIGURATION] = configuration != _CONFIGURED
    return conditions


_FABRIC_ROWS = (catalog.FABRIC_STATUS, catalog.FABRIC_CONDITION)
QUERIES: tuple[Query, ...] = (
    *(Query(f"{fabric} links", (catalog.INTERCONNECT_LINKS,), partial(_states, fabric)) for fabric in _COUNT),
    *(
        Query(f"{fabric} bandwidth", (catalog.INTERCONNECT_BANDWIDTH_LIMIT,), partial(_bandwidth, fabric))
        for fabric in _COUNT
    ),
    Query("fabric", _FABRIC_ROWS, partial(_fabric, "c_nvmlGpuFabricInfo_v3_t")),
    Query("fabric, second version", _FABRIC_ROWS, partial(_fabric, "c_nvmlGpuFabricInfo_v2_t"), fallback_for="fabric"),
)
