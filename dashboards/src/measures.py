"""Values computed from more than one family: quotients and joins that several panels need."""

from collectors import catalog
from collectors.metric import Subject, Unit
from dashboards.src.promql import (
    POINT,
    RANGE,
    STEP,
    Expression,
    before,
    complement,
    count,
    increase,
    largest,
    rate,
    total,
)
from dashboards.src.scope import Scope
from dashboards.src.status import DEVICE_KEY, failed
from exporter import families

# The labels of a panel's series: only those that are needed to distinguish them.
OF_PARTITION = ("instance", "device", "model", "profile", "uuid", "partition_uuid")
OF_CONTAINER = ("namespace", "pod", "container")
OF_EDGE = (*OF_CONTAINER, "instance", "device", "profile", "uuid", "partition_uuid")

# A partition in joins; of a device, `partition_uuid` is empty.
PARTITION_KEY = ("instance", "partition_uuid")
HELD_KEY = ("instance", "uuid", "partition_uuid")

# Below this fraction of busy time a device or container is idle.
IDLE_RATIO = 0.01
_HOUR = Expression("3600", Unit.SECONDS)

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


def utilization(scope: Scope, subject: Subject, window: str) -> Expression:
    """Busy time as a fraction of observed time, for each series. Gaps in the readings do not count as idle time."""
    return _busy(scope, subject, window).over(_observed(scope, subject, window))


def mean_utilization(scope: Scope, subject: Subject, window: str, *by: str) -> Expression:
    """The same for several series together: first the sums, then the quotient."""
    return total(_busy(scope, subject, window), *by).over(total(_observed(scope, subject, window), *by))


def memory_fullness(scope: Scope, subject: Subject) -> Expression:
    """Memory in use as a fraction of the total."""
    return scope.series(catalog.MEMORY_USAGE, subject).over(scope.series(catalog.MEMORY_LIMIT, subject))


def power_of_limit(scope: Scope) -> Expression:
    """Power of each device as a fraction of its own limit."""
    return scope.series(catalog.POWER, Subject.DEVICE).over(scope.series(catalog.POWER_LIMIT, Subject.DEVICE))


def temperature_limits(scope: Scope) -> Expression:
    """The limits of each sensor: its temperature and the margin that is left. The families of the limits are opt-in."""
    margin = scope.series(catalog.TEMPERATURE_MARGIN, Subject.DEVICE)
    return margin.plus_one_of(scope.series(catalog.TEMPERATURE, Subject.DEVICE), *DEVICE_KEY, "sensor")


def numbered(scope: Scope, expression: Expression) -> Expression:
    """Partitions with their number on the device, because several partitions can have the same profile.

    The number is the index, or the ids of the MIG instance: a partition has one or the other.
    """
    info = scope.series(catalog.INFO, Subject.PARTITION)
    return expression.times_one_of(info, *PARTITION_KEY, adding=("index", "gpu_instance_id", "compute_instance_id"))


def provisioned(scope: Scope, *by: str) -> Expression:
    """The number of devices."""
    return count(scope.series(catalog.INFO, Subject.DEVICE), *by)


def allocated(scope: Scope, *by: str) -> Expression:
    """The number of devices that are allocated, as a whole or by a partition."""
    return total(scope.series(catalog.ALLOCATED, Subject.DEVICE), *by)


def active(scope: Scope, window: str, *by: str) -> Expression:
    """The number of allocated devices that executed anything worth mentioning in the window."""
    busy = utilization(scope, Subject.DEVICE, window).where(f"> bool {IDLE_RATIO}")
    return _of_allocated(scope, busy, *by)


def effective(scope: Scope, window: str, *by: str) -> Expression:
    """How many fully busy devices would have done the work of the allocated ones."""
    return _of_allocated(scope, utilization(scope, Subject.DEVICE, window), *by)


