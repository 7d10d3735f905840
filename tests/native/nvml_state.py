"""The state file of the NVML double: a test writes it and the library reads it, in the units of NVML."""

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from enum import IntEnum

from tests.native.layout import Many, Number, Record, Records, Text, structures
from tests.native.nvml_calls import CALLS

MOST_DEVICES = 16
MOST_MIG_DEVICES = 8
MOST_PROCESSES = 64
MOST_FIELDS = 256
MOST_EVENTS = 64
MOST_GPM_METRICS = 24
HANDLES_PER_DEVICE = 1 + MOST_MIG_DEVICES
SYSTEM_ROW = MOST_DEVICES * HANDLES_PER_DEVICE

NOT_AVAILABLE = 2**64 - 1  # NVML's value for an unknown number of 64 bits
NO_INSTANCE = 2**32 - 1  # NVML's value for a process outside MIG devices


class ProcessKind(IntEnum):
    """The NVML process list that contains a process."""

    COMPUTE = 0
    GRAPHICS = 1
    MPS = 2
    NONE = 3  # in no list, only with a sample of its utilization


class GpmManner(IntEnum):
    """How nvmlGpmMetricsGet responds to a metric."""

    ANSWER = 0
    LEAVE_ALONE = 1  # nothing is written to the entry
    REFUSE_CALL = 2  # the whole call fails with the metric's code


class ValueType(IntEnum):
    """`nvmlValueType_t`."""

    DOUBLE = 0
    UNSIGNED_INT = 1
    UNSIGNED_LONG = 2
    UNSIGNED_LONG_LONG = 3
    SIGNED_LONG_LONG = 4
    SIGNED_INT = 5
    UNSIGNED_SHORT = 6


_PACKING = ("d", "I", "Q", "Q", "q", "i", "H")  # of `struct`, for each value type


class Process(Record):
    """A process with a context on a device. `present` above 1 means this many processes with consecutive pids.

    `utilization_at_microseconds` is when its utilization was sampled: 0 means the time of the call.
    """

    __slots__ = ()
    present = Number()
    kind = Number()
    pid = Number()
    used_bytes = Number()
    gpu_instance = Number()
    compute_instance = Number()
    utilization_percent = Number()
    utilization_at_microseconds = Number()


class FieldValue(Record):
    """The result of nvmlDeviceGetFieldValues for one field in one scope."""

    __slots__ = ()
    present = Number()
    field = Number()
    scope = Number()
    code = Number()
    value_type = Number()
    bits = Number()


class GpmMetric(Record):
    """The result of nvmlGpmMetricsGet for one metric of one device or GPU instance."""

    __slots__ = ()
    present = Number()
    id = Number()
    manner = Number()
    code = Number()
    bits = Number()


class MigDevice(Record):
    """A compute instance of a GPU instance.

    Without a `gpu_instance_profile`, the caller has no permission to get its GPU instance.
    """

    __slots__ = ()
    present = Number()
    uuid = Text(96)
    name = Text(96)
    gpu_instance = Number()
    gpu_instance_profile = Number()
    placement_start = Number()
    placement_size = Number()
    compute_instance = Number()
    multiprocessors = Number()
    copy_engines = Number()
    decoders = Number()
    encoders = Number()
    jpeg_engines = Number()
    ofa_engines = Number()
    gpu_instance_slices = Number()
    compute_instance_slices = Number()
    memory_mebibytes = Number()
    memory_total_bytes = Number()
    memory_reserved_bytes = Number()
    memory_used_bytes = Number()
    compute_mode = Number()
    gpm = Many(GpmMetric, MOST_GPM_METRICS)

    def set_gpm(self, values: Mapping[int, float], code: int = 0, manner: GpmManner = GpmManner.ANSWER) -> None:
        """Set metrics of its GPU instance, all with the same return code."""
        _set_gpm(self.gpm, values, (code, manner), self.changing)


