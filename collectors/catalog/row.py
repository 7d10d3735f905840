"""How rows of the catalogue are written."""

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
    """A row that collectors supply and that ages."""
    return Metric(stem, Kind.GAUGE, unit, text, subjects, labels, cadence)


def counter(
    stem: str,
    unit: Unit,
    text: str,
    subjects: tuple[Subject, ...],
    labels: tuple[Label, ...] = (),
    cadence: Cadence = Cadence.FAST,
) -> Metric:
    """The same, that only rises."""
    return Metric(stem, Kind.COUNTER, unit, text, subjects, labels, cadence)
