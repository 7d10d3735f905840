"""What the costs of the running processes mean: ratios to nvitop-exporter, and what each device and each pod adds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import linear_regression

from bench import running
from bench.figures import Table, count, kilobytes, megabytes
from bench.running import Cost

_MEGABYTE = 1e6
_RATIOS = """\
The exporter divided by nvitop-exporter. Both read the same cards of the NVML double in the same minutes, so the speed
of the machine matters little. nvitop-exporter joins no pods. The figures themselves are in the tables below."""

_DEVICES = """\
H100s of the NVML double, each allocated to its own pod. The processes ran at the same time as those in "Running" below,
and were measured in the same way. The last row is the slope of a straight line through the rows above it."""

_PODS = """\
Eight H100s of the NVML double, each allocated to a pod, and pods without a device up to the number: the kubelet lists
these too. Otherwise as above."""

_HEADER = ("Series", "CPU per hour", "NVML calls per second", "Resident memory", "Bytes of a scrape")


def tables(costs: Mapping[str, Cost]) -> Iterator[Table]:
    """The ratios, if nvitop-exporter was measured, and the two tables of slopes.

    Args:
        costs: The costs by name.
    """
    ratios = [
        _ratios(costs[ours], costs[theirs])
        for ours, theirs in ((running.PLAIN, running.NVITOP_PLAIN), (running.SLICED, running.NVITOP_SLICED))
        if theirs in costs
    ]
    if ratios:
        header = ("Node", "CPU without scrapes", "CPU of a scrape", "Resident memory", "NVML calls")
        yield Table("Ratios", _RATIOS, header, ratios)
    devices = {number: costs[name] for number, name in running.OF_DEVICES.items()}
    yield Table("Each added device", _DEVICES, ("Devices", *_HEADER), _with_slope(devices))
    pods = {number: costs[name] for number, name in running.OF_PODS.items()}
    yield Table("Each added pod", _PODS, ("Pods", *_HEADER), _with_slope(pods))


def _ratios(ours: Cost, theirs: Cost) -> tuple[str, ...]:
    return (
        ours.name,
        _ratio(ours.cpu_per_hour, theirs.cpu_per_hour),
        _ratio(ours.scrape.cpu_seconds, theirs.scrape.cpu_seconds),
        _ratio(ours.scraped_bytes, theirs.scraped_bytes),
        _ratio(ours.calls_per_second or 0.0, theirs.calls_per_second or 0.0),
    )


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}" if theirs else ""


_FIGURES: Sequence[tuple[Callable[[Cost], float], Callable[[float], str]]] = (
    (lambda cost: cost.series, count),
    (lambda cost: cost.cpu_per_hour, lambda seconds: f"{seconds:.2f} s"),
    (lambda cost: cost.calls_per_second or 0.0, lambda calls: f"{calls:.1f}"),
    (lambda cost: cost.scraped_bytes, lambda size: kilobytes(size) if abs(size) < _MEGABYTE else megabytes(size)),
    (lambda cost: cost.scrape.size, lambda size: kilobytes(round(size, -2) + 0.0)),  # no -0.0
)


def _with_slope(costs: Mapping[int, Cost]) -> list[tuple[str, ...]]:
    rows = [(count(number), *(write(of(cost)) for of, write in _FIGURES)) for number, cost in costs.items()]
    numbers = list(costs)
    slopes = (write(linear_regression(numbers, [of(cost) for cost in costs.values()]).slope) for of, write in _FIGURES)
    return [*rows, ("each added one", *slopes)]
