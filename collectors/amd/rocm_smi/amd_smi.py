"""The typed border to `libamd_smi`, which follows ROCm SMI: the same readings in the same units.

Source: `amdsmi.h`, of releases 23 to 26. Not read are the limit of the power, whose unit changed between releases, and
errors that are `deferred`.
"""

import ctypes
from collections.abc import Callable, Mapping
from ctypes import Structure, byref, c_char, c_float, c_int, c_int64, c_uint32, c_uint64, c_void_p

from collectors.amd.rocm_smi.border import Calls, LibraryError, Meaning, Place, address_of, load
from collectors.amd.rocm_smi.library import BLOCKS, SENSORS

NAMES = (
    "libamd_smi.so.26",
    "libamd_smi.so.25",
    "libamd_smi.so.24",
    "libamd_smi.so",
    "/opt/rocm/lib/libamd_smi.so",
)
_GPUS = 1 << 1  # AMDSMI_INIT_AMD_GPUS
_MOST_SOCKETS, _MOST_PROCESSORS = 64, 128
_VRAM, _GTT = 0, 2  # amdsmi_memory_type_t
_CURRENT = 0  # AMDSMI_TEMP_CURRENT
_MICRO, _MILLI = 1_000_000, 1000
_MOST_PERCENT = 100
_NONE = frozenset({0xFFFF, 0xFFFFFFFF})
# amdsmi_status_t.
_MEANINGS = {
    2: Meaning.UNSUPPORTED,  # NOT_SUPPORTED
    3: Meaning.UNSUPPORTED,  # NOT_YET_IMPLEMENTED
    10: Meaning.DENIED,  # NO_PERM
    31: Meaning.NOTHING,  # NOT_FOUND
    40: Meaning.NOTHING,  # NO_DATA
    42: Meaning.INVALID,  # UNEXPECTED_SIZE
    43: Meaning.INVALID,  # UNEXPECTED_DATA
}
# The library's structures grow from release to release; each buffer is larger than any of them.
_ROOM_BYTES = 1024
_UNTOUCHED = 0xA5
# How far the library wrote at most of amdsmi_power_info_t, and where it then has the power of now and that of a while.
_POWER_LAYOUTS: tuple[tuple[int, int | None, int | None], ...] = (
    (0, None, None),
    (20, None, 0),  # release 23
    (24, 0, 4),  # release 24
    (44, 8, 12),  # later ones
    (64, None, 0),  # release 23, with its reserve
    (68, 0, 4),  # release 24, with its reserve
    (_ROOM_BYTES, 8, 12),
)


class _EngineUsage(Structure):
    _fields_ = (("gfx", c_uint32), ("umc", c_uint32), ("mm", c_uint32), ("room", c_char * _ROOM_BYTES))


class _ErrorCount(Structure):
    _fields_ = (("corrected", c_uint64), ("uncorrected", c_uint64), ("room", c_char * _ROOM_BYTES))


