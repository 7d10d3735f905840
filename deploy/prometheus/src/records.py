"""Recording rules: by pod, by namespace and by node, for dashboards of many nodes, long times and federation.

Each series is the sum, or the quotient of two sums, of one family, so none counts a device twice. Watts are the joules
of five minutes, so they include what happens between two scrapes. A device whose labels change, or that is exported
twice, has several series for that time: without the aggregation by device one such device would end the record.
"""

from deploy.prometheus.src.rule import Group, Record

_USE = """  sum by ({by}) (rate(accelerator_{subject}_busy_seconds_total[5m]))
/
  sum by ({by}) (rate(accelerator_{subject}_observed_seconds_total[5m]))"""
_SHARED_WATTS = """sum by ({by}) (
    accelerator_allocation_share_ratio
  * on (instance, uuid) group_left ()
    max by (instance, uuid) (rate(accelerator_device_energy_joules_total[5m]))
)"""


def _of_allocations(level: str, by: str) -> tuple[Record, ...]:
    return (
        Record(f"{level}:accelerator_allocated_devices:sum", f"sum by ({by}) (accelerator_allocation_share_ratio)"),
        Record(f"{level}:accelerator_power_watts:rate5m", _SHARED_WATTS.format(by=by)),
        Record(f"{level}:accelerator_utilization:ratio_rate5m", _USE.format(by=by, subject="container")),
        Record(
            f"{level}:accelerator_memory_usage_bytes:sum", f"sum by ({by}) (accelerator_container_memory_usage_bytes)"
        ),
        Record(
            f"{level}:accelerator_memory_limit_bytes:sum", f"sum by ({by}) (accelerator_container_memory_limit_bytes)"
        ),
    )


_NODE = "cluster, node, instance"
_OF_NODES = (
    Record("node:accelerator_devices:count", f"count by ({_NODE}) (accelerator_device_info)"),
    Record("node:accelerator_allocated_devices:sum", f"sum by ({_NODE}) (accelerator_allocation_share_ratio)"),
    Record("node:accelerator_failed_devices:sum", f'sum by ({_NODE}) (accelerator_device_status{{state="failed"}})'),
    Record(
        "node:accelerator_power_watts:rate5m", f"sum by ({_NODE}) (rate(accelerator_device_energy_joules_total[5m]))"
    ),
    Record("node:accelerator_utilization:ratio_rate5m", _USE.format(by=_NODE, subject="device")),
    Record("node:accelerator_memory_usage_bytes:sum", f"sum by ({_NODE}) (accelerator_device_memory_usage_bytes)"),
    Record("node:accelerator_memory_limit_bytes:sum", f"sum by ({_NODE}) (accelerator_device_memory_limit_bytes)"),
)

GROUPS = (
    Group("accelerator-pods", _of_allocations("namespace_pod", "cluster, namespace, pod")),
    Group("accelerator-namespaces", _of_allocations("namespace", "cluster, namespace")),
    Group("accelerator-nodes", _OF_NODES),
)