class Device(Record):
    """A GPU."""

    __slots__ = ()
    present = Number()
    uuid = Text(96)
    name = Text(96)
    serial = Text(32)
    vbios_version = Text(32)
    gsp_firmware_version = Text(64)
    pci_domain = Number()
    pci_bus = Number()
    pci_slot = Number()
    pci_device_id = Number()
    pci_subsystem_id = Number()
    minor_number = Number()
    numa_node = Number()
    architecture = Number()
    brand = Number()
    cuda_capability_major = Number()
    cuda_capability_minor = Number()
    utilization_gpu_percent = Number()
    utilization_memory_percent = Number()
    utilization_encoder_percent = Number()
    utilization_decoder_percent = Number()
    utilization_jpeg_percent = Number()
    utilization_ofa_percent = Number()
    utilization_period_microseconds = Number()
    bar1_total_bytes = Number()
    memory_total_bytes = Number()
    memory_reserved_bytes = Number()
    memory_used_bytes = Number()
    power_milliwatts = Number()
    power_enforced_limit_milliwatts = Number()
    power_limit_milliwatts = Number()
    power_default_limit_milliwatts = Number()
    power_min_limit_milliwatts = Number()
    power_max_limit_milliwatts = Number()
    energy_millijoules = Number()
    temperature_celsius = Number()
    threshold_shutdown_celsius = Number()
    threshold_slowdown_celsius = Number()
    threshold_memory_celsius = Number()
    threshold_gpu_celsius = Number()
    clock_graphics_megahertz = Number()
    clock_sm_megahertz = Number()
    clock_memory_megahertz = Number()
    clock_video_megahertz = Number()
    max_clock_graphics_megahertz = Number()
    max_clock_sm_megahertz = Number()
    max_clock_memory_megahertz = Number()
    max_clock_video_megahertz = Number()
    clocks_event_reasons = Number()
    fan_speed_percent = Number()
    persistence_mode = Number()
    compute_mode = Number()
    ecc_mode = Number()
    ecc_mode_pending = Number()
    mig_mode = Number()
    mig_mode_pending = Number()
    most_mig_devices = Number()
    pcie_link_generation = Number()
    pcie_link_width = Number()
    pcie_link_max_generation = Number()
    pcie_link_max_width = Number()
    pcie_replays = Number()
    pcie_transmit_kilobytes_per_second = Number()
    pcie_receive_kilobytes_per_second = Number()
    temperature_margin_celsius = Number()
    fans = Number()
    fan_step_percent = Number()  # by how much each fan is faster than the one before it
    fabric_state = Number()
    fabric_status = Number()
    fabric_health_mask = Number()
    fabric_info_version = Number()  # newest version of the structure that the driver supports; 0 means all versions
    supported_event_types = Number()
    ecc_volatile_corrected = Number()
    ecc_volatile_uncorrected = Number()
    ecc_lifetime_corrected = Number()
    ecc_lifetime_uncorrected = Number()
    remapped_rows_corrected = Number()
    remapped_rows_uncorrected = Number()
    remapping_pending = Number()
    remapping_failed = Number()
    retired_pages_corrected = Number()
    retired_pages_uncorrected = Number()
    retirement_pending = Number()
    performance_state = Number()
    banks_max_spare = Number()
    banks_high_spare = Number()
    banks_partial_spare = Number()
    banks_low_spare = Number()
    banks_no_spare = Number()
    sram_volatile_corrected = Number()
    sram_volatile_parity = Number()
    sram_volatile_secded = Number()
    sram_lifetime_corrected = Number()
    sram_lifetime_parity = Number()
    sram_lifetime_secded = Number()
    sram_threshold_exceeded = Number()
    channel_repair_pending = Number()
    tpc_repair_pending = Number()
    mig = Many(MigDevice, MOST_MIG_DEVICES)
    processes = Many(Process, MOST_PROCESSES)
    fields = Many(FieldValue, MOST_FIELDS)
    gpm_supported = Number()
    gpm = Many(GpmMetric, MOST_GPM_METRICS)

    def set_gpm(self, values: Mapping[int, float], code: int = 0, manner: GpmManner = GpmManner.ANSWER) -> None:
        """Set metrics, all with the same return code; other metrics are not supported."""
        _set_gpm(self.gpm, values, (code, manner), self.changing)

    @property
    def pci_address(self) -> str:
        """In the spelling of the kernel: `0000:1b:00.0`."""
        return f"{self.pci_domain:04x}:{self.pci_bus:02x}:{self.pci_slot:02x}.0"

    @pci_address.setter
    def pci_address(self, address: str) -> None:
        domain, bus, slot = address.removesuffix(".0").split(":")
        with self.changing():
            self.pci_domain, self.pci_bus, self.pci_slot = int(domain, 16), int(bus, 16), int(slot, 16)

    def partition(self, mig: Iterable[MigDevice | None]) -> None:
        """Enable MIG mode and partition the device; None leaves a gap in the indices."""
        places = list(mig)
        assert len(places) <= self.most_mig_devices, f"{len(places)} places, the device has {self.most_mig_devices}"
        with self.changing():
            self.mig_mode = self.mig_mode_pending = 1
            self.mig = places

    def unpartition(self) -> None:
        """Disable MIG mode and remove every MIG device."""
        with self.changing():
            self.mig_mode = self.mig_mode_pending = 0
            self.mig = ()

    def set_field(self, field: int, value: float, value_type: ValueType, *, scope: int = 0, code: int = 0) -> None:
        """Set the value and the return code of a field; other fields are not supported."""
        packed = struct.pack(_PACKING[value_type], value if value_type is ValueType.DOUBLE else int(value))
        place = self.field(field, scope) or next(each for each in self.fields if not each.present)
        with self.changing():
            place.present, place.field, place.scope, place.code = 1, field, scope, code
            place.value_type, place.bits = value_type, int.from_bytes(packed, "little")

    def field(self, field: int, scope: int = 0) -> FieldValue | None:
        """The record of a field; None if it is not supported."""
        members = (FieldValue.present, FieldValue.field, FieldValue.scope)
        words = self.words[Device.fields.offset : Device.fields.offset + Device.fields.words]
        present, fields, scopes = (words[member.offset :: FieldValue.WORDS] for member in members)
        places = zip(present, fields, scopes, strict=True)
        place = next((number for number, found in enumerate(places) if found == (1, field, scope)), None)
        return None if place is None else self.fields[place]


