"""The row of numbers that shows whether there is a problem."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.measures import mean_utilization
from dashboards.src.panels import About, Step, number
from dashboards.src.promql import RANGE, complement, count, series, total

_ALLOCATED = series(catalog.ALLOCATED, Subject.DEVICE)


def panels() -> tuple[Builder[Panel], ...]:
    """Devices, their allocations, their activity."""
    return (*_allocated(), *_doing())


def _allocated() -> tuple[Builder[Panel], ...]:
    """Number of devices, and how many are allocated."""
    return (
        number(
            _about(
                "Devices",
                "Accelerators that the exporters know, including lost ones. If the nodes have more, see the row "
                "Health, and run `accelerator-exporter check` on the node.",
            ),
            count(series(catalog.INFO, Subject.DEVICE)),
        ),
        number(
            _about(
                "Allocated",
                "Devices that are allocated to a container, as a whole or by a partition. Absent while the kubelet "
                "does not answer.",
            ),
            total(_ALLOCATED),
        ),
        number(
            _about(
                "Free",
                "Devices that are not allocated. Pods that wait although devices are free request another model or a "
                "partition, or do not tolerate the taints of the node.",
            ),
            total(complement(_ALLOCATED)),
        ),
    )


def _doing() -> tuple[Builder[Panel], ...]:
    """Failed devices, utilization and power."""
    return (
        number(
            _about(
                "Failed",
                "Devices that no longer answer or must be reset. If above 0, find them in the table below, drain the "
                "node and do what the driver's log requires.",
            ),
            total(series(catalog.STATUS_STATE, Subject.DEVICE, 'state="failed"')),
            Step(0, "green"),
            Step(1, "red"),
        ),
        number(
            _about(
                "Mean utilization",
                "Busy time of all devices divided by their observed time, in the time range chosen above. Partitioned "
                "devices without utilization are not included. If it is low and few devices are free, look for idle "
                "pods in the row Pods.",
            ),
            mean_utilization(Subject.DEVICE, RANGE),
        ),
        number(
            _about("Power", "Power that all devices draw together now. Compare it with the limit of the racks."),
            total(series(catalog.POWER, Subject.DEVICE)),
        ),
    )


def _about(title: str, description: str) -> About:
    return About(title, description, width=4, height=4)
