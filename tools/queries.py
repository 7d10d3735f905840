"""Example PromQL queries: printed in docs/metrics.md, and run against a real Prometheus by the tests.

A join starts from the allocation and uses group_left, because one device can be allocated to several containers. A join
that starts from the device is an error as soon as one device is shared. `instance` is in every join: without the
shipped relabeling it is the exporter's address, which changes with its pod, and then a device has two series for some
minutes.
A join with readings of devices and partitions is by `partition_uuid` too, which is empty for a device; a join with
readings that only devices have is not.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """One question and its PromQL.

    Attributes:
        name: The question, as a heading.
        expr: PromQL that needs nothing but this exporter's families.
        explanation: How to read the result, and what it does not include.
    """

    name: str
    expr: str
    explanation: str


# What queries and an alert have in common: devices and partitions that were idle for an hour, those that were allocated
# for an hour, and the labels by which they are compared.
SUBJECT = "instance, uuid, partition_uuid"
IDLE = """(
    rate(accelerator_device_busy_seconds_total[1h])
  / rate(accelerator_device_observed_seconds_total[1h])
  < 0.01
  or
    rate(accelerator_partition_busy_seconds_total[1h])
  / rate(accelerator_partition_observed_seconds_total[1h])
  < 0.01
)"""
ALLOCATED = """(
    min_over_time(accelerator_device_allocations[1h]) > 0
  and
    count_over_time(accelerator_device_allocations[1h])
  > 0.9 * count_over_time(accelerator_device_observed_seconds_total[1h])
  or
    min_over_time(accelerator_partition_allocated[1h]) > 0
  and
    count_over_time(accelerator_partition_allocated[1h])
  > 0.9 * count_over_time(accelerator_partition_observed_seconds_total[1h])
)"""

# The alert about it has the same expression.
EXPORTED_TWICE = """count by (cluster, uuid) (last_over_time(accelerator_device_info[2m])) > 1
or
count by (cluster, uuid) (
    last_over_time(accelerator_device_info[2m])
  and on (cluster, job, instance)
    changes(process_start_time_seconds[15m]) > 10
)"""

QUERIES: tuple[Query, ...] = (
    Query(
        "True utilization of each device over a window",
        """rate(accelerator_device_busy_seconds_total[5m])
  / rate(accelerator_device_observed_seconds_total[5m])""",
        "The part of the observed time in which the device was executing, 0 to 1. Work between two scrapes is "
        "counted; time without readings is in neither counter. Any window works, from two scrape intervals to "
        "months. For partitions, each measured against its own capacity, write `accelerator_partition_` instead of "
        "`accelerator_device_`.",
    ),
    Query(
        "True utilization of the whole fleet",
        """sum(rate(accelerator_device_busy_seconds_total[5m]))
/
sum(rate(accelerator_device_observed_seconds_total[5m]))""",
        "The part of the fleet's compute capacity that was executing, 0 to 1. The utilization of a partitioned device "
        "is that of its partitions, each weighted by its fraction of the device, where the driver reports none for the "
        "whole device. Sums first, then divides, so that a device observed for half of the window has half the weight. "
        "Devices without a utilization are not included.",
    ),
    Query(
        "Utilization for a HorizontalPodAutoscaler",
        """avg by (namespace, pod) (
  rate(accelerator_container_busy_seconds_total[1m])
  /
  (rate(accelerator_container_observed_seconds_total[1m]) > 0)
)""",
        "One value for each pod, with the two labels that the custom metrics API needs, and no join. A pod with "
        "several devices has their mean. A pod that shares its device has no series, so do not scale on this query "
        "where devices are shared. The window must contain at least two scrapes, better four. Without the comparison a "
        "device whose readings stop would have the value NaN for a while, which prometheus-adapter serves as 0. "
        "[autoscaling.md](autoscaling.md) has the complete examples.",
    ),
    Query(
        "Devices and partitions that were allocated but idle for an hour",
        f"{IDLE}\nand on ({SUBJECT}) {ALLOCATED}",
        "Allocated at every scrape of the hour, and executing for less than 1 % of it. A partitioned device is listed "
        "by its partitions. What has unknown utilization is not listed: unknown is not idle.",
    ),
    Query(
        "Containers that an idle device or partition is allocated to",
        f"accelerator_allocation_info\nand on ({SUBJECT}) {IDLE}\nand on ({SUBJECT}) {ALLOCATED}",
        "The same question for containers: `namespace`, `pod` and `container` of every container that such a device "
        "or partition is allocated to now, shared or not. It finds a forgotten notebook on a MIG instance. A pod that "
        "replaced another one in this hour is listed too.",
    ),
    Query(
        "Devices that are not allocated",
        "accelerator_device_allocated == 0",
        "A partitioned device counts as allocated as soon as one of its partitions is allocated. Use `count by "
        "(vendor, model) (...)` around it for the number of free devices by model.",
    ),
    Query(
        "Free partitions by profile",
        "count by (model, profile) (accelerator_partition_allocated == 0)",
        "What can still be allocated to pods on devices that are already partitioned.",
    ),
    Query(
        "Devices and partitions that are shared, and by whom",
        """accelerator_allocation_info
