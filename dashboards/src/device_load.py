"""The row about the load of devices: utilization, memory, and what executes."""

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.device_tables import NAME
from dashboards.src.links import DEVICE_OF_SERIES
from dashboards.src.measures import memory_fullness, utilization
from dashboards.src.page import Panels
from dashboards.src.panels import About, Query, lines
from dashboards.src.promql import POINT
from dashboards.src.scope import Scope


def panels(scope: Scope) -> Panels:
    """From the whole device to its parts."""
    return (*_whole(scope), *_memory(scope), *_parts(scope))


def _whole(scope: Scope) -> Panels:
    return (
        lines(
            About(
                "Device utilization",
                "Busy time divided by observed time: the true mean of each step, including work between two scrapes. A "
                "gap is time without readings, not idle time. A partitioned device may have no utilization: see the "
                "row Partitions.",
            ),
            Query(utilization(scope, Subject.DEVICE, POINT), NAME),
            link=DEVICE_OF_SERIES,
        ),
        lines(
            About(
                "Device memory in use",
                "Device memory in use as a fraction of the total. Near 100 % the next allocation of a program fails. "
                "High memory use without utilization is often a forgotten process.",
            ),
            Query(memory_fullness(scope, Subject.DEVICE), NAME),
            link=DEVICE_OF_SERIES,
        ),
    )


def _memory(scope: Scope) -> Panels:
    return (
        lines(
            About(
                "Memory bandwidth",
                "What the device reports of its memory's activity: the used part of the bandwidth, else the part of "
                "the time in which the memory was read or written (busy), else the activity of its controller. Do not "
                "compare the three with each other.",
            ),
            Query(scope.series(catalog.MEMORY_BANDWIDTH, Subject.DEVICE), f"{NAME} bandwidth"),
            Query(scope.series(catalog.MEMORY_BUSY, Subject.DEVICE), f"{NAME} busy"),
            Query(scope.series(catalog.MEMORY_CONTROLLER_ACTIVITY, Subject.DEVICE), f"{NAME} controller"),
        ),
        lines(
            About(
                "Host memory in use",
                "Memory of the host that the device uses. If it rises while the device's memory is full, data is moved "
                "to the host, which is slow.",
            ),
            Query(scope.series(catalog.HOST_MEMORY_USAGE, Subject.DEVICE), NAME),
        ),
    )


def _parts(scope: Scope) -> Panels:
    return (
        lines(
            About(
                "Pipe activity",
                "The part of the time in which each pipe executed. A high utilization with a low activity of the "
                "tensor pipe is work that does not use the matrix units. More pipes are in the set pipes.",
                width=8,
            ),
            Query(scope.series(catalog.PIPE_ACTIVITY, Subject.DEVICE), f"{NAME} {{{{pipe}}}}"),
        ),
        lines(
            About(
                "Engine utilization",
                "The part of the time in which each engine beside the compute units was busy, such as the video "
                "decoder. More engines are in the set engines.",
                width=8,
            ),
            Query(scope.series(catalog.ENGINE_UTILIZATION, Subject.DEVICE), f"{NAME} {{{{engine}}}}"),
        ),
        lines(
            About(
                "Processes",
                "The number of processes that use the device, in containers and outside. Above 0 on a device without "
                "pods: something outside Kubernetes uses it.",
                width=8,
            ),
            Query(scope.series(catalog.PROCESSES, Subject.DEVICE), NAME),
        ).decimals(0),
    )
