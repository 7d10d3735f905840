"""The typed binding of `libamd_smi`, the successor of `librocm_smi64`: the same readings in the same units.

Runs in the child process only; only `LibraryError` is raised here, and the library itself may abort. It returns whole
degrees and watts, which are multiplied, so that a name means the same with both libraries.

Source: `amdsmi.h` and the wrappers of the releases 24.6 (ROCm 6.2) to 26 (ROCm 7); it is assumed that 27 is the same.
Before 24.6 it returned power limits in watts.
"""

import ctypes
from collections.abc import Callable, Mapping
from ctypes import byref, c_char_p, c_float, c_int64, c_uint32, c_uint64, c_void_p
from typing import NamedTuple

from collectors.amd.rocm_smi.binding import SUCCESS, Calls, LibraryError, Meaning, PciLocation, load, location_of
from collectors.amd.rocm_smi.librocm_smi import BLOCKS, SENSORS

NAMES = (
    "libamd_smi.so.27",
    "libamd_smi.so.26",
    "libamd_smi.so.25",
    "libamd_smi.so.24",
    "libamd_smi.so",
    "/opt/rocm/lib/libamd_smi.so",
)
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


class _AmdSmiVersion(ctypes.Structure):
    # Year, major, minor and release up to 25; major, minor, release and padding from 26 on. Both are followed by text.
    _fields_ = (("numbers", c_uint32 * 4), ("text", c_char_p))


class _Power(NamedTuple):
    """The positions of the values in amdsmi_power_info_t, in numbers of 32 bits."""

    current: int
    average: int


_GPUS = 2  # AMDSMI_INIT_AMD_GPUS
_MAX_HANDLES = 1024  # of one kind; a larger number is regarded as an error
_OLDEST = (24, 6)
# By the first number of the version: from 25 on, 64 bits precede. For other releases the position is unknown.
_POWER: Mapping[int, _Power] = {24: _Power(0, 1), 25: _Power(2, 3), 26: _Power(2, 3), 27: _Power(2, 3)}
_GFX, _MEMORY = 0, 1  # of amdsmi_engine_usage_t
_NONE = (0xFFFF, 0xFFFFFFFF)  # "no value" in a number of 32 bits; the shorter one is from the driver's table
_MAX_PERCENT = 100
_CURRENT = 0  # AMDSMI_TEMP_CURRENT
_VRAM, _GTT = 0, 2  # amdsmi_memory_type_t
_CORRECTED, _UNCORRECTED = 0, 1  # of amdsmi_error_count_t
_RECORD_BYTES = 1024  # several times the longest record of any release
_MILLI, _MICRO = 1000, 1_000_000


