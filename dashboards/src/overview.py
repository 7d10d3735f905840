"""The row of numbers that tells whether there is anything to look into."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.measures import mean_utilization
from dashboards.src.panels import About, Step, number
from dashboards.src.promql import RANGE, complement, count, series, total

_ALLOCATED = series(catalog.ALLOCATED, Subject.DEVICE)


def panels() -> tuple[Builder[Panel], ...]:
    """Devices, who holds them, what they do."""
    return (*_held(), *_doing())


def _held() -> tuple[Builder[Panel], ...]:
    """How many there are, and whether somebody holds them."""
    return (
        number(
            _about(
                "Devices",
                "Accelerators that the exporters know, lost ones included. Fewer than the nodes have: look at the row "
                "Health, and run `accelerator-exporter check` on the node.",
            ),
            count(series(catalog.INFO, Subject.DEVICE)),
        ),
        number(
            _about(
                "Allocated",
                "Devices that a container holds, itself or through a partition. Absent while the kubelet does not "
                "answer.",
            ),
            total(_ALLOCATED),
        ),
        number(
            _about(
                "Free",
                "Devices that nobody holds. Pods that wait although devices are free ask for another model, for a "
                "partition, or for a node they do not tolerate.",
            ),
            total(complement(_ALLOCATED)),
        ),
    )


def _doing() -> tuple[Builder[Panel], ...]:
    """Whether they work, how much, and what that draws."""
    return (
        number(
            _about(
                "Failed",
                "Devices that no longer answer or must be reset. Above 0: find them in the table below, drain the node "
                "and do what the driver's log asks for.",
            ),
            total(series(catalog.STATUS_STATE, Subject.DEVICE, 'state="failed"')),
            Step(0, "green"),
            Step(1, "red"),
        ),
        number(
            _about(
                "Mean utilization",
                "Busy time of all devices over their observed time, in the time range chosen above. Devices cut into "
                "partitions may tell none and are then not part of it. Low with few free devices: look for idle "
                "holders in the row Pods.",
            ),
            mean_utilization(Subject.DEVICE, RANGE),
        ),
        number(
            _about("Power", "What all devices draw together now. Compare it with what the racks may draw."),
            total(series(catalog.POWER, Subject.DEVICE)),
        ),
    )


def _about(title: str, description: str) -> About:
    return About(title, description, width=4, height=4)
