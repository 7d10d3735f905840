"""The typed binding of `librocm_smi64`: symbols are bound when they are used, values are in the library's units.

Runs in the child process only; only `LibraryError` is raised here, and the library itself may abort.

Source: `rocm_smi.h`; the prototypes are the same from 5.2 to 7.2.
"""

import ctypes
from collections.abc import Callable, Mapping
from ctypes import byref, c_char_p, c_float, c_int64, c_uint32, c_uint64

from collectors.amd.rocm_smi.binding import Calls, Meaning, PciLocation, load, location_of

NAMES = (
    "librocm_smi64.so.7",
    "librocm_smi64.so.1",
    "librocm_smi64.so",
    "/opt/rocm/lib/librocm_smi64.so",
)
# rsmi_status_t.
_MEANINGS = {
    2: Meaning.UNSUPPORTED,  # NOT_SUPPORTED
    4: Meaning.DENIED,  # PERMISSION
    10: Meaning.NOTHING,  # NOT_FOUND
    13: Meaning.INVALID,  # UNEXPECTED_SIZE
    14: Meaning.NOTHING,  # NO_DATA
    15: Meaning.INVALID,  # UNEXPECTED_DATA
}


class _RocmSmiVersion(ctypes.Structure):
    _fields_ = (("major", c_uint32), ("minor", c_uint32), ("patch", c_uint32), ("build", c_char_p))


class _ErrorCount(ctypes.Structure):
    _fields_ = (("corrected", c_uint64), ("uncorrected", c_uint64))


class RocmSmi:
    """The open library.

    Raises:
        LibraryError: It does not initialise.
        OSError: None of its names can be loaded; the text is the loader's error.
    """

    name = "librocm_smi64"

    def __init__(self) -> None:
        self._call = Calls(load(NAMES), _MEANINGS)
        self._call("rsmi_init", c_uint64(0))

    def version(self) -> str:
        """The version of the library: rsmi_version_get."""
        found = _RocmSmiVersion()
        self._call("rsmi_version_get", byref(found))
        return f"{found.major}.{found.minor}.{found.patch}"

    def count(self) -> int:
        """Number of monitored devices: rsmi_num_monitor_devices."""
        return self.uint32("rsmi_num_monitor_devices")

    def location(self, device: int) -> PciLocation:
        """Where a device is: rsmi_dev_pci_id_get. Indices have no meaning, because releases order them differently."""
        found = c_uint64()
        self._call("rsmi_dev_pci_id_get", c_uint32(device), byref(found))
        return location_of(found.value)

    def read(self, name: str, device: int) -> float:
        """One reading, a key of `READINGS`."""
        return READINGS[name](self, device)

    def uint32(self, call: str, *arguments: ctypes.c_uint32) -> int:
        """Call a function that returns a number of 32 bits."""
        found = c_uint32()
        self._call(call, *arguments, byref(found))
        return found.value

    def uint64(self, call: str, *arguments: ctypes.c_uint32) -> int:
        """Call a function that returns a number of 64 bits."""
        found = c_uint64()
        self._call(call, *arguments, byref(found))
        return found.value

    def energy_count(self, device: int) -> float:
        """Units of 2^-16 J since the driver was loaded: rsmi_dev_energy_count_get, whose resolution is rounded."""
        counter, resolution, timestamp = c_uint64(), c_float(), c_uint64()
        call = "rsmi_dev_energy_count_get"
        self._call(call, c_uint32(device), byref(counter), byref(resolution), byref(timestamp))
        return counter.value

    def temperature(self, device: int, sensor: int) -> float:
        """Current temperature in thousandths of a degree Celsius: rsmi_dev_temp_metric_get."""
        found = c_int64()
        call = "rsmi_dev_temp_metric_get"
        self._call(call, c_uint32(device), c_uint32(sensor), ctypes.c_int(_CURRENT), byref(found))
        return found.value

    def error_count(self, device: int, block: int, kind: str) -> float:
        """Memory errors of a block since the driver was loaded: rsmi_dev_ecc_count_get."""
        found = _ErrorCount()
        self._call("rsmi_dev_ecc_count_get", c_uint32(device), ctypes.c_int(block), byref(found))
        count: int = getattr(found, kind)
        return count


_CURRENT = 0  # RSMI_TEMP_CURRENT
_VRAM, _GTT = 0, 2  # rsmi_memory_type_t
# rsmi_temperature_type_t.
SENSORS = {"edge": 0, "junction": 1, "memory": 2, "hbm0": 3, "hbm1": 4, "hbm2": 5, "hbm3": 6}
# rsmi_gpu_block_t.
BLOCKS: Mapping[str, int] = {
    "umc": 0x1,
    "sdma": 0x2,
    "gfx": 0x4,
    "mmhub": 0x8,
    "athub": 0x10,
    "pcie_bif": 0x20,
    "hdp": 0x40,
    "xgmi_wafl": 0x80,
    "df": 0x100,
}
_Read = Callable[[RocmSmi, int], float]


def _small(call: str) -> _Read:
    return lambda library, device: library.uint32(call, c_uint32(device))


def _large(call: str, *arguments: int) -> _Read:
    return lambda library, device: library.uint64(call, c_uint32(device), *(c_uint32(each) for each in arguments))


def _sensor(number: int) -> _Read:
    return lambda library, device: library.temperature(device, number)


def _errors(block: int, kind: str) -> _Read:
    return lambda library, device: library.error_count(device, block, kind)


# rsmi_dev_pci_throughput_get is not used, because it blocks for a second per device.
READINGS: Mapping[str, _Read] = {
    "utilization_percent": _small("rsmi_dev_busy_percent_get"),
    "memory_activity_percent": _small("rsmi_dev_memory_busy_percent_get"),
    "vram_total_bytes": _large("rsmi_dev_memory_total_get", _VRAM),
    "vram_used_bytes": _large("rsmi_dev_memory_usage_get", _VRAM),
    "gtt_used_bytes": _large("rsmi_dev_memory_usage_get", _GTT),
    "power_average_microwatts": _large("rsmi_dev_power_ave_get", 0),
    "power_current_microwatts": _large("rsmi_dev_current_socket_power_get"),
    "power_cap_microwatts": _large("rsmi_dev_power_cap_get", 0),
    "energy_count": RocmSmi.energy_count,
    "pcie_replays": _large("rsmi_dev_pci_replay_counter_get"),
    **{f"{name}_millidegrees": _sensor(number) for name, number in SENSORS.items()},
    **{f"{name}_corrected": _errors(block, "corrected") for name, block in BLOCKS.items()},
    **{f"{name}_uncorrected": _errors(block, "uncorrected") for name, block in BLOCKS.items()},
}