class AmdSmi:
    """The open library.

    Raises:
        LibraryError: It does not initialise, or is so old that its units are unknown.
        OSError: None of its names can be loaded; the text is the loader's error.
    """

    name = "libamd_smi"

    def __init__(self) -> None:
        self._call = Calls(load(NAMES), _MEANINGS)
        self._call("amdsmi_init", c_uint64(_GPUS))
        self._version, self._release = self._versions()
        self._devices = self._handles()

    def version(self) -> str:
        """The version of the library: amdsmi_get_lib_version."""
        return self._version

    def count(self) -> int:
        """Number of monitored devices: amdsmi_get_socket_handles, amdsmi_get_processor_handles."""
        return len(self._devices)

    def location(self, device: int) -> PciLocation:
        """Where a device is: amdsmi_get_gpu_bdf_id. amdsmi_get_gpu_device_bdf returns nonsense without /dev/dri."""
        return location_of(self.uint64("amdsmi_get_gpu_bdf_id", device))

    def read(self, name: str, device: int) -> float:
        """One reading, a key of `READINGS`."""
        return READINGS[name](self, device)

    def uint64(self, call: str, device: int, *arguments: c_uint32) -> int:
        """Call a function that returns a number of 64 bits."""
        found = c_uint64()
        self._call(call, self._handle(device), *arguments, byref(found))
        return found.value

    def activity(self, device: int, index: int) -> float:
        """Percent of time that an engine was busy: amdsmi_get_gpu_activity."""
        call = "amdsmi_get_gpu_activity"
        percent = self._number(call, device, index, Meaning.NOTHING)
        if percent > _MAX_PERCENT:
            raise LibraryError(SUCCESS, f"{call}: {percent} %", Meaning.INVALID)
        return percent

    def current_power(self, device: int) -> float:
        """Current microwatts, for MI300 and later: amdsmi_get_power_info."""
        return self._power_of(device, self._power().current)

    def average_power(self, device: int) -> float:
        """Average microwatts, for the cards before MI300: amdsmi_get_power_info."""
        return self._power_of(device, self._power().average)

    def power_cap(self, device: int) -> float:
        """Power limit of the card in microwatts: amdsmi_get_power_cap_info."""
        record = (c_uint64 * (_RECORD_BYTES // 8))()
        self._call("amdsmi_get_power_cap_info", self._handle(device), c_uint32(0), byref(record))
        return record[0]

    def energy_count(self, device: int) -> float:
        """Units of 2^-16 J since the driver was loaded: amdsmi_get_energy_count, whose resolution is rounded."""
        counter, resolution, timestamp = c_uint64(), c_float(), c_uint64()
        call = "amdsmi_get_energy_count"
        self._call(call, self._handle(device), byref(counter), byref(resolution), byref(timestamp))
        return counter.value

    def temperature(self, device: int, sensor: int) -> float:
        """Current temperature in thousandths of a degree Celsius: amdsmi_get_temp_metric."""
        found = c_int64()
        call = "amdsmi_get_temp_metric"
        self._call(call, self._handle(device), c_uint32(sensor), c_uint32(_CURRENT), byref(found))
        return found.value * _MILLI

    def error_count(self, device: int, block: int, kind: int) -> float:
        """Memory errors of a block since the driver was loaded: amdsmi_get_gpu_ecc_count."""
        record = (c_uint64 * (_RECORD_BYTES // 8))()
        self._call("amdsmi_get_gpu_ecc_count", self._handle(device), c_uint64(block), byref(record))
        return record[kind]

    def _power_of(self, device: int, index: int) -> float:
        """A card that does not fill one of the two values never fills it, so it is unsupported."""
        return self._number("amdsmi_get_power_info", device, index, Meaning.UNSUPPORTED) * _MICRO

    def _number(self, call: str, device: int, index: int, none: Meaning) -> int:
        """A number of 32 bits in the record that a call fills."""
        record = (c_uint32 * (_RECORD_BYTES // 4))(*[0xFFFFFFFF] * (_RECORD_BYTES // 4))  # unfilled means no value
        self._call(call, self._handle(device), byref(record))
        number = record[index]
        if number in _NONE:
            raise LibraryError(SUCCESS, f"{call}: no value", none)
        return number

    def _power(self) -> _Power:
        try:
            return _POWER[self._release]
        except KeyError:
            text = f"amdsmi_get_power_info: the position of the power in {self._version} is unknown"
            raise LibraryError(SUCCESS, text, Meaning.UNSUPPORTED) from None

    def _versions(self) -> tuple[str, int]:
        """The version, and its first number."""
        found = _AmdSmiVersion()
        self._call("amdsmi_get_lib_version", byref(found))
        first, second, third, _ = found.numbers
        text = found.text.decode(errors="replace") if found.text else f"{first}.{second}.{third}"
        if (first, second) < _OLDEST:
            too_old = f"libamd_smi {text} is too old, the oldest supported version is 24.6 of ROCm 6.2"
            raise LibraryError(SUCCESS, too_old, Meaning.UNSUPPORTED)
        return text, first

    def _handles(self) -> list[int]:
        sockets = self._list("amdsmi_get_socket_handles")
        return [each for socket in sockets for each in self._list("amdsmi_get_processor_handles", c_void_p(socket))]

    def _list(self, call: str, *arguments: c_void_p) -> list[int]:
        count = c_uint32()
        self._call(call, *arguments, byref(count), None)
        if count.value > _MAX_HANDLES:
            raise LibraryError(SUCCESS, f"{call}: {count.value} handles", Meaning.INVALID)
        found = (c_void_p * count.value)()
        self._call(call, *arguments, byref(count), found)
        return [each for each in found if each]

    def _handle(self, device: int) -> c_void_p:
        return c_void_p(self._devices[device])


_Read = Callable[[AmdSmi, int], float]


def _activity(index: int) -> _Read:
    return lambda library, device: library.activity(device, index)


def _large(call: str, *arguments: int) -> _Read:
    return lambda library, device: library.uint64(call, device, *(c_uint32(each) for each in arguments))


def _sensor(number: int) -> _Read:
    return lambda library, device: library.temperature(device, number)


def _errors(block: int, kind: int) -> _Read:
    return lambda library, device: library.error_count(device, block, kind)


# amdsmi_get_gpu_pci_throughput is not used, because it blocks for a second per device.
READINGS: Mapping[str, _Read] = {
    "utilization_percent": _activity(_GFX),
    "memory_activity_percent": _activity(_MEMORY),
    "vram_total_bytes": _large("amdsmi_get_gpu_memory_total", _VRAM),
    "vram_used_bytes": _large("amdsmi_get_gpu_memory_usage", _VRAM),
    "gtt_used_bytes": _large("amdsmi_get_gpu_memory_usage", _GTT),
    "power_average_microwatts": AmdSmi.average_power,
    "power_current_microwatts": AmdSmi.current_power,
    "power_cap_microwatts": AmdSmi.power_cap,
    "energy_count": AmdSmi.energy_count,
    "pcie_replays": _large("amdsmi_get_gpu_pci_replay_counter"),
    **{f"{name}_millidegrees": _sensor(number) for name, number in SENSORS.items()},
    **{f"{name}_corrected": _errors(block, _CORRECTED) for name, block in BLOCKS.items()},
    **{f"{name}_uncorrected": _errors(block, _UNCORRECTED) for name, block in BLOCKS.items()},
}
