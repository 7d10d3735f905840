"""Alerts about devices that fail: their status, events, memory errors.

Expressions take the last value of two minutes, so that a missed scrape neither delays nor ends an alert.
"""

from deploy.prometheus.src.annotation import DEVICE, EVENTS, EVENTS_BEFORE, PODS, RECENT_PODS, RECOVERY, UUID
from deploy.prometheus.src.rule import Alert, Group, Severity

# Readings that every collector supplies; a device without any of them is not read. The window is longer than the
# scrape interval that most Prometheus servers have by default, a minute, and shorter than what AcceleratorDeviceFailed
# waits: a device that fails and is lost at once is only lost.
_READ = """(
    last_over_time(accelerator_device_temperature_celsius[90s])
  or
    last_over_time(accelerator_device_memory_usage_bytes[90s])
  or
    last_over_time(accelerator_device_clock_hertz[90s])
)"""
_FAILED = 'last_over_time(accelerator_device_status{state="failed"}[2m]) == 1'

_STATUS_RULES = "The rules for the status: [NVIDIA](nvidia-health.md#status), [AMD](amd.md#status)."
_KERNEL_LOG = "`dmesg` on the node, lines with `NVRM`, `Xid` or `amdgpu`."
_STATUS_PAGE = (
    "The exporter's status page and log on that node: `kubectl -n accelerator-exporter get pods -o wide` finds its pod."
)
_TAKE_OUT = (
    "Cordon the node, or take the device out of use, so that no further pod gets it. Restart the pods that the alert "
    "names on another node."
)
_RESET = "Drain the node, then reset the device (`nvidia-smi --gpu-reset`, `amd-smi reset`) or reboot."

