"""Controls the NVML double: a test changes devices, readings, errors and delays while a process uses them."""

import ctypes
import fcntl
import mmap
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self

from tests.native.layout import WORD_BYTES, Number
from tests.native.nvml_calls import CALLS, DEVICE_CALLS, HANDLE_CALLS
from tests.native.nvml_state import (
    HANDLES_PER_DEVICE,
    LAYOUT,
    MOST_EVENTS,
    NO_INSTANCE,
    NOT_AVAILABLE,
    SYSTEM_ROW,
    Call,
    Device,
    MigDevice,
    Process,
    ProcessKind,
    State,
    ValueType,
)

__all__ = [
    "GPM_METRICS",
    "MEMORY_TEMPERATURE_FIELD",
    "RECOVERY_ACTION_FIELD",
    "XID_EVENT",
    "Device",
    "MigDevice",
    "NvmlState",
    "Process",
    "ProcessKind",
    "ValueType",
    "h100",
    "h100_mig",
    "process",
]

MEMORY_TEMPERATURE_FIELD = 82  # NVML_FI_DEV_MEMORY_TEMP
RECOVERY_ACTION_FIELD = 230  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
GPM_METRICS = (1, 2, 3, 4, 5, 10, 11, 12, 13)  # NVML_GPM_METRIC_*, those without the cycles of driver 595
XID_EVENT = 0x8  # nvmlEventTypeXidCriticalError
UNBIND_EVENT = 0x1  # nvmlSystemEventTypeGpuDriverUnbind
_GPU_IS_LOST = 15
_MIB = 1024 * 1024
_LINKS, _ALL_LINKS = 18, 0xFFFFFFFF
_FUTEX = {"x86_64": 202, "aarch64": 98}[os.uname().machine]  # the number of the system call
_FUTEX_WAKE, _ALL = 1, 2**31 - 1