and on (instance, uuid, partition_uuid) (
  count by (instance, uuid, partition_uuid) (accelerator_allocation_info) > 1
)""",
        "One series for each container. These containers have no utilization, memory or power of their own: the "
        "value of the device or partition divided by the number of containers would be invented.",
    ),
    Query(
        "Power by namespace",
        """sum by (namespace) (
    accelerator_allocation_share_ratio
  * on (instance, uuid) group_left ()
    max by (instance, uuid) (rate(accelerator_device_energy_joules_total[5m]))
)""",
        "Watts: joules per second of each device, divided among its containers by their allocated share. It "
        "includes exclusive and shared devices and partitions, and the sum is never more than the devices draw. The "
        "free part of a device belongs to no namespace. If only the power of a package is measured that two devices "
        "share (AMD MI250X), all of it belongs to the holder of the first.",
    ),
    Query(
        "Energy by namespace over a day",
        "sum by (namespace) (increase(accelerator_allocation_energy_joules_total[1d]))",
        "The bill of each team in joules: the energy of each device, divided among its containers by their allocated "
        "share, for exclusive and shared devices and partitions. Divide by 3.6e6 for kilowatt-hours. It needs the "
        "set `billing`.",
    ),
    Query(
        "Measured energy of exclusive devices by namespace over a day",
        "sum by (namespace) (increase(accelerator_container_energy_joules_total[1d]))",
        "Joules that devices used while they were allocated to one container only, measured and not divided. "
        "Containers with a shared device or a partition have no series here. It is a part of the bill above, counted "
        "in another way: never add the two.",
    ),
    Query(
        "Allocated device-hours by namespace over a day",
        "sum by (namespace) (increase(accelerator_allocation_device_seconds_total[1d])) / 3600",
        "What was allocated, used or not: half a device for two hours is one device-hour.",
    ),
    Query(
        "A device's reading with the containers it is allocated to",
        """accelerator_allocation_info
  * on (instance, uuid) group_left ()
    max by (instance, uuid) (accelerator_device_temperature_celsius)""",
        "The pattern for every other reading that only devices have: the info is always 1, so the product is the "
        "reading with the names of the containers, here the temperature of the hottest sensor. A reading with labels "
        "of its own must be aggregated to one value for each device, or one value selected. Do not sum the result: a "
        "shared device appears once for each container.",
    ),
    Query(
        "A partition's reading with the containers it is allocated to",
        """accelerator_allocation_info
  * on (instance, uuid, partition_uuid) group_left ()
    max by (instance, uuid, partition_uuid) (
      accelerator_device_memory_usage_bytes or accelerator_partition_memory_usage_bytes
    )""",
        "The pattern for readings that devices and partitions have: each container has the value of the device or of "
        "the partition that is allocated to it.",
    ),
    Query(
        "How full the memory of each container's device is",
        "accelerator_container_memory_usage_bytes / accelerator_container_memory_limit_bytes",
        "0 to 1, for containers that do not share their device or partition. It stays below 1 because the driver "
        "reserves some memory.",
    ),
    Query(
        "Failed devices and the containers they are allocated to",
        'accelerator_allocation_info and on (instance, uuid) (accelerator_device_status{state="failed"} == 1)',
        "Containers on the partitions of such a device are listed too. `accelerator_device_status == 1` alone gives "
        "the state that each device is in.",
    ),
    Query(
        "Containers that were on a device when it had XID 79",
        """max_over_time(
  (
    last_over_time(accelerator_allocation_info[3m])
    and on (instance, uuid) (
      time() - accelerator_device_error_last_timestamp_seconds{source="xid", code="79"} < 180
    )
  )[1d:1m]
)""",
        "Every container that the device, or a partition of it, was allocated to when an event of the last day "
        "occurred, or in the three minutes around it, also if it has ended since. A result appears up to a minute "
        "after the event. Change `code` for another event; AMD's have the source `ras`.",
    ),
    Query(
        "Devices by driver version",
        "count by (vendor, model, driver_version) (accelerator_device_info)",
        "Properties that do not change while a driver is loaded are labels of the info family only.",
    ),
    Query(
        "Devices that two exporters export",
        EXPORTED_TWICE,
        "Two exporters on one node, such as two variants of the manifests: every sum counts such a device twice. If "
        "both are scraped with the name of the node as `instance`, as with the configurations in `deploy/`, they "
        "have the same series, whose values alternate: then the second half finds them, by the start of the process. "
        "[An alert](runbooks.md#acceleratorexportedtwice) has the same expression.",
    ),
    Query(
        "Parts of the exporter that do not work",
        "accelerator_exporter_collector_up == 0 or accelerator_exporter_attribution_up == 0",
        "[Troubleshooting](troubleshooting.md) explains each of them and what to do.",
    ),
)