class AmdSmi:
    """The open library.

    Raises:
        LibraryError: It does not initialise.
        OSError: None of its names can be loaded; the text is the loader's.
    """

    name = "libamd_smi"

    def __init__(self) -> None:
        self._call = Calls(load(NAMES), _MEANINGS)
        self._call("amdsmi_init", c_uint64(_GPUS))
        self._handles = self._processors()

    def version(self) -> str:
        """Of the library: amdsmi_get_lib_version, whose structure begins with numbers."""
        found = ctypes.create_string_buffer(_ROOM_BYTES)
        self._call("amdsmi_get_lib_version", byref(found))
        numbers = [int.from_bytes(found.raw[place : place + 4], "little") for place in (0, 4, 8)]
        return ".".join(map(str, numbers))

    def count(self) -> int:
        """How many GPUs it lists: amdsmi_get_socket_handles, amdsmi_get_processor_handles."""
        return len(self._handles)

    def place(self, device: int) -> Place:
        """Where a GPU is: amdsmi_get_gpu_device_bdf. Those at one address after the first are its partitions."""
        found = c_uint64()
        self._call("amdsmi_get_gpu_device_bdf", self._handles[device], byref(found))
        function, slot = found.value & 0x7, found.value >> 3 & 0x1F
        bus, domain = found.value >> 8 & 0xFF, found.value >> 16
        return Place(address_of(domain, bus, slot, function), 0)

    def read(self, name: str, device: int) -> float:
        """One reading, by the names of `library.READINGS`.

        Raises:
            LibraryError: It failed, or this library has no such reading.
        """
        if name not in READINGS:
            raise LibraryError(0, f"libamd_smi: {name}", Meaning.UNSUPPORTED)
        return READINGS[name](self, self._handles[device])

    def activity(self, engine: str, handle: c_void_p) -> float:
        """Percent of time: amdsmi_get_gpu_activity."""
        found, call = _EngineUsage(), "amdsmi_get_gpu_activity"
        self._call(call, handle, byref(found))
        percent: int = getattr(found, engine)
        return _told(percent, call) if percent <= _MOST_PERCENT else _refuse(percent, call)

    def memory(self, call: str, kind: int, handle: c_void_p) -> float:
        """Bytes: amdsmi_get_gpu_memory_total, amdsmi_get_gpu_memory_usage."""
        found = c_uint64()
        self._call(call, handle, c_int(kind), byref(found))
        return found.value

    def power(self, *, average: bool, handle: c_void_p) -> float:
        """Microwatts, of watts: amdsmi_get_power_info.

        Its structure changed with releases, and the library does not say how large its own is; but how far it wrote
        tells.
        """
        call = "amdsmi_get_power_info"
        found = ctypes.create_string_buffer(bytes([_UNTOUCHED]) * _ROOM_BYTES, _ROOM_BYTES)
        self._call(call, handle, byref(found))
        written = len(found.raw.rstrip(bytes([_UNTOUCHED])))
        now, mean = next((now, mean) for size, now, mean in _POWER_LAYOUTS if written <= size)
        place = mean if average else now
        if place is None:
            raise LibraryError(0, call, Meaning.UNSUPPORTED)
        return _told(int.from_bytes(found.raw[place : place + 4], "little"), call) * _MICRO

    def energy_count(self, handle: c_void_p) -> float:
        """Units of 2^-16 J since the driver was loaded: amdsmi_get_energy_count, whose resolution is rounded."""
        counter, resolution, timestamp = c_uint64(), c_float(), c_uint64()
        self._call("amdsmi_get_energy_count", handle, byref(counter), byref(resolution), byref(timestamp))
        return counter.value

    def replays(self, handle: c_void_p) -> float:
        """PCIe packets sent again: amdsmi_get_gpu_pci_replay_counter."""
        found = c_uint64()
        self._call("amdsmi_get_gpu_pci_replay_counter", handle, byref(found))
        return found.value

    def temperature(self, sensor: int, handle: c_void_p) -> float:
        """Thousandths of a degree Celsius, of degrees: amdsmi_get_temp_metric."""
        found = c_int64()
        self._call("amdsmi_get_temp_metric", handle, c_int(sensor), c_int(_CURRENT), byref(found))
        return found.value * _MILLI

    def error_count(self, block: int, kind: str, handle: c_void_p) -> float:
        """Errors of a block since the driver was loaded: amdsmi_get_gpu_ecc_count."""
        found = _ErrorCount()
        self._call("amdsmi_get_gpu_ecc_count", handle, c_uint64(block), byref(found))
        count: int = getattr(found, kind)
        return count

    def _processors(self) -> list[c_void_p]:
        sockets = (c_void_p * _MOST_SOCKETS)()
        count = c_uint32(_MOST_SOCKETS)
        self._call("amdsmi_get_socket_handles", byref(count), sockets)
        return [handle for socket in sockets[: count.value] for handle in self._of_socket(c_void_p(socket))]

    def _of_socket(self, socket: c_void_p) -> list[c_void_p]:
        found = (c_void_p * _MOST_PROCESSORS)()
        count = c_uint32(_MOST_PROCESSORS)
        self._call("amdsmi_get_processor_handles", socket, byref(count), found)
        return [c_void_p(handle) for handle in found[: count.value]]


def _told(value: int, call: str) -> int:
    """What is not the mark of a value that is none."""
    return _refuse(value, call) if value in _NONE else value


def _refuse(value: int, call: str) -> int:
    meaning = Meaning.NOTHING if value in _NONE else Meaning.INVALID
    raise LibraryError(value, call, meaning)


_Read = Callable[[AmdSmi, c_void_p], float]


def _memory(call: str, kind: int) -> _Read:
    return lambda library, handle: library.memory(call, kind, handle)


def _activity(engine: str) -> _Read:
    return lambda library, handle: library.activity(engine, handle)


def _power(*, average: bool) -> _Read:
    return lambda library, handle: library.power(average=average, handle=handle)


def _sensor(number: int) -> _Read:
    return lambda library, handle: library.temperature(number, handle)


def _errors(block: int, kind: str) -> _Read:
    return lambda library, handle: library.error_count(block, kind, handle)


# amdsmi_get_gpu_pci_throughput is not among them: it blocks for a second per GPU.
READINGS: Mapping[str, _Read] = {
    "utilization_percent": _activity("gfx"),
    "memory_activity_percent": _activity("umc"),
    "vram_total_bytes": _memory("amdsmi_get_gpu_memory_total", _VRAM),
    "vram_used_bytes": _memory("amdsmi_get_gpu_memory_usage", _VRAM),
    "gtt_used_bytes": _memory("amdsmi_get_gpu_memory_usage", _GTT),
    "power_average_microwatts": _power(average=True),
    "power_current_microwatts": _power(average=False),
    "energy_count": AmdSmi.energy_count,
    "pcie_replays": AmdSmi.replays,
    **{f"{name}_millidegrees": _sensor(number) for name, number in SENSORS.items()},
    **{f"{name}_corrected": _errors(block, "corrected") for name, block in BLOCKS.items()},
    **{f"{name}_uncorrected": _errors(block, "uncorrected") for name, block in BLOCKS.items()},
}
