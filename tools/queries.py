"""Worked PromQL queries: printed in docs/metrics.md, and run against a real Prometheus by the tests.

A join starts from the allocation, the side that may have many series for one device, and groups left. Written the
other way round, one shared device makes the whole query an error. `instance` is in every join because a device has
two series for a moment when a new exporter with another address takes over its node.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """One question and its PromQL.

    Attributes:
        name: The question, as a heading.
        expr: PromQL that needs nothing but this exporter's families.
        explanation: How to read the answer, and what is missing from it on purpose.
    """

    name: str
    expr: str
    explanation: str


QUERIES: tuple[Query, ...] = (
    Query(
        "True utilization of each device over a window",
        """rate(accelerator_device_busy_seconds_total[5m])
  / rate(accelerator_device_observed_seconds_total[5m])""",
        "The share of the observed time in which the device was executing, 0 to 1. Work between two scrapes is "
        "counted, time without readings is left out of both sides. Any window works, from two scrape intervals to "
        "months.",
    ),
    Query(
        "True utilization of the whole fleet",
        """sum(rate(accelerator_device_busy_seconds_total[5m]))
  / sum(rate(accelerator_device_observed_seconds_total[5m]))""",
        "Sums first, then divides, so that a device seen for half of the window weighs half. Devices without a "
        "utilization reading are not part of it.",
    ),
    Query(
        "Utilization for a HorizontalPodAutoscaler",
        """avg by (namespace, pod) (
    rate(accelerator_container_busy_seconds_total[1m])
  / rate(accelerator_container_observed_seconds_total[1m])
)""",
        "One value for each pod, with the two labels by which the custom metrics API finds it; nothing to join. A pod "
        "with several devices gets their mean. A pod that shares its device has no series, so do not scale on this "
        "where devices are shared. The window must span at least two scrapes, better four.",
    ),
    Query(
        "Devices that were held and idle for an hour",
        """(
    rate(accelerator_device_busy_seconds_total[1h])
  / rate(accelerator_device_observed_seconds_total[1h])
  < 0.01
)
and on (instance, uuid) (min_over_time(accelerator_device_allocated[1h]) == 1)""",
        "Held at every scrape of the hour, executing for less than 1 % of it. A device whose utilization is unknown is "
        "not listed: unknown is not idle.",
    ),
    Query(
        "Containers that hold an idle device",
        """accelerator_allocation_info
and on (instance, uuid) (
    rate(accelerator_device_busy_seconds_total[1h])
  / rate(accelerator_device_observed_seconds_total[1h])
  < 0.01
)""",
        "The same question from the container's side: `namespace`, `pod` and `container` of everybody who holds such a "
        "device now, sharing or not.",
    ),
    Query(
        "Devices nobody holds",
        "accelerator_device_allocated == 0",
        "A device that is cut into partitions counts as held as soon as one of them is. Wrap it in "
        "`count by (vendor, model) (...)` for the number of free devices by model.",
    ),
    Query(
        "Free partitions by profile",
        "count by (model, profile) (accelerator_partition_allocated == 0)",
        "What a pod could still be given on devices that are already cut.",
    ),
    Query(
        "Devices that are shared, and by whom",
        "accelerator_allocation_info and on (instance, uuid) (accelerator_device_allocations > 1)",
        "One series for each holder. These containers have no utilization, memory or power of their own: a figure of "
        "the device split by the number of its users would be made up.",
    ),
    Query(
        "Power by namespace",
        """sum by (namespace) (
    accelerator_allocation_share_ratio
  * on (instance, uuid) group_left ()
    rate(accelerator_device_energy_joules_total[5m])
)""",
        "Watts: joules per second of each device, divided among its holders by the share they hold. It covers sole "
        "holders, shared devices and partitions alike, and never adds up to more than the devices draw. The part of a "
        "device that nobody holds belongs to no namespace.",
    ),
    Query(
        "Energy by namespace over a day",
        "sum by (namespace) (increase(accelerator_container_energy_joules_total[1d]))",
        "Joules that devices used while a container held them alone, measured and not divided. Divide by 3.6e6 for "
        "kilowatt-hours. Containers that share a device or hold a partition have no series here; for them integrate "
        "the query above with a recording rule.",
    ),
    Query(
        "Device-hours handed out by namespace over a day",
        "sum by (namespace) (increase(accelerator_allocation_device_seconds_total[1d])) / 3600",
        "What was reserved, used or not: half a device for two hours is one device-hour.",
    ),
    Query(
        "A device's reading with the names of its holders",
        """accelerator_allocation_info
  * on (instance, uuid) group_left (sensor)
    accelerator_device_temperature_celsius{sensor="core"}""",
        "The pattern for every other reading: the info is always 1, so the product is the reading under the names of "
        "the holders. Select one value of each of the reading's own labels, here `sensor`. Do not sum the result: a "
        "shared device appears once for each holder.",
    ),
    Query(
        "How full the memory of each container's device is",
        "accelerator_container_memory_usage_bytes / accelerator_container_memory_limit_bytes",
        "0 to 1, for sole holders of a device or partition. It stays below 1 by what the driver reserves.",
    ),
    Query(
        "Failed devices and the containers that hold them",
        'accelerator_allocation_info and on (instance, uuid) (accelerator_device_status{state="failed"} == 1)',
        "`accelerator_device_status == 1` alone gives the state that each device is in.",
    ),
    Query(
        "Devices by driver version",
        "count by (vendor, model, driver_version) (accelerator_device_info)",
        "Properties that do not change while a driver is loaded are labels of the info family only.",
    ),
    Query(
        "Parts of the exporter that do not work",
        "accelerator_exporter_collector_up == 0 or accelerator_exporter_attribution_up == 0",
        "What each of them means and what to do is in [troubleshooting](troubleshooting.md).",
    ),
)
