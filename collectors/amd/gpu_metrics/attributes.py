"""Tables that describe themselves: `gpu_metrics` 1.9, and `xcp_metrics` 1.1 of a partition.

The number of attributes follows the header. Each attribute is a 64-bit code of its unit, type, id and number of values,
and then these values; nothing is aligned. An unknown attribute is skipped by its type and number of values.

Source: the kernel's `drivers/gpu/drm/amd/include/kgd_pp_interface.h` (amdgpu_metrics_attr_id, amdgpu_metrics_attr_type,
amdgpu_metrics_attr_unit, AMDGPU_METRICS_ENC_ATTR), and in `drivers/gpu/drm/amd/pm/swsmu` `smu_cmn.h`
(DECLARE_SMU_METRICS_CLASS) and `smu13/smu_v13_0_6_ppt.h` (SMU_13_0_6_METRICS_FIELDS,
SMU_13_0_6_PARTITION_METRICS_FIELDS). The ids from 48 on are not used: kernels number them differently. The number of
partitions has the id 38, but no driver fills it in.
"""

import struct
from collections.abc import Mapping
from enum import IntEnum

from collectors.amd.gpu_metrics.model import UnknownTableError
from collectors.amd.gpu_metrics.table import Table
from collectors.query import InvalidValueError

_COUNT = struct.Struct("<i")
_CODE = struct.Struct("<Q")
_COUNT_AT = 4
_FIRST_AT = _COUNT_AT + _COUNT.size
_TYPES = "BbHhIiQq"
_SIZES = tuple(struct.calcsize(f"<{each}") for each in _TYPES)


class _Unit(IntEnum):
    """The kernel's codes of the units that are used here."""

    NONE = 0
    CELSIUS = 2
    WATTS = 3
    NANOSECONDS = 4
    GIGATRANSFERS = 6
    KILOBYTES = 9
    PERCENT = 10


# The attributes that are used, by id: the name of the same field in earlier versions, and its unit. In another unit the
# value means something else, so it is not used.
_USED: Mapping[int, tuple[str, _Unit]] = {
    0: ("temperature_hotspot", _Unit.CELSIUS),
    1: ("temperature_mem", _Unit.CELSIUS),
    3: ("curr_socket_power", _Unit.WATTS),
    4: ("average_gfx_activity", _Unit.PERCENT),
    5: ("average_umc_activity", _Unit.PERCENT),
    7: ("energy_accumulator", _Unit.NONE),
    8: ("system_clock_counter", _Unit.NANOSECONDS),
    9: ("accumulation_counter", _Unit.NONE),
    10: ("prochot_residency_acc", _Unit.NONE),
    11: ("ppt_residency_acc", _Unit.NONE),
    12: ("socket_thm_residency_acc", _Unit.NONE),
    13: ("vr_thm_residency_acc", _Unit.NONE),
    14: ("hbm_thm_residency_acc", _Unit.NONE),
    18: ("xgmi_link_width", _Unit.NONE),
    19: ("xgmi_link_speed", _Unit.GIGATRANSFERS),
    25: ("pcie_replay_count_acc", _Unit.NONE),
    29: ("xgmi_read_data_acc", _Unit.KILOBYTES),
    30: ("xgmi_write_data_acc", _Unit.KILOBYTES),
    31: ("xgmi_link_status", _Unit.NONE),
    40: ("gfx_busy_inst", _Unit.PERCENT),
    41: ("jpeg_busy", _Unit.PERCENT),
    42: ("vcn_busy", _Unit.PERCENT),
}


class AttributeTable(Table):
    """The used attributes of a table.

    Args:
        table: The whole table, with its header.
        name: What to call it in errors.

    Raises:
        UnknownTableError: A value has an unknown type, so that what follows cannot be found.
        InvalidValueError: It states more than it contains, or an attribute twice.
    """

    def __init__(self, table: bytes, name: str) -> None:
        self._values: dict[str, list[int | None]] = {}
        if len(table) < _FIRST_AT:
            raise InvalidValueError(f"{name}: {len(table)} bytes")
        (count,) = _COUNT.unpack_from(table, _COUNT_AT)
        if not 0 <= count <= (len(table) - _FIRST_AT) // _CODE.size:
            raise InvalidValueError(f"{name}: {count} attributes in {len(table)} bytes")
        position = _FIRST_AT
        for number in range(count):
            position = self._read(table, position, f"{name}, attribute {number}")

    def number(self, name: str) -> int | None:
        """An attribute with one value."""
        values = self._values.get(name, ())
        return values[0] if len(values) == 1 else None

    def numbers(self, name: str) -> list[int | None]:
        """All values of an attribute; empty if the table lacks it."""
        return self._values.get(name, [])

    def _read(self, table: bytes, position: int, name: str) -> int:
        """Read one attribute; return where the next one starts."""
        values_at = position + _CODE.size
        if values_at > len(table):
            raise InvalidValueError(f"{name}: it starts at byte {position} of {len(table)}")
        code: int = _CODE.unpack_from(table, position)[0]
        unit, kind, key, count = code >> 24 & 0xFF, code >> 20 & 0xF, code >> 10 & 0x3FF, code & 0x3FF
        if kind >= len(_TYPES):
            raise UnknownTableError(f"{name}: its type {kind} is not supported")
        end = values_at + count * _SIZES[kind]
        if end > len(table):
            raise InvalidValueError(f"{name}: {count} values end at byte {end} of {len(table)}")
        used = _USED.get(key)
        if used is not None and used[1] == unit:
            if used[0] in self._values:
                raise InvalidValueError(f"{name}: the id {key} is there twice")
            values = _values(table, values_at, kind, count)
            self._values[used[0]] = values if unit == _Unit.CELSIUS else list(map(_not_negative, values))
        return end


def _values(table: bytes, position: int, kind: int, count: int) -> list[int | None]:
    """All bits of a value are set if the driver did not fill it."""
    unfilled = -1 if _TYPES[kind].islower() else (1 << 8 * _SIZES[kind]) - 1
    read = struct.unpack_from(f"<{count}{_TYPES[kind]}", table, position)
    return [None if value == unfilled else value for value in read]


def _not_negative(value: int | None) -> int | None:
    """A count, a rate or a fraction; a driver could declare it with a sign."""
    return None if value is not None and value < 0 else value
