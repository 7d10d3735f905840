"""Writes the tables that describe themselves: `gpu_metrics` 1.9, and `xcp_metrics` 1.1 of a partition.

The attributes are those of the kernel's drivers for MI300 and MI350, in their order, with the types of their first
release. The size of the whole table, 1,150 bytes, is that of a file recorded of an MI300X by others. Attributes that
are not given are as the driver leaves them: all bits set.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.doubles.amd_metrics import Fields, Value

SIZE = 1150
_TYPES = {"B": 0, "b": 1, "H": 2, "h": 3, "I": 4, "i": 5, "Q": 6, "q": 7}
NONE, MEGAHERTZ, CELSIUS, WATTS, NANOSECONDS, TEN_NANOSECONDS = range(6)
GIGATRANSFERS, TENTHS_OF_GIGATRANSFERS, GIGABYTES_PER_SECOND, KILOBYTES, PERCENT = range(6, 11)


class Attribute(NamedTuple):
    """One attribute.

    Attributes:
        name: Its field in the other versions of the double.
        key: Its id.
        unit: Its unit.
        kind: Its type, as a format of `struct`.
        instances: Number of its values.
    """

    name: str
    key: int
    unit: int
    kind: str
    instances: int = 1

    def bytes_of(self, value: "Value | None") -> bytes:
        """Its code and its values; unfilled ones if there are fewer."""
        code = self.unit << 24 | _TYPES[self.kind] << 20 | self.key << 10 | self.instances
        size = struct.calcsize(f"<{self.kind}")
        given = [] if value is None else [value] if isinstance(value, int) else list(value)
        assert len(given) <= self.instances, self.name
        values = struct.pack(f"<{len(given)}{self.kind}", *given)
        return struct.pack("<Q", code) + values.ljust(size * self.instances, b"\xff")


_PARTITION = (
    Attribute("gfxclk", 33, MEGAHERTZ, "H", 8),
    Attribute("socclk", 34, MEGAHERTZ, "H", 4),
    Attribute("vclk", 35, MEGAHERTZ, "H", 4),
    Attribute("dclk", 36, MEGAHERTZ, "H", 4),
    Attribute("uclk", 37, MEGAHERTZ, "H"),
)
_ENGINES = (
    Attribute("gfx_dies", 40, PERCENT, "I", 8),
    Attribute("jpeg", 41, PERCENT, "H", 40),
    Attribute("vcn", 42, PERCENT, "H", 4),
    Attribute("gfx_dies_acc", 43, PERCENT, "Q", 8),
    *(Attribute(f"below_limit_{key}", key, NONE, "Q", 8) for key in range(44, 48)),
)
GPU: tuple[Attribute, ...] = (
    Attribute("hotspot", 0, CELSIUS, "H"),
    Attribute("memory", 1, CELSIUS, "H"),
    Attribute("vrsoc", 2, CELSIUS, "H"),
    Attribute("power", 3, WATTS, "H"),
    Attribute("gfx", 4, PERCENT, "H"),
    Attribute("umc", 5, PERCENT, "H"),
    Attribute("max_bandwidth", 6, GIGABYTES_PER_SECOND, "Q"),
    Attribute("energy", 7, NONE, "Q"),
    Attribute("clock", 8, NANOSECONDS, "Q"),
    Attribute("cycles", 9, NONE, "I"),
    Attribute("prochot", 10, NONE, "I"),
    Attribute("ppt", 11, NONE, "I"),
    Attribute("socket_thm", 12, NONE, "I"),
    Attribute("vr_thm", 13, NONE, "I"),
    Attribute("hbm_thm", 14, NONE, "I"),
    Attribute("gfxclk_lock", 15, NONE, "I"),
    Attribute("pcie_width", 16, NONE, "H"),
    Attribute("pcie_speed", 17, TENTHS_OF_GIGATRANSFERS, "H"),
    Attribute("xgmi_width", 18, NONE, "H"),
    Attribute("xgmi_speed", 19, GIGATRANSFERS, "H"),
    Attribute("gfx_acc", 20, PERCENT, "I"),
    Attribute("umc_acc", 21, PERCENT, "I"),
    Attribute("pcie_acc", 22, PERCENT, "Q"),
    Attribute("pcie_now", 23, GIGABYTES_PER_SECOND, "Q"),
    Attribute("recoveries", 24, NONE, "Q"),
    Attribute("replays", 25, NONE, "Q"),
    Attribute("replay_rollovers", 26, NONE, "Q"),
    Attribute("naks_sent", 27, NONE, "I"),
    Attribute("naks_received", 28, NONE, "I"),
    Attribute("xgmi_read", 29, KILOBYTES, "Q", 8),
    Attribute("xgmi_written", 30, KILOBYTES, "Q", 8),
    Attribute("xgmi_status", 31, NONE, "H", 8),
    Attribute("firmware_time", 32, TEN_NANOSECONDS, "Q"),
    *_PARTITION,
    Attribute("other_end_recoveries", 39, NONE, "I"),
    *_ENGINES,
)
PARTITION: tuple[Attribute, ...] = (*_PARTITION, *_ENGINES)


def described(version: tuple[int, int], attributes: Iterable[Attribute], fields: Fields) -> bytes:
    """The bytes of a table.

    Args:
        version: The version of the format.
        attributes: Its attributes.
        fields: The filled ones; for several values the first ones are enough.
    """
    written = [attribute.bytes_of(fields.get(attribute.name)) for attribute in attributes]
    assert fields.keys() <= {attribute.name for attribute in attributes}
    return assembled(version, written)


def assembled(version: tuple[int, int], written: list[bytes]) -> bytes:
    """A table of attributes that are bytes already."""
    body = b"".join(written)
    return struct.pack("<HBBi", 8 + len(body), *version, len(written)) + body


def gpu_table(fields: Fields, kinds: Mapping[str, str] | None = None) -> bytes:
    """A table `gpu_metrics` 1.9.

    Args:
        fields: The filled attributes.
        kinds: Other types of attributes.
    """
    other = kinds or {}
    return described((1, 9), [each._replace(kind=other.get(each.name, each.kind)) for each in GPU], fields)


def partition_table(fields: Fields) -> bytes:
    """A table `xcp_metrics` 1.1."""
    return described((1, 1), PARTITION, fields)
