"""Short forms for rows of the catalogue."""

from collectors.metric import Cadence, Kind, Label, Metric, MetricSet, Rare, Stability, Subject, Unit

DEVICE = (Subject.DEVICE,)
PARTITION = (Subject.PARTITION,)
BOTH = (Subject.DEVICE, Subject.PARTITION)


def gauge(  # noqa: PLR0913 - one argument for each field of a row
    stem: str,
    unit: Unit,
    text: str,
    subjects: tuple[Subject, ...],
    labels: tuple[Label, ...] = (),
    cadence: Cadence = Cadence.FAST,
    *,
    bounds: tuple[float, float] | None = None,
    metric_set: MetricSet = MetricSet.CORE,
    rare: Rare | None = None,
    stability: Stability = Stability.ALPHA,
) -> Metric:
    """A gauge that collectors supply and that is no longer exported when it is too old."""
    return Metric(
        stem,
        Kind.GAUGE,
        unit,
        text,
        subjects,
        labels,
        cadence,
        bounds=bounds,
        metric_set=metric_set,
        rare=rare,
        stability=stability,
    )


def diagnostic(
    stem: str,
    text: str,
    labels: tuple[Label, ...] = (),
    cadence: Cadence = Cadence.SLOW,
    *,
    kind: Kind = Kind.GAUGE,
    bounds: tuple[float, float] | None = None,
) -> Metric:
    """A count or state of devices in the set `diagnostics`."""
    return Metric(stem, kind, Unit.NONE, text, DEVICE, labels, cadence, bounds=bounds, metric_set=MetricSet.DIAGNOSTICS)


def counter(  # noqa: PLR0913 - same
    stem: str,
    unit: Unit,
    text: str,
    subjects: tuple[Subject, ...],
    labels: tuple[Label, ...] = (),
    cadence: Cadence = Cadence.FAST,
    *,
    most_per_second: float | None = None,
    metric_set: MetricSet = MetricSet.CORE,
    rare: Rare | None = None,
    stability: Stability = Stability.ALPHA,
) -> Metric:
    """A counter that collectors supply and that is no longer exported when it is too old."""
    return Metric(
        stem,
        Kind.COUNTER,
        unit,
        text,
        subjects,
        labels,
        cadence,
        most_per_second=most_per_second,
        metric_set=metric_set,
        rare=rare,
        stability=stability,
    )