class NvmlState(State):
    """The state file of a process under test, a context manager: at its end every delayed call is released.

    A device is named by its slot, which is its index as long as no device before it was removed.

    Args:
        path: The file to create.
        devices: The first devices.
    """

    __slots__ = ("_changes", "_depth", "_file", "_lock", "path")

    def __init__(self, path: Path, devices: Iterable[Device] = ()) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        with path.open("xb") as new:
            new.truncate(self.WORDS * WORD_BYTES)
        self._file = path.open("r+b")
        memory = mmap.mmap(self._file.fileno(), 0)
        self._changes = ctypes.c_int64.from_buffer(memory, State.changes.offset * WORD_BYTES)
        super().__init__(memoryview(memory).cast("q"), self.at_once)
        with self.at_once():
            self.layout = LAYOUT
            self.driver_version = "570.124.06"
            self.nvml_version = "12.570.124.06"
            self.cuda_driver_version = 12080
            self.devices = devices

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._file.close()

    def environment(self, library: Path) -> dict[str, str]:
        """The variables with which a process loads the double and reads this file.

        Args:
            library: The directory of the library, as `build_nvml` returns it.
        """
        return {"LD_LIBRARY_PATH": str(library), "NVML_DOUBLE_STATE": str(self.path)}

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Several writes that the library sees all at once."""
        with self._lock:
            if self._depth == 0:
                fcntl.flock(self._file, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._changes.value += 1
                    fcntl.flock(self._file, fcntl.LOCK_UN)
                    self._wake()

    def _wake(self) -> None:
        """Let the calls that wait for an event look again, in all processes."""
        ctypes.CDLL(None).syscall(_FUTEX, ctypes.byref(self._changes), _FUTEX_WAKE, _ALL, None, None, 0)

    def add(self, device: Device) -> Device:
        """Add a device in the first free slot; returns it. Writing to it changes the answers of the library."""
        with self.at_once():
            place = next(each for each in self.devices if not each.present)
            place.copy_from(device)
        return place

    def remove(self, device: int) -> None:
        """Remove a device from the list: its handles return GPU_IS_LOST, the devices after it move up."""
        self.devices[device].present = 0

    def fail(self, call: str, code: int, *, device: int | None = None, mig: int | None = None, times: int = 0) -> None:
        """Let a function return an error from now on; code 0 ends it.

        Args:
            call: A function by its exported name, such as nvmlDeviceGetMemoryInfo_v2.
            code: `nvmlReturn_t`.
            device: Only for this device; if omitted, for all devices, MIG devices and calls without a handle.
            mig: Only for this MIG device of it.
            times: How often; without limit if omitted. The binding calls twice for a list that is not empty.
        """
        with self.at_once():
            for cell in self._cells(call, device, mig):
                cell.error, cell.failures_left = code, times

    def lose(self, device: int, code: int = _GPU_IS_LOST) -> None:
        """Let every call for a device or its MIG devices fail, as when it falls off the bus."""
        with self.at_once():
            for row in range(device * HANDLES_PER_DEVICE, (device + 1) * HANDLES_PER_DEVICE):
                for call in (*HANDLE_CALLS, *DEVICE_CALLS):
                    self._cell(call, row).error = code

    def happen(self, device: int, data: int, event_type: int = XID_EVENT, mig: MigDevice | None = None) -> None:
        """Let an event occur on a device; only sessions that are already registered for it receive it.

        Args:
            device: Its slot.
            data: The data of the event: the number of an XID.
            event_type: One of NVML's bits.
            mig: The MIG device of the event, if any.
        """
        with self.at_once():
            event = self.events[self.event_count % MOST_EVENTS]
            event.device, event.type, event.data = device, event_type, data
            event.gpu_instance = NO_INSTANCE if mig is None else mig.gpu_instance
            event.compute_instance = NO_INSTANCE if mig is None else mig.compute_instance
            self.event_count += 1

    def begin_to_unbind(self, device: int) -> None:
        """Let the driver report that it unbinds a device; 575 or later."""
        with self.at_once():
            place, gone = self.system_events[self.system_event_count % MOST_EVENTS], self.devices[device]
            place.type = UNBIND_EVENT
            place.gpu_id = gone.pci_domain << 16 | gone.pci_bus << 8 | gone.pci_slot
            self.system_event_count += 1

    def heal(self) -> None:
        """End every injected error and every delay."""
        with self.at_once():
            for member in (Call.error, Call.failures_left, Call.delay_milliseconds):
                self._clear(member)

    def delay(self, call: str, milliseconds: int, *, device: int | None = None, mig: int | None = None) -> None:
        """Delay a function; calls in progress follow a new delay, so that 0 releases them."""
        with self.at_once():
            for cell in self._cells(call, device, mig):
                cell.delay_milliseconds = milliseconds

    def release(self) -> None:
        """End every delay."""
        with self.at_once():
            self._clear(Call.delay_milliseconds)

    def calls(self, call: str, *, device: int | None = None, mig: int | None = None) -> int:
        """The number of calls of a function, finished or not."""
        return sum(cell.count for cell in self._cells(call, device, mig))

    def waiting(self, call: str, *, device: int | None = None, mig: int | None = None) -> int:
        """The number of calls of a function that a delay holds now."""
        return sum(cell.waiting for cell in self._cells(call, device, mig))

    def all_calls(self, device: int) -> int:
        """The number of calls of all functions for a device."""
        return sum(self.calls(call, device=device) for call in (*HANDLE_CALLS, *DEVICE_CALLS))

    def pass_time(self, seconds: float) -> None:
        """Shift the time of the activity samples by this many seconds."""
        self.passed_milliseconds += round(seconds * 1000)

    def _clear(self, member: Number) -> None:
        begin = State.cells.offset + member.offset
        places = self.words[begin :: Call.WORDS]
        places[:] = memoryview(bytearray(len(places) * WORD_BYTES)).cast("q")

    def _cells(self, call: str, device: int | None, mig: int | None) -> list[Call]:
        if device is None:
            return [self._cell(call, row) for row in range(SYSTEM_ROW + 1)]
        return [self._cell(call, device * HANDLES_PER_DEVICE + (0 if mig is None else 1 + mig))]

    def _cell(self, call: str, row: int) -> Call:
        return self.cells[row * len(CALLS) + CALLS.index(call)]


# A plausible H100 80GB HBM3 in an idle server. All values are assumed, none was recorded from a card. The device
# supports every reading that the model is documented to support.
_H100: Mapping[str, int | str | None] = {
    "present": 1,
    "name": "NVIDIA H100 80GB HBM3",
    "vbios_version": "96.00.61.00.01",
    "gsp_firmware_version": "570.124.06",
    "pci_device_id": 0x233010DE,
    "pci_subsystem_id": 0x16C110DE,
    "numa_node": None,  # memory of the host, not of the card: reported on coherent platforms only
    "architecture": 9,  # NVML_DEVICE_ARCH_HOPPER
    "brand": 14,  # NVML_BRAND_NVIDIA
    "cuda_capability_major": 9,
    "cuda_capability_minor": 0,
    "utilization_period_microseconds": 167_000,
    "bar1_total_bytes": 131_072 * _MIB,
    "memory_total_bytes": 81_559 * _MIB,
    "memory_reserved_bytes": 553 * _MIB,
    "memory_used_bytes": 4 * _MIB,
    "power_milliwatts": 71_000,
    "power_enforced_limit_milliwatts": 700_000,
    "power_limit_milliwatts": 700_000,
    "power_default_limit_milliwatts": 700_000,
    "power_min_limit_milliwatts": 200_000,
    "power_max_limit_milliwatts": 700_000,
    "energy_millijoules": 5_000_000_000,
    "temperature_celsius": 31,
    "threshold_shutdown_celsius": None,  # this generation reports margins to the limits, by field values
    "threshold_slowdown_celsius": None,
    "threshold_memory_celsius": None,
    "threshold_gpu_celsius": None,
    "clock_graphics_megahertz": 345,
    "clock_sm_megahertz": 345,
    "clock_memory_megahertz": 2_619,
    "clock_video_megahertz": 765,
    "max_clock_graphics_megahertz": 1_980,
    "max_clock_sm_megahertz": 1_980,
    "max_clock_memory_megahertz": 2_619,
    "max_clock_video_megahertz": 1_545,
    "clocks_event_reasons": 1,  # idle
    "fan_speed_percent": None,  # no fan on the module
    "persistence_mode": 1,
    "ecc_mode": 1,
    "ecc_mode_pending": 1,
    "most_mig_devices": 7,
    "pcie_link_generation": 5,
    "pcie_link_width": 16,
    "pcie_link_max_generation": 5,
    "pcie_link_max_width": 16,
    "fans": None,  # passive
    "temperature_margin_celsius": 46,
    "fabric_state": 3,
    "supported_event_types": 0xC10B,  # uncorrectable and corrected errors, XID, MIG, unavailable, recovery action
    "retired_pages_corrected": None,  # this generation remaps rows instead
    "retired_pages_uncorrected": None,
    "retirement_pending": None,
}


def h100(index: int) -> Device:
    """An idle H100 80GB HBM3, not in MIG mode.

    Args:
        index: Determines its uuid, serial number, minor number and PCI address; up to 15.
    """
    device = Device()
    device.copy_from(_any_h100())
    device.uuid = f"GPU-{uuid.uuid5(uuid.NAMESPACE_OID, f'device {index}')}"
    device.serial = f"16536230{index:05d}"
    device.minor_number = index
    device.pci_address = f"0000:{0x1B + 0x0C * index:02x}:00.0"
    return device


@cache
def _any_h100() -> Device:
    device = Device()
    for name, value in _H100.items():
        setattr(device, name, value)
    device.set_field(MEMORY_TEMPERATURE_FIELD, 43, ValueType.UNSIGNED_INT)
    device.set_field(RECOVERY_ACTION_FIELD, 0, ValueType.UNSIGNED_INT)
    _add_links(device)
    device.gpm_supported = 1
    device.set_gpm(dict.fromkeys(GPM_METRICS, 0.0))
    return device


def _add_links(device: Device) -> None:
    """18 NVLinks, all up, idle since the driver was loaded."""
    device.set_field(91, _LINKS, ValueType.UNSIGNED_INT)
    for link in range(_LINKS):
        device.set_field(165, 1, ValueType.UNSIGNED_INT, scope=link)
        device.set_field(164, 26_562, ValueType.UNSIGNED_INT, scope=link)
    for field in (138, 139):
        device.set_field(field, 0, ValueType.UNSIGNED_LONG_LONG, scope=_ALL_LINKS)
    for field in (161, 162, 163):  # the sums over all links are refused
        for link in range(_LINKS):
            device.set_field(field, 0, ValueType.UNSIGNED_LONG_LONG, scope=link)
    for field in (197, 198):
        device.set_field(field, 0, ValueType.UNSIGNED_LONG_LONG)


# MIG profiles of this card: compute slices, multiprocessors, MiB. Assumed.
_PROFILES: Mapping[str, tuple[int, int, int]] = {
    "1g.10gb": (1, 16, 9_984),
    "2g.20gb": (2, 32, 20_096),
    "3g.40gb": (3, 60, 40_320),
    "4g.40gb": (4, 64, 40_320),
    "7g.80gb": (7, 132, 81_024),
}


def h100_mig(device: int, index: int, profile: str = "1g.10gb") -> MigDevice:
    """A MIG device that uses its whole GPU instance.

    Args:
        device: Index of its H100.
        index: The index of the MIG device; it determines its uuid and the id of its GPU instance.
        profile: `1g.10gb`, `2g.20gb`, `3g.40gb`, `4g.40gb` or `7g.80gb`.
    """
    slices, multiprocessors, mebibytes = _PROFILES[profile]
    mig = MigDevice()
    mig.present = 1
    mig.uuid = f"MIG-{uuid.uuid5(uuid.NAMESPACE_OID, f'device {device} part {index}')}"
    mig.name = f"{_H100['name']} MIG {profile}"
    mig.gpu_instance = 7 + index
    mig.gpu_instance_profile = None  # as for a user without privileges
    mig.multiprocessors = multiprocessors
    mig.copy_engines = mig.decoders = mig.jpeg_engines = slices
    mig.gpu_instance_slices = mig.compute_instance_slices = slices
    mig.memory_mebibytes = mebibytes
    mig.memory_total_bytes = mebibytes * _MIB
    mig.memory_used_bytes = 11 * _MIB
    mig.set_gpm(dict.fromkeys(GPM_METRICS, 0.0))
    return mig


def process(
    pid: int, used_bytes: int | None, kind: ProcessKind = ProcessKind.COMPUTE, mig: MigDevice | None = None
) -> Process:
    """A process for the process list of a device.

    Args:
        pid: As NVML reports it.
        used_bytes: Frame buffer in use; None where the driver does not know.
        kind: The list that contains it.
        mig: The MIG device it runs on, if any.
    """
    entry = Process()
    entry.present = 1
    entry.kind = kind
    entry.pid = pid
    entry.utilization_percent = None
    entry.used_bytes = NOT_AVAILABLE if used_bytes is None else used_bytes
    entry.gpu_instance = NO_INSTANCE if mig is None else mig.gpu_instance
    entry.compute_instance = NO_INSTANCE if mig is None else mig.compute_instance
    return entry