def free(scope: Scope, *by: str) -> Expression:
    """The number of devices that are not allocated and did not fail."""
    return total(
        complement(scope.series(catalog.ALLOCATED, Subject.DEVICE)).those_not_in(failed(scope), *DEVICE_KEY), *by
    )


def held_power(scope: Scope, *by: str) -> Expression:
    """Power of the devices, each divided among its containers by their share.

    The gauge is used and not the rate of the energy, because a rate falls slowly to 0 when a device's readings end.
    """
    return _held(scope, scope.series(catalog.POWER, Subject.DEVICE), *by)


def held_power_by_energy(scope: Scope, *by: str) -> Expression:
    """The same by the energy counters, which miss nothing between two points: for sums over time."""
    return _held(scope, rate(scope.series(catalog.ENERGY, Subject.DEVICE), POINT), *by)


def _held(scope: Scope, power: Expression, *by: str) -> Expression:
    share = scope.series(families.ALLOCATION_SHARE, Subject.ALLOCATION)
    return total(share.times_one_of(power, *DEVICE_KEY), *by)


def device_hours(scope: Scope, *by: str) -> Expression:
    """Hours in the range times the share of a device that was allocated, used or not."""
    return _hours(total(increase(_device_seconds(scope), RANGE), *by))


def idle_device_hours(scope: Scope, *by: str) -> Expression:
    """The device-hours in which nothing executed: the waste.

    The idle fraction is the container's own; that of the device or partition where containers share it.
    """
    allocated_seconds = increase(_device_seconds(scope), RANGE)
    own = complement(utilization(scope, Subject.CONTAINER, RANGE))
    shared = utilization(scope, Subject.DEVICE, RANGE).or_else(utilization(scope, Subject.PARTITION, RANGE))
    by_container = allocated_seconds.times_one_of(own, *OF_CONTAINER, *HELD_KEY)
    by_device = allocated_seconds.times_one_of(complement(shared), *HELD_KEY)
    return _hours(total(by_container.or_else(by_device), *by))


def new_events(counter: Expression) -> Expression:
    """The events since the point before, where there are any, as whole numbers.

    The difference of two values is used and not `increase`, which estimates, and whose windows overlap. A counter that
    started again counts as a whole.
    """
    earlier = before(counter, STEP)
    return counter.minus(earlier).where("> 0").or_else(counter.smaller_than(earlier).where("> 0"))


def new_critical_events(scope: Scope) -> Expression:
    """The same for critical events, whose rare codes may have no counter before the first event.

    Such a counter is new at its first point: it counts as a whole if its device was known at the point before. Only
    these counters also go on while a device is lost, so that one that appears is never one that returned.
    """
    counter = scope.series(catalog.ERRORS, Subject.DEVICE)
    known = before(scope.series(catalog.INFO, Subject.DEVICE), STEP)
    appeared = counter.where("> 0").those_not_in(before(counter, STEP)).those_in(known, *DEVICE_KEY)
    return new_events(counter).or_else(appeared)


def edge(expression: Expression) -> Expression:
    """One element for each container and device or partition, with the labels that the tables show."""
    return largest(expression, *OF_EDGE)


def _of_allocated(scope: Scope, values: Expression, *by: str) -> Expression:
    held = scope.series(catalog.ALLOCATED, Subject.DEVICE)
    return total(values.times_one_of(held, *DEVICE_KEY), *by).as_unit(Unit.NONE)


def _device_seconds(scope: Scope) -> Expression:
    return scope.series(families.ALLOCATION_DEVICE_SECONDS, Subject.ALLOCATION)


def _hours(seconds: Expression) -> Expression:
    return seconds.over(_HOUR).as_unit(Unit.NONE)


def _busy(scope: Scope, subject: Subject, window: str) -> Expression:
    return rate(scope.series(_BUSY[subject], subject), window)


def _observed(scope: Scope, subject: Subject, window: str) -> Expression:
    return rate(scope.series(_OBSERVED[subject], subject), window)