_LOST = Alert(
    "AcceleratorDeviceLost",
    f"{_FAILED}\nunless on (instance, uuid) {_READ}",
    "1m",
    Severity.CRITICAL,
    f"{DEVICE} no longer answers",
    f"{UUID} {EVENTS_BEFORE} {PODS}",
    "The device has failed, and nothing can be read from it: it has fallen off its bus, or the driver no longer lists "
    "it. Work on it has stopped.",
    (
        _KERNEL_LOG,
        "[A device is lost](troubleshooting.md#a-device-is-lost), which also names a wrong setup that looks the same.",
        (
            "The hardware errors that the alert names: a code just before the loss is usually the cause. "
            "[What to do](nvidia-health.md#what-to-do) for each code of NVIDIA."
        ),
    ),
    (_TAKE_OUT, _RESET, "If it is lost again, replace it. The alert ends by itself when the device is found again."),
)
_FAILED_ALERT = Alert(
    "AcceleratorDeviceFailed",
    f"{_FAILED}\nand on (instance, uuid) {_READ}",
    "2m",
    Severity.CRITICAL,
    f"{DEVICE} has failed and must be reset",
    f"{UUID} {RECOVERY} {EVENTS_BEFORE} {PODS}",
    "The device still answers, but it must be reset before it can be used: the driver requires it, or an event "
    "occurred after which the results of programs may be wrong or never come.",
    (_STATUS_RULES, _KERNEL_LOG, "`accelerator_device_recovery_action == 1`: the action that the driver requires."),
    (_TAKE_OUT, _RESET, "The alert ends by itself after the reset."),
)
_DEGRADED = Alert(
    "AcceleratorDeviceDegraded",
    'last_over_time(accelerator_device_status{state=~"degraded|predicted_failure"}[2m]) == 1',
    "5m",
    Severity.WARNING,
    f"{DEVICE} has the status {{{{ $labels.state }}}}",
    f"{UUID} {RECOVERY} {EVENTS_BEFORE} {PODS}",
    "The device works, but not as it should. `degraded`: a reset or a repair is due. `predicted_failure`: replace it.",
    (_STATUS_RULES, _KERNEL_LOG, _STATUS_PAGE),
    (
        "`degraded`: let the pods end, then reset the device. Until then its work may fail or be slow.",
        "`predicted_failure`: let the pods end, take the device out of use and have it replaced.",
    ),
)
_EVENT = Alert(
    "AcceleratorHardwareError",
    'sum without (source, code, class) (increase(accelerator_device_errors_total{class="hardware"}[10m])) > 0',
    "",
    Severity.WARNING,
    f"{DEVICE} reported a hardware error",
    f"{UUID} {EVENTS} {RECENT_PODS}",
    'The driver reported an event whose cause is usually the hardware, its firmware or the driver (`class="hardware"`: '
    "an XID of NVIDIA, a RAS error of AMD). Programs on the device have probably ended. The alert ends 10 minutes "
    "after the last event. If the event was fatal, "
    "[AcceleratorDeviceFailed](#acceleratordevicefailed) or [AcceleratorDeviceLost](#acceleratordevicelost) follows.",
    ("[The codes of NVIDIA](nvidia-health.md#codes) and [of AMD](amd.md).", _KERNEL_LOG),
    (
        "See whether the pods that the alert names have restarted.",
        "[What to do](nvidia-health.md#what-to-do) for each code of NVIDIA.",
        "If the status of the device is not `ok`, go on with the alert for that status.",
        "If a code comes back on the same device, let the vendor's diagnostics run on it.",
    ),
)
_UNCORRECTED = Alert(
    "AcceleratorUncorrectedMemoryErrors",
    'sum without (kind) (increase(accelerator_device_memory_errors_total{kind="uncorrected"}[10m])) > 0',
    "",
    Severity.WARNING,
    f"{DEVICE} has new uncorrected memory errors",
    f"{UUID} {RECENT_PODS}",
    "Memory of the device had errors that could not be corrected (ECC). Programs that used it have ended. The alert "
    "ends 10 minutes after the last error.",
    (
        "`accelerator_device_memory_repair_pending` and `accelerator_device_memory_repair_failed` of the device.",
        "`accelerator_device_memory_remapped_rows` and `accelerator_device_memory_retired_pages`: earlier repairs.",
        _KERNEL_LOG,
    ),
    (
        "See whether the pods that the alert names have restarted.",
        "Reset the device when it is free: that repairs the memory.",
        "If errors come back after the reset, have the device replaced.",
    ),
)
_REPAIR_FAILED = Alert(
    "AcceleratorMemoryRepairFailed",
    "last_over_time(accelerator_device_memory_repair_failed[2m]) == 1",
    "5m",
    Severity.WARNING,
    f"{DEVICE}: a repair of its memory has failed",
    f"{UUID} {PODS}",
    "Bad memory could not be replaced by spare memory (row remapping). The next error in it ends programs again. This "
    "does not end by itself.",
    (
        "`accelerator_device_memory_errors_total` and `accelerator_device_memory_remapped_rows` of the device.",
        "The [set](metrics.md#sets) `diagnostics`: `accelerator_device_memory_banks`, the spare rows that are left.",
    ),
    ("Let the pods end, take the device out of use and have it replaced.",),
)
_REPAIR_PENDING = Alert(
    "AcceleratorMemoryRepairPending",
    "last_over_time(accelerator_device_memory_repair_pending[2m]) == 1",
    "10m",
    Severity.WARNING,
    f"{DEVICE} must be reset to repair its memory",
    f"{UUID} {PODS}",
    "Bad memory is marked, and the next reset replaces it (row remapping, page retirement). Until then programs can "
    "still use it.",
    ("`accelerator_device_memory_errors_total` of the device.", _STATUS_RULES),
    ("Let the pods end, then reset the device or reboot.", "The alert ends by itself after the reset."),
)

GROUP = Group(
    "accelerator-health",
    (_LOST, _FAILED_ALERT, _DEGRADED, _EVENT, _UNCORRECTED, _REPAIR_FAILED, _REPAIR_PENDING),
)
