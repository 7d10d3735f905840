"""Links between accelerators, and between a GPU and its CPU: NVLink, C2C, and the NVLink fabric.

All of it is unavailable while the device is in MIG mode. Bytes do not include protocol overhead. Sums of bytes and
errors come from the driver. If links are read one by one, unsupported links are omitted; if one link is unavailable,
the reading of all links fails.
"""

from collections.abc import Iterator, Sequence
from ctypes import byref
from functools import partial

from collectors import catalog
from collectors.contract import CollectorError, UnsupportedError
from collectors.labels import FABRIC_STATE
from collectors.nvidia import field_values
from collectors.nvidia.errors import InvalidValueError, NvmlCode
from collectors.nvidia.field_values import Field, read_fields
from collectors.nvidia.nvml import Handle, Nvml, Query
from collectors.query import BatchItem, RawValue
from collectors.units import bytes_from_kibibytes, bytes_from_megabytes

_NVLINK, _C2C = "nvlink", "c2c"
_ALL_LINKS = 0xFFFFFFFF
_MAX_LINKS = 36  # NVML_NVLINK_MAX_LINKS

# By fabric: the fields for the number of links, the state of a link (1 is active) and the speed of a link in MB/s,
# assumed to be 10^6 bytes. NVLink: driver 520, C2C: GH200 and later.
_COUNT = {_NVLINK: 91, _C2C: 170}
_STATE = {_NVLINK: 165, _C2C: 171}
_SPEED = {_NVLINK: 164, _C2C: 172}
_ACTIVE = 1

# NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX and _RX: KiB, of one link or of all links.
_THROUGHPUT = {"transmit": 138, "receive": 139}
# NVML_FI_DEV_NVLINK_*_ERROR_COUNT_TOTAL, up to Hopper: the sum over all links.
_TOTALS = {"crc_flit": 38, "crc_data": 45, "replay": 52, "recovery": 59}
# NVML_FI_DEV_NVLINK_ERROR_DL_*, up to Hopper: of one link. CRC errors are not separated here.
_OF_LINK = {"replay": 161, "recovery": 162, "crc": 163}
# NVML_FI_DEV_NVLINK_COUNT_*, fifth generation, driver 560: of one link or of all links. Fields that count the same
# errors again are not used: malformed packets and buffer overruns (206, 207), which are assumed to be included in the
# receive errors (208), a total according to NVML, as in InfiniBand, where the names are from; how recoveries ended
# (213, 214); the remaining symbol errors (219). The rates of bit errors are not used because they are packed floats,
# and the errors of C2C (231 to 233) because no source states whether they are of one link or of all links.
_OF_LINK_5 = {
    "receive": 208,
    "receive_remote": 209,
    "receive_general": 210,
    "link_integrity": 211,
    "transmit_discard": 212,
    "recovery": 215,
    "symbol": 221,
}
# nvmlGpuFabricState_t.
_FABRIC_STATES = ("not_supported", "not_started", "in_progress", "completed")


def _links(fabric: str, nvml: Nvml, handle: Handle) -> range:
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
    for link, value in zip(links, read_fields(nvml, handle, [Field(field, link) for link in links]), strict=True):
        if isinstance(value, UnsupportedError):
            continue
        if isinstance(value, CollectorError):
            raise value
        found[link] = value
    if not found:
        raise UnsupportedError(f"nvmlDeviceGetFieldValues({field}): no link supports it")
    return found


def _active(fabric: str, nvml: Nvml, handle: Handle) -> tuple[Sequence[int], int]:
    """The links that are up, and the number of all links."""
    states = _of_links(nvml, handle, _STATE[fabric], _links(fabric, nvml, handle))
    return [link for link, state in states.items() if state == _ACTIVE], len(states)


