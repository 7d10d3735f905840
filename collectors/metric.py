"""The type of a catalogue row: the definition of one metric family."""

from collections.abc import Mapping
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


class MetricSet(StrEnum):
    """A named part of the series, which the option `metrics.sets` exports or leaves out."""

    CORE = "core"
    HEALTH = "health"
    ACTIVITY = "activity"
    LIMITS = "limits"
    ENGINES = "engines"
    PIPES = "pipes"
    LINKS = "links"
    DIAGNOSTICS = "diagnostics"
    BILLING = "billing"


DEFAULT_SETS = frozenset({MetricSet.CORE, MetricSet.HEALTH, MetricSet.ACTIVITY})
ALL_SETS = frozenset(MetricSet)


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
class Rare:
    """The series of a row that belong to another set than its other series.

    Attributes:
        metric_set: Their set.
        label: The name of the label that distinguishes them, one of the row's own or `vendor`; empty if none does.
        values: The values of this label that they have; empty for every value that is not empty.
        of_partitions: Whether all series of partitions are among them.
    """

    metric_set: MetricSet
    label: str = ""
    values: tuple[str, ...] = ()
    of_partitions: bool = False

    def includes(self, subject: Subject, labels: Mapping[str, str]) -> bool:
        """Whether a series is one of them.

        Args:
            subject: Its subject.
            labels: Its labels, at least those of the row and the vendor.
        """
        if self.of_partitions and subject is Subject.PARTITION:
            return True
        value = labels.get(self.label, "")
        return value in self.values if self.values else bool(value)


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
        metric_set: The set that its series belong to.
        rare: Which of its series belong to another set; None if none do.
        option: The option that must be on too, because it needs a right or costs the device time; empty if none.
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
    metric_set: MetricSet = MetricSet.CORE
    rare: Rare | None = None
    option: str = ""
    bounds: tuple[float, float] | None = None
    most_per_second: float | None = None
    stability: Stability = Stability.ALPHA

    def __hash__(self) -> int:
        """The hash of the stem only: rows are keys in every poll, and few of them have the same stem."""
        return hash(self.stem)

    def opt_in(self, subject: Subject) -> bool:
        """Whether its family for one subject is not exported by default."""
        return bool(self.option) or self.metric_set_of(subject) not in DEFAULT_SETS

    def metric_set_of(self, subject: Subject) -> MetricSet:
        """The set of its family for one subject, where its labels do not decide otherwise."""
        return self.set_of(subject, {})

    def set_of(self, subject: Subject, labels: Mapping[str, str]) -> MetricSet:
        """The set of one of its series.

        Args:
            subject: The subject of the series.
            labels: Its labels, at least those of the row and the vendor.
        """
        return self.rare.metric_set if self.rare and self.rare.includes(subject, labels) else self.metric_set

    def exported_with(self, subject: Subject) -> tuple[str, ...]:
        """The names of the sets of its series for one subject, and of the option that must be on too.

        Empty for what is always exported.
        """
        sets = [] if self.origin is Origin.EXPORTER else [self.metric_set_of(subject)]
        if self.rare and self.rare.label and self.rare.metric_set not in sets:
            sets.append(self.rare.metric_set)
        return (*(each.value for each in sets), *([self.option] if self.option else []))

    def name(self, subject: Subject) -> str:
        """The full name of this metric's family for one subject, as exported."""
        return f"{subject.value}_{self.stem}"
