"""Values computed from more than one family: quotients and joins that several panels need."""

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.promql import Expression, largest, rate, series, total
from exporter import families

# The labels of a panel's series: only those that are needed to distinguish them.
OF_DEVICE = ("instance", "device", "model", "uuid")
OF_PARTITION = ("instance", "device", "profile", "partition_uuid")
OF_CONTAINER = ("namespace", "pod", "container")
OF_EDGE = (*OF_CONTAINER, "instance", "device", "profile", "uuid", "partition_uuid")

# A device or partition in joins.
DEVICE_KEY = ("instance", "uuid")
PARTITION_KEY = ("instance", "partition_uuid")

_BUSY = {
    Subject.DEVICE: catalog.BUSY_SECONDS,
    Subject.PARTITION: catalog.BUSY_SECONDS,
    Subject.CONTAINER: families.CONTAINER_BUSY_SECONDS,
}
_OBSERVED = {
    Subject.DEVICE: catalog.OBSERVED_SECONDS,
    Subject.PARTITION: catalog.OBSERVED_SECONDS,
    Subject.CONTAINER: families.CONTAINER_OBSERVED_SECONDS,
}


def utilization(subject: Subject, window: str) -> Expression:
    """Busy time as a fraction of observed time, for each series. Gaps in the readings do not count as idle time."""
    return _busy(subject, window).over(_observed(subject, window))


def mean_utilization(subject: Subject, window: str, *by: str) -> Expression:
    """The same for several series together: first the sums, then the quotient."""
    return total(_busy(subject, window), *by).over(total(_observed(subject, window), *by))


def memory_fullness(subject: Subject) -> Expression:
    """Memory in use as a fraction of the total."""
    return series(catalog.MEMORY_USAGE, subject).over(series(catalog.MEMORY_LIMIT, subject))


def numbered(expression: Expression) -> Expression:
    """Partitions with their number on the device, because several partitions can have the same profile.

    The number is the index, or the ids of the MIG instance: a partition has one or the other.
    """
    info = series(catalog.INFO, Subject.PARTITION)
    return expression.times_one_of(info, *PARTITION_KEY, adding=("index", "gpu_instance_id", "compute_instance_id"))


def power_by_pod() -> Expression:
    """Power of the devices, each divided among its containers by their share.

    The gauge is used and not the rate of the energy, because a rate falls slowly to 0 when a device's readings end.
    """
    share = series(families.ALLOCATION_SHARE, Subject.ALLOCATION)
    power = series(catalog.POWER, Subject.DEVICE)
    return total(share.times_one_of(power, *DEVICE_KEY), "namespace", "pod")


def edge(expression: Expression) -> Expression:
    """One element for each container and device or partition, with the labels that the tables show."""
    return largest(expression, *OF_EDGE)


def _busy(subject: Subject, window: str) -> Expression:
    return rate(series(_BUSY[subject], subject), window)


def _observed(subject: Subject, window: str) -> Expression:
    return rate(series(_OBSERVED[subject], subject), window)
