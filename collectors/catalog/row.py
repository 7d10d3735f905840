"""Short forms for rows of the catalogue."""

from collectors.metric import Cadence, Kind, Label, Metric, Subject, Unit

DEVICE = (Subject.DEVICE,)
PARTITION = (Subject.PARTITION,)
BOTH = (Subject.DEVICE, Subject.PARTITION)


def gauge(
    stem: str,
    unit: Unit,
    text: str,
    subjects: tuple[Subject, ...],
    labels: tuple[Label, ...] = (),
    cadence: Cadence = Cadence.FAST,
) -> Metric:
    """A gauge that collectors supply and that is no longer exported when it is too old."""
    return Metric(stem, Kind.GAUGE, unit, text, subjects, labels, cadence)


def counter(
    stem: str,
    unit: Unit,
    text: str,
    subjects: tuple[Subject, ...],
    labels: tuple[Label, ...] = (),
    cadence: Cadence = Cadence.FAST,
) -> Metric:
    """A counter that collectors supply and that is no longer exported when it is too old."""
    return Metric(stem, Kind.COUNTER, unit, text, subjects, labels, cadence)
