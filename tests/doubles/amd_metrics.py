"""Writes tables `gpu_metrics` by offsets, which were computed independently of the collector's layouts.

Sizes and most offsets are those of an independent table of the format; sizes of 1.3 and 3.0 match files recorded of
real cards by others. Fields that are not given are as the driver leaves them: all bits set.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Version: TypeAlias = tuple[int, int]
Value: TypeAlias = "int | Sequence[int]"
Fields: TypeAlias = Mapping[str, Value]

# A field: its offset, its width as a format of `struct`, its number of elements.
_Place: TypeAlias = tuple[int, str, int]


def _in_a_row(offset: int, width: str, *names: str) -> dict[str, _Place]:
    size = struct.calcsize(f"<{width}")
    return {name: (offset + size * place, width, 1) for place, name in enumerate(names)}


_CARD = {
    **_in_a_row(4, "H", "edge", "hotspot", "memory", "vrgfx", "vrsoc", "vrmem", "gfx", "umc", "mm", "power"),
    **_in_a_row(24, "Q", "energy", "clock"),
    "throttle": (68, "I", 1),
    **_in_a_row(72, "H", "fan", "pcie_width", "pcie_speed"),
    **_in_a_row(80, "I", "gfx_acc", "umc_acc"),
    "hbm": (88, "H", 4),
}
_SOCKET = _in_a_row(4, "H", "hotspot", "memory", "vrsoc", "power", "gfx", "umc")
_CAUSES = ("prochot", "ppt", "socket_thm", "vr_thm", "hbm_thm")
_WIDTHS = ("pcie_width", "pcie_speed", "xgmi_width", "xgmi_speed")
_APU = {
    **_in_a_row(4, "H", "gfx_temperature", "soc_temperature"),
    **_in_a_row(28, "H", "gfx", "mm"),
    "clock": (32, "Q", 1),
    **_in_a_row(40, "H", "power", "cpu_power", "soc_power", "gfx_power"),
    "throttle": (108, "I", 1),
}
_LATER = {
    **_SOCKET,
    **_in_a_row(24, "Q", "energy", "clock"),
    **_in_a_row(40, "I", "cycles", *_CAUSES),
    **_in_a_row(68, "H", *_WIDTHS),
    "replays": (112, "Q", 1),
    "xgmi_read": (136, "Q", 8),
    "xgmi_written": (200, "Q", 8),
    "xgmi_status": (264, "H", 8),
    "partitions": (338, "H", 1),
}

SIZES: Mapping[Version, int] = {
    (1, 0): 80,
    (1, 1): 96,
    (1, 2): 104,
    (1, 3): 120,
    (1, 4): 288,
    (1, 5): 360,
    (1, 6): 1664,
    (1, 7): 2208,
    (1, 8): 3872,
    (2, 0): 120,
    (2, 1): 120,
    (2, 2): 128,
    (2, 3): 152,
    (2, 4): 168,
    (3, 0): 264,
}
PLACES: Mapping[Version, Mapping[str, _Place]] = {
    (1, 0): {
        "clock": (8, "Q", 1),
        **_in_a_row(16, "H", "edge", "hotspot", "memory", "vrgfx", "vrsoc", "vrmem", "gfx", "umc", "mm", "power"),
        "energy": (36, "I", 1),
    },
    (1, 1): _CARD,
    (1, 2): _CARD,
    (1, 3): {**_CARD, "throttle_bits": (112, "Q", 1)},
    (1, 4): {
        **_SOCKET,
        "vcn": (16, "H", 4),
        **_in_a_row(24, "Q", "energy", "clock"),
        "throttle": (40, "I", 1),
        **_in_a_row(48, "H", *_WIDTHS),
        "replays": (88, "Q", 1),
        "xgmi_read": (104, "Q", 8),
        "xgmi_written": (168, "Q", 8),
    },
    (1, 5): {
        **_SOCKET,
        "vcn": (16, "H", 4),
        "jpeg": (24, "H", 32),
        **_in_a_row(88, "Q", "energy", "clock"),
        "throttle": (104, "I", 1),
        **_in_a_row(112, "H", *_WIDTHS),
        "replays": (152, "Q", 1),
        "xgmi_read": (176, "Q", 8),
        "xgmi_written": (240, "Q", 8),
    },
    (1, 6): {
        **_SOCKET,
        **_in_a_row(16, "Q", "energy", "clock"),
        **_in_a_row(32, "I", "cycles", *_CAUSES),
        **_in_a_row(60, "H", *_WIDTHS),
        "replays": (104, "Q", 1),
        "xgmi_read": (128, "Q", 8),
        "xgmi_written": (192, "Q", 8),
        "partitions": (306, "H", 1),
    },
    (1, 7): _LATER,
    (1, 8): _LATER,
    (2, 0): {"clock": (8, "Q", 1), **_in_a_row(40, "H", "gfx", "mm", "power")},
    (2, 1): _APU,
    (2, 2): {**_APU, "throttle_bits": (120, "Q", 1)},
    (2, 3): {**_APU, "throttle_bits": (120, "Q", 1)},
    (2, 4): {**_APU, "throttle_bits": (120, "Q", 1)},
    (3, 0): {
        **_in_a_row(4, "H", "gfx_temperature", "soc_temperature"),
        **_in_a_row(42, "H", "gfx", "vcn"),
        "clock": (104, "Q", 1),
        "power": (112, "I", 1),
    },
}
# Partitions: the offset of the first one, and the size of each.
_PARTITIONS: Mapping[Version, tuple[int, int]] = {(1, 6): (312, 168), (1, 7): (344, 232), (1, 8): (344, 440)}
_MOST_PARTITIONS = 8
_PARTITION = {"gfx": (0, "I", 8), "jpeg": (32, "H", 32), "vcn": (96, "H", 4)}
_LARGER_PARTITION = {"gfx": (0, "I", 8), "jpeg": (32, "H", 40), "vcn": (112, "H", 4)}


def table(version: Version, fields: Fields, partitions: Sequence[Fields] = ()) -> bytes:
    """The bytes of a table.

    Args:
        version: The version of the format.
        fields: The filled fields; for an array field the first elements are enough.
        partitions: The filled fields of each partition; their number is one of the fields.
    """
    size = SIZES[version]
    blob = bytearray(b"\xff" * size)
    struct.pack_into("<HBB", blob, 0, size, *version)
    for name, value in fields.items():
        _write(blob, 0, PLACES[version][name], value)
    places = _LARGER_PARTITION if version == (1, 8) else _PARTITION
    for number, partition in enumerate(partitions):
        start, length = _PARTITIONS[version]
        for name, value in partition.items():
            _write(blob, start + number * length, places[name], value)
    return bytes(blob)


def _write(blob: bytearray, base: int, place: _Place, value: Value) -> None:
    offset, width, count = place
    values = [value] if isinstance(value, int) else list(value)
    assert len(values) <= count
    struct.pack_into(f"<{len(values)}{width}", blob, base + offset, *values)