def _set_gpm(
    places: Records[GpmMetric],
    values: Mapping[int, float],
    code_and_manner: tuple[int, GpmManner],
    changing: Callable[[], AbstractContextManager[object]],
) -> None:
    with changing():
        for metric, value in values.items():
            taken = [each for each in places if each.present and each.id == metric]
            place = (taken or [each for each in places if not each.present])[0]
            place.present, place.id = 1, metric
            place.code, place.manner = code_and_manner
            place.bits = int.from_bytes(struct.pack("d", value), "little")


class Event(Record):
    """An event of a device, delivered to every event set in which the device is registered at that time."""

    __slots__ = ()
    device = Number()
    type = Number()
    data = Number()
    gpu_instance = Number()
    compute_instance = Number()


class SystemEvent(Record):
    """An event of the driver. The id of a GPU is its PCI address: domain, bus and device, with 16, 8 and 8 bits."""

    __slots__ = ()
    type = Number()
    gpu_id = Number()


class Call(Record):
    """The settings and counts of one function for one handle; the library writes the last two fields.

    The function fails `failures_left` times, or until the error is removed if that is 0.
    """

    __slots__ = ()
    error = Number()
    failures_left = Number()
    delay_milliseconds = Number()
    count = Number()
    waiting = Number()


class State(Record):
    """The whole state. `cells` has a row of functions for each handle and one for calls without a handle.

    The place of an event in `events` and `system_events` is its number modulo the size. `changes` counts the writes.
    `unreal_devices` are counted and can't be opened. `passed_milliseconds` are added to the time of activity samples.
    """

    __slots__ = ()
    layout = Number()
    changes = Number()
    driver_version = Text(80)
    nvml_version = Text(80)
    cuda_driver_version = Number()
    confidential_computing = Number()
    unreal_devices = Number()
    passed_milliseconds = Number()
    devices = Many(Device, MOST_DEVICES)
    event_count = Number()
    events = Many(Event, MOST_EVENTS)
    system_events_supported = Number()
    system_event_count = Number()
    system_events = Many(SystemEvent, MOST_EVENTS)
    cells = Many(Call, (SYSTEM_ROW + 1) * len(CALLS))


STRUCTURES = structures(State)
LAYOUT = zlib.crc32("\n".join((STRUCTURES, *CALLS)).encode())
_HEADER = f"""\
/* Generated by the build from the Python declarations of the state file. */
#ifndef NVML_DOUBLE_STATE_LAYOUT_H
#define NVML_DOUBLE_STATE_LAYOUT_H

#include <stdint.h>

#define DOUBLE_LAYOUT {LAYOUT}
#define DOUBLE_UNSUPPORTED INT64_MIN

enum {{
    DOUBLE_MOST_DEVICES = {MOST_DEVICES},
    DOUBLE_MOST_MIG_DEVICES = {MOST_MIG_DEVICES},
    DOUBLE_MOST_PROCESSES = {MOST_PROCESSES},
    DOUBLE_MOST_FIELDS = {MOST_FIELDS},
    DOUBLE_MOST_EVENTS = {MOST_EVENTS},
    DOUBLE_MOST_GPM_METRICS = {MOST_GPM_METRICS},
    DOUBLE_HANDLES_PER_DEVICE = {HANDLES_PER_DEVICE},
    DOUBLE_SYSTEM_ROW = {SYSTEM_ROW},
    DOUBLE_COMPUTE = {ProcessKind.COMPUTE:d},
    DOUBLE_GRAPHICS = {ProcessKind.GRAPHICS:d},
    DOUBLE_MPS = {ProcessKind.MPS:d},
    DOUBLE_GPM_LEAVE_ALONE = {GpmManner.LEAVE_ALONE:d},
    DOUBLE_GPM_REFUSE_CALL = {GpmManner.REFUSE_CALL:d}
}};

enum double_call_number {{
@calls@
    DOUBLE_CALLS
}};

{STRUCTURES}
#endif
"""


def header() -> str:
    """The C header that declares the state file."""
    return _HEADER.replace("@calls@", "\n".join(f"    CALL_{name}," for name in CALLS))
