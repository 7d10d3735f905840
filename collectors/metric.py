"""The type of a catalogue row: the definition of one metric family."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The family's type in OpenMetrics; text format 0.0.4 prints an info as a gauge of 1."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"


class Unit(StrEnum):
    """Base units, spelled as at the end of a metric name. NONE is for counts, states and generations."""

    NONE = ""
    RATIO = "ratio"
    SECONDS = "seconds"
    BYTES = "bytes"
    WATTS = "watts"
    JOULES = "joules"
    CELSIUS = "celsius"
    HERTZ = "hertz"
    BYTES_PER_SECOND = "bytes_per_second"


class Subject(StrEnum):
    """What a series describes. The value is the prefix of its name."""

    DEVICE = "accelerator_device"
    PARTITION = "accelerator_partition"
    CONTAINER = "accelerator_container"
    ALLOCATION = "accelerator_allocation"
    POD = "accelerator_pod"
    PROCESS = "accelerator_process"
    EXPORTER = "accelerator_exporter"
    OWN_PROCESS = "process"


class Cadence(StrEnum):
    """How often a reading is updated. The intervals are configured."""

    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"


class Origin(StrEnum):
    """The part of the program that supplies the samples of a row."""

    COLLECTOR = "collector"
    ACCOUNTING = "accounting"
    ATTRIBUTION = "attribution"
    EXPORTER = "exporter"


class Stability(StrEnum):
    """STABLE names and labels change only in a major version; ALPHA ones may change in any version."""

    ALPHA = "alpha"
    STABLE = "stable"


@dataclass(frozen=True, slots=True)
class Label:
    """A label of one family.

    Attributes:
        name: The label's name, snake_case.
        values: The closed list of its values; empty if values come from hardware or Kubernetes.
        optional: True if its value may be empty. The label is then omitted from the exposition.
    """

    name: str
    values: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family for each of its subjects.

    Attributes:
        stem: The name after the subject's prefix, with unit and `_total` or `_info`.
        kind: Gauge, counter or info.
        unit: The base unit that ends the stem.
        help: One or two sentences for people.
        subjects: The subjects for which it exists, one family for each.
        labels: Its own labels, in addition to those of the subject.
        cadence: How often it is read.
        origin: The part of the program that supplies it.
        persistent: True for identity, state and counts of events, which are also exported of a lost device; identity
            and counts still when readings stop, the state until it is too old.
        opt_in: True if it is off by default because of the number of series or the cost of the reading.
        bounds: The lowest and highest possible value; None: those of its unit, see `collectors/catalog/bounds.py`.
        most_per_second: The most by which a counter of hardware can rise in a second; None without a physical rate.
        stability: When its name and labels may change.
    """

    stem: str
    kind: Kind
    unit: Unit
    help: str
    subjects: tuple[Subject, ...]
    labels: tuple[Label, ...] = ()
    cadence: Cadence = Cadence.FAST
    origin: Origin = Origin.COLLECTOR
    persistent: bool = False
    opt_in: bool = False
    bounds: tuple[float, float] | None = None
    most_per_second: float | None = None
    stability: Stability = Stability.ALPHA

    def __hash__(self) -> int:
        """The hash of the stem only: rows are keys in every poll, and few of them have the same stem."""
        return hash(self.stem)

    def name(self, subject: Subject) -> str:
        """The full name of this metric's family for one subject, as exported."""
        return f"{subject.value}_{self.stem}"