def _states(fabric: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    active, count = _active(fabric, nvml, handle)
    yield RawValue(catalog.INTERCONNECT_LINKS, len(active), labels=(fabric, "up"))
    yield RawValue(catalog.INTERCONNECT_LINKS, count - len(active), labels=(fabric, "down"))


def _bandwidth(fabric: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """The total of all links that are up; 0 if none is up."""
    active, _ = _active(fabric, nvml, handle)
    speeds = _of_links(nvml, handle, _SPEED[fabric], active) if active else {}
    total = sum(speeds.values())
    yield RawValue(catalog.INTERCONNECT_BANDWIDTH_LIMIT, total, bytes_from_megabytes, (fabric,))


def _bytes_of_links(direction: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    links = _links(_NVLINK, nvml, handle)
    for link, kibibytes in _of_links(nvml, handle, _THROUGHPUT[direction], links).items():
        labels = (_NVLINK, direction, str(link))
        yield RawValue(catalog.INTERCONNECT_BYTES, kibibytes, bytes_from_kibibytes, labels)


def _errors_of_links(kind: str, field: int, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    for link, count in _of_links(nvml, handle, field, _links(_NVLINK, nvml, handle)).items():
        yield RawValue(catalog.INTERCONNECT_ERRORS, count, labels=(_NVLINK, kind, str(link)))


def _fabric(structure: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetGpuFabricInfoV: version 3 from driver 580 on, version 2 from driver 550 on, Hopper or later."""
    call = "nvmlDeviceGetGpuFabricInfoV"
    info = nvml.structure(structure)
    nvml.call(call, handle, byref(info), read=int)
    state, status = int(info.state), int(info.status)
    if state not in range(len(_FABRIC_STATES)):
        raise InvalidValueError(f"{call}: state {state}")
    if state == 0:
        raise UnsupportedError(f"{call}: the device does not belong to a fabric")
    reported = (
        "failed" if _FABRIC_STATES[state] == "completed" and status != NvmlCode.SUCCESS else _FABRIC_STATES[state]
    )
    for value in FABRIC_STATE.values:
        yield RawValue(catalog.FABRIC_STATUS, value == reported, labels=(_NVLINK, value))


_ERRORS = (catalog.INTERCONNECT_ERRORS,)


def _item_of_all_links(name: str, kind: str, field: Field, fallback_for: str = "") -> BatchItem:
    labels = (_NVLINK, kind, "")
    return field_values.item(name, catalog.INTERCONNECT_ERRORS, field, labels=labels, fallback_for=fallback_for)


_FABRIC_ROWS = (catalog.FABRIC_STATUS,)
_ALWAYS: tuple[Query, ...] = (
    *(Query(f"{fabric} links", (catalog.INTERCONNECT_LINKS,), partial(_states, fabric)) for fabric in _COUNT),
    *(
        Query(f"{fabric} bandwidth", (catalog.INTERCONNECT_BANDWIDTH_LIMIT,), partial(_bandwidth, fabric))
        for fabric in _COUNT
    ),
    Query("fabric", _FABRIC_ROWS, partial(_fabric, "c_nvmlGpuFabricInfo_v3_t")),
    Query("fabric, second version", _FABRIC_ROWS, partial(_fabric, "c_nvmlGpuFabricInfo_v2_t"), fallback_for="fabric"),
)
# Sums over all links.
QUERIES: tuple[Query, ...] = _ALWAYS
FIELDS: tuple[BatchItem, ...] = (
    *(
        field_values.item(
            f"nvlink bytes, {direction}",
            catalog.INTERCONNECT_BYTES,
            Field(field, _ALL_LINKS),
            bytes_from_kibibytes,
            (_NVLINK, direction, ""),
        )
        for direction, field in _THROUGHPUT.items()
    ),
    *(_item_of_all_links(f"nvlink {kind} errors", kind, Field(field)) for kind, field in _TOTALS.items()),
)
# For the fifth generation. In a separate batch after the batch of the fields that they replace, so that the first
# reading already contains them.
FALLBACK_FIELDS: tuple[BatchItem, ...] = tuple(
    _item_of_all_links(
        f"nvlink {kind} errors, generation 5", kind, Field(field, _ALL_LINKS), fallback_for="nvlink crc_flit errors"
    )
    for kind, field in _OF_LINK_5.items()
)
# Each link separately, instead of the sums.
QUERIES_OF_EACH_LINK: tuple[Query, ...] = (
    *_ALWAYS,
    *(
        Query(f"nvlink bytes of links, {direction}", (catalog.INTERCONNECT_BYTES,), partial(_bytes_of_links, direction))
        for direction in _THROUGHPUT
    ),
    *(
        Query(f"nvlink {kind} errors of links", _ERRORS, partial(_errors_of_links, kind, field))
        for kind, field in _OF_LINK.items()
    ),
    *(
        Query(
            f"nvlink {kind} errors of links, generation 5",
            _ERRORS,
            partial(_errors_of_links, kind, field),
            fallback_for="nvlink crc errors of links",
        )
        for kind, field in _OF_LINK_5.items()
    ),
)
