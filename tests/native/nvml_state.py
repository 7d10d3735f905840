"""The state file of the NVML double: what a test writes and the library answers, in NVML's own units."""

import zlib

from tests.native.layout import UNSUPPORTED, Many, Number, Record, Text, structures
from tests.native.nvml_calls import CALLS

MOST_DEVICES = 16
MOST_MIG_DEVICES = 8
MOST_PROCESSES = 64
MOST_FIELDS = 64
HANDLES_PER_DEVICE = 1 + MOST_MIG_DEVICES
SYSTEM_ROW = MOST_DEVICES * HANDLES_PER_DEVICE

COMPUTE, GRAPHICS, MPS = range(3)


class Process(Record):
    """A process with a context on a device."""

    present = Number()
    kind = Number()
    pid = Number()
    used_bytes = Number()
    gpu_instance = Number()
    compute_instance = Number()


class FieldValue(Record):
    """What nvmlDeviceGetFieldValues says of one field in one scope."""

    present = Number()
    field = Number()
    scope = Number()
    code = Number()
    value_type = Number()
    bits = Number()


class MigDevice(Record):
    """A compute instance of a GPU instance."""

    present = Number()
    uuid = Text(96)
    name = Text(96)
    gpu_instance = Number()
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


class DeviceRecord(Record):
    """A GPU."""

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
    mig = Many(MigDevice, MOST_MIG_DEVICES)
    processes = Many(Process, MOST_PROCESSES)
    fields = Many(FieldValue, MOST_FIELDS)


class Call(Record):
    """How one function behaves for one handle, and what became of it; the library writes the last two."""

    error = Number()
    delay_milliseconds = Number()
    count = Number()
    waiting = Number()


class State(Record):
    """All of it. `calls` has a row of functions for each handle and one for calls without any."""

    layout = Number()
    driver_version = Text(80)
    nvml_version = Text(80)
    cuda_driver_version = Number()
    devices = Many(DeviceRecord, MOST_DEVICES)
    calls = Many(Call, (SYSTEM_ROW + 1) * len(CALLS))


STRUCTURES = structures(State)
LAYOUT = zlib.crc32("\n".join((STRUCTURES, *CALLS)).encode())
_HEADER = f"""\
/* Written by the build from the Python declarations of the state file. */
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
    DOUBLE_HANDLES_PER_DEVICE = {HANDLES_PER_DEVICE},
    DOUBLE_SYSTEM_ROW = {SYSTEM_ROW},
    DOUBLE_COMPUTE = {COMPUTE},
    DOUBLE_GRAPHICS = {GRAPHICS},
    DOUBLE_MPS = {MPS}
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
    assert UNSUPPORTED == -(2**63)
    return _HEADER.replace("@calls@", "\n".join(f"    CALL_{name}," for name in CALLS))
