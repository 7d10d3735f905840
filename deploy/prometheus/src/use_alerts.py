"""Alerts about how devices work: slow, hot, full, badly connected, idle.

Expressions take the last value of two minutes or a longer window, so that a missed scrape neither delays nor ends an
alert. The one side of a join is aggregated: a device whose labels change has two series for the length of the window,
and without the aggregation one such device would end the alert for all others.
"""

from deploy.prometheus.src.annotation import DEVICE, PARTITION, PARTITION_PODS, PODS, THROTTLE_REASONS, UUID
from deploy.prometheus.src.rule import Alert, Group, Severity
from tools.queries import ALLOCATED, IDLE, SUBJECT

_THROTTLED = Alert(
    "AcceleratorThrottled",
    'max without (reason) (avg_over_time(accelerator_device_throttle_active{reason!="power"}[5m])) > 0.5',
    "15m",
    Severity.WARNING,
    f"{DEVICE} runs at reduced clocks",
    f"{UUID} Clocks are reduced for more than half of the time. {THROTTLE_REASONS} {PODS}",
    "The device reduces its clocks because of heat, an external brake or a fault, and its work takes longer. "
    "Throttling at the power limit is normal under full load and is not included.",
    (
        "`avg_over_time(accelerator_device_throttle_active[15m])` of the device, by `reason`.",
        (
            "`accelerator_device_temperature_celsius` and `accelerator_device_fan_speed_ratio`, compared with the "
            "other devices of the node."
        ),
    ),
    (
        "`thermal`: check fans, airflow and the temperature of the room; then dust and the contact of the heat sink.",
        "`external` (power brake): check the node's power supplies and their limits.",
        "`hardware` and `reliability`: let the vendor's diagnostics run on the device.",
    ),
)
_HOT = Alert(
    "AcceleratorHot",
    """min without (sensor, limit) (
    last_over_time(accelerator_device_temperature_margin_celsius[2m])
  or
    last_over_time(accelerator_device_temperature_limit_celsius[2m])
  - on (instance, uuid, sensor) group_left ()
    max by (instance, uuid, sensor) (last_over_time(accelerator_device_temperature_celsius[2m]))
)
<= 5""",
    "5m",
    Severity.WARNING,
    f"{DEVICE} is within 5 degrees of a temperature limit",
    f"{UUID} Degrees left: {{{{ $value }}}}. {PODS}",
    "A sensor of the device is at most 5 degrees below the temperature at which it slows down or shuts down, or that "
    "it should not exceed. Newer GPUs of NVIDIA report this difference. For all other devices the alert needs the "
    "[set](metrics.md#sets) `limits`: without it, it never fires for them.",
    (
        "`accelerator_device_temperature_celsius` of the device, compared with the other devices of the node.",
        (
            "`accelerator_device_temperature_margin_celsius` or, with the set `limits`, "
            "`accelerator_device_temperature_limit_celsius`: which sensor and which limit."
        ),
    ),
    (
        "Check fans, airflow and the temperature of the room.",
        "If only one device is hot: check for dust and the contact of its heat sink.",
        "If it cannot be cooled soon: cordon the node and move the work.",
    ),
)
_FULL = Alert(
    "AcceleratorMemoryNearlyFull",
    """(
    last_over_time(accelerator_partition_memory_usage_bytes[2m])
  / last_over_time(accelerator_partition_memory_limit_bytes[2m])
  or
    last_over_time(accelerator_device_memory_usage_bytes[2m])
  / last_over_time(accelerator_device_memory_limit_bytes[2m])
  unless on (instance, uuid)
    last_over_time(accelerator_device_partitions[2m]) > 0
)
> 0.95""",
    "15m",
    Severity.INFO,
    f"{DEVICE}: more than 95 % of the memory is in use",
    f"{PARTITION} In use: {{{{ $value | humanizePercentage }}}}. {PARTITION_PODS}",
    "The memory of the device or partition is nearly full, and the next allocation may fail. Some frameworks reserve "
    "all memory when they start; for them this is normal, and the alert can be silenced for their namespaces or nodes.",
    (
        "`accelerator_container_memory_usage_bytes` of the pods that the alert names.",
        "Their logs, for messages about memory of the device.",
    ),
    (
        "Ask the owner whether the program reserves its memory at the start.",
        "If not: a larger device or partition, a smaller batch, or fewer pods on a shared device.",
    ),
)
_LINK_DOWN = Alert(
    "AcceleratorLinkDown",
    """max without (fabric, state) (
    last_over_time(accelerator_device_interconnect_links{state="down"}[2m]) > 0
  and on (cluster, instance, model, fabric)
    max by (cluster, instance, model, fabric) (max_over_time(accelerator_device_interconnect_links{state="up"}[1h])) > 0
)""",
    "10m",
    Severity.WARNING,
    f"{DEVICE}: links to other accelerators that are down: {{{{ $value }}}}",
    f"{UUID} {PODS}",
    "A link between accelerators (NVLink, XGMI) is down, and others of the same kind on this node are up. Work on "
    "several devices is slower or fails. Where no device of the model has a link that is up, the links are not "
    "connected, and nothing fires.",
    (
        (
            "`accelerator_device_interconnect_links` of all devices of the node: the device at the other end has a "
            "link down too."
        ),
        "`increase(accelerator_device_interconnect_errors_total[1d])`.",
        "`nvidia-smi nvlink --status`, `amd-smi xgmi`; the log of the fabric manager.",
    ),
    (
        "Move work that uses several devices to another node.",
        "Reset all devices of the node together, or reboot.",
        "If the link stays down: check bridges, cables or the switch.",
    ),
)


