"""The type of a catalogue row: what one metric family is, before anybody measures or prints it."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The family's type in OpenMetrics; text format 0.0.4 prints an info as a gauge of 1."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"


class Unit(StrEnum):
    """Base units, spelled as they end a metric's name. NONE is for counts, states and generations."""

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
    """What a series is about; the value is the prefix of its name."""

    DEVICE = "accelerator_device"
    PARTITION = "accelerator_partition"
    CONTAINER = "accelerator_container"
    ALLOCATION = "accelerator_allocation"
    POD = "accelerator_pod"
    PROCESS = "accelerator_process"
    EXPORTER = "accelerator_exporter"
    OWN_PROCESS = "process"


class Cadence(StrEnum):
    """How often a reading is renewed; the intervals are configured."""

    FAST = "fast"
    MEDIUM = "medium"
    SLOW = "slow"


class Origin(StrEnum):
    """Who supplies the samples of a row."""

    COLLECTOR = "collector"
    ACCOUNTING = "accounting"
    ATTRIBUTION = "attribution"
    EXPORTER = "exporter"


class Stability(StrEnum):
    """STABLE names and labels change only with a major version; ALPHA ones may change with any."""

    ALPHA = "alpha"
    STABLE = "stable"


@dataclass(frozen=True, slots=True)
class Label:
    """A label of one family.

    Attributes:
        name: The label's name, snake_case.
        values: The closed list of its values; empty where values come from hardware or Kubernetes.
        optional: True where it may be empty, and is then left out of the exposition.
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
        subjects: The subjects that can have it; each gives a family of its own.
        labels: Its own labels, beside those of the subject.
        cadence: How often it is read.
        origin: Who supplies it.
        persistent: True for identity, state and the record of events, which do not age out when readings stop.
        opt_in: True where it costs so many series that it is off unless asked for.
        stability: What its users may rely on.
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
    stability: Stability = Stability.ALPHA

    def __hash__(self) -> int:
        """By its stem alone: rows are keys in every poll, and few of them share one."""
        return hash(self.stem)

    def name(self, subject: Subject) -> str:
        """The full name of this metric's family for one subject, as it is scraped."""
        return f"{subject.value}_{self.stem}"
