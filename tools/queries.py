"""Example PromQL queries: printed in docs/metrics.md, and run against a real Prometheus by the tests.

A join starts from the allocation and uses group_left, because one device can be allocated to several containers. A join
that starts from the device is an error as soon as one device is shared. `instance` is in every join: without the
shipped relabeling it is the exporter's address, which changes with its pod, and then a device has two series for some
minutes.
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


QUERIES: tuple[Query, ...] = (
    Query(
        "True utilization of each device over a window",
        """rate(accelerator_device_busy_seconds_total[5m])
  / rate(accelerator_device_observed_seconds_total[5m])""",
        "The part of the observed time in which the device was executing, 0 to 1. Work between two scrapes is "
        "counted; time without readings is in neither counter. Any window works, from two scrape intervals to "
        "months.",
    ),
    Query(
        "True utilization of the whole fleet",
        """sum(rate(accelerator_device_busy_seconds_total[5m]))
  / sum(rate(accelerator_device_observed_seconds_total[5m]))""",
        "Sums first, then divides, so that a device observed for half of the window has half the weight. Devices "
        "without a utilization reading are not included.",
    ),
    Query(
        "Utilization for a HorizontalPodAutoscaler",
        """avg by (namespace, pod) (
    rate(accelerator_container_busy_seconds_total[1m])
  / rate(accelerator_container_observed_seconds_total[1m])
)""",
        "One value for each pod, with the two labels that the custom metrics API needs, and no join. A pod with "
        "several devices has their mean. A pod that shares its device has no series, so do not scale on this query "
        "where devices are shared. The window must contain at least two scrapes, better four.",
    ),
    Query(
        "Devices that were allocated but idle for an hour",
        """(
    rate(accelerator_device_busy_seconds_total[1h])
  / rate(accelerator_device_observed_seconds_total[1h])
  < 0.01
)
and on (instance, uuid) (min_over_time(accelerator_device_allocated[1h]) == 1)""",
        "Allocated at every scrape of the hour, and executing for less than 1 % of it. A device with unknown "
        "utilization is not listed: unknown is not idle.",
    ),
    Query(
        "Containers that an idle device is allocated to",
        """accelerator_allocation_info
and on (instance, uuid) (
    rate(accelerator_device_busy_seconds_total[1h])
  / rate(accelerator_device_observed_seconds_total[1h])
  < 0.01
)""",
        "The same question for containers: `namespace`, `pod` and `container` of every container that such a device "
        "is allocated to now, shared or not.",
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
        "Devices that are shared, and by whom",
        "accelerator_allocation_info and on (instance, uuid) (accelerator_device_allocations > 1)",
        "One series for each container. These containers have no utilization, memory or power of their own: the "
        "device's value divided by the number of containers would be invented.",
    ),
    Query(
        "Power by namespace",
        """sum by (namespace) (
    accelerator_allocation_share_ratio
  * on (instance, uuid) group_left ()
    rate(accelerator_device_energy_joules_total[5m])
)""",
        "Watts: joules per second of each device, divided among its containers by their allocated share. It "
        "includes exclusive and shared devices and partitions, and the sum is never more than the devices draw. The "
        "free part of a device belongs to no namespace.",
    ),
    Query(
        "Energy by namespace over a day",
        "sum by (namespace) (increase(accelerator_container_energy_joules_total[1d]))",
        "Joules that devices used while they were allocated to one container only, measured and not divided. Divide "
        "by 3.6e6 for kilowatt-hours. Containers with a shared device or a partition have no series here; for them "
        "integrate the query above with a recording rule.",
    ),
    Query(
        "Allocated device-hours by namespace over a day",
        "sum by (namespace) (increase(accelerator_allocation_device_seconds_total[1d])) / 3600",
        "What was allocated, used or not: half a device for two hours is one device-hour.",
    ),
    Query(
        "A device's reading with the containers it is allocated to",
        """accelerator_allocation_info
  * on (instance, uuid) group_left (sensor)
    accelerator_device_temperature_celsius{sensor="core"}""",
        "The pattern for every other reading: the info is always 1, so the product is the reading with the names of "
        "the containers. Select one value of each of the reading's own labels, here `sensor`. Do not sum the "
        "result: a shared device appears once for each container.",
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
        "`accelerator_device_status == 1` alone gives the state that each device is in.",
    ),
    Query(
        "Devices by driver version",
        "count by (vendor, model, driver_version) (accelerator_device_info)",
        "Properties that do not change while a driver is loaded are labels of the info family only.",
    ),
    Query(
        "Devices that two exporters export",
        "count by (uuid) (accelerator_device_info) > 1",
        "Two exporters on one node, such as two variants of the manifests: every sum counts such a device twice. "
        "[Troubleshooting](troubleshooting.md#a-device-is-exported-twice) has an alert for it.",
    ),
    Query(
        "Parts of the exporter that do not work",
        "accelerator_exporter_collector_up == 0 or accelerator_exporter_attribution_up == 0",
        "[Troubleshooting](troubleshooting.md) explains each of them and what to do.",
    ),
)