def _pcie(reading: str) -> str:
    """Devices whose highest value is below what they can have or, where that is not exported, below their peers."""
    current = f"max_over_time(accelerator_device_pcie_link_{reading}[10m])"
    limit = f"last_over_time(accelerator_device_pcie_link_max_{reading}[2m])"
    return f"""    {current}
  < {limit}
  or
    {current}
  < on (cluster, instance, model) group_left ()
    max by (cluster, instance, model) ({current})
  unless on (instance, uuid)
    {limit}"""


_PCIE = Alert(
    "AcceleratorPcieLinkDegraded",
    f"""(
{_pcie("width")}
  or
{_pcie("generation")}
)
and on (instance, uuid)
    rate(accelerator_device_busy_seconds_total[10m])
  / rate(accelerator_device_observed_seconds_total[10m])
  > 0.2""",
    "15m",
    Severity.WARNING,
    f"{DEVICE}: PCIe runs with fewer lanes or a lower generation",
    f"{UUID} {PODS}",
    "Under load, the PCIe link of the device has fewer lanes or a lower generation than it should: less than device "
    "and slot support or, without the [set](metrics.md#sets) `limits`, less than the best device of the same model on "
    "the node. Where slots differ by design, use the set `limits`.",
    (
        "`accelerator_device_pcie_link_width` and `accelerator_device_pcie_link_generation` of all devices on it.",
        "`increase(accelerator_device_pcie_replays_total[1d])`: many mean a bad contact.",
        "`lspci -vv` on the node, the lines `LnkCap` and `LnkSta`.",
    ),
    ("Drain the node and reboot.", "If it stays: reseat the device or its riser, then have it replaced."),
)
_IDLE = Alert(
    "AcceleratorIdle",
    f"""{IDLE}
and on ({SUBJECT}) (
    rate(accelerator_device_observed_seconds_total[1h]) > 0.9
  or
    rate(accelerator_partition_observed_seconds_total[1h]) > 0.9
)
and on ({SUBJECT}) {ALLOCATED}""",
    "",
    Severity.INFO,
    f"{DEVICE} is allocated and has been idle for an hour",
    f"{PARTITION} {PARTITION_PODS}",
    "A device or partition was allocated at every scrape of the last hour, and executed for less than 1 % of it. The "
    "alert does not fire while the utilization is unknown.",
    (
        "`accelerator_container_last_active_timestamp_seconds` of the pods that the alert names.",
        "Their logs: a program that waits for data or for its peers is idle too.",
    ),
    (
        "Ask the owner to stop the pod, or stop it by your rules for idle pods.",
        "A service that must wait for requests: share a device or use a partition.",
    ),
)

GROUP = Group("accelerator-use", (_THROTTLED, _HOT, _FULL, _LINK_DOWN, _PCIE, _IDLE))
