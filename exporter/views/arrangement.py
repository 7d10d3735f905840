"""Fills the table of a view: the series of a snapshot, and how their values follow from the native ones."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from collectors.contract import SubjectKey
from exporter.series import AnySeries, Arrangement, ForeignSeries, Formula, clean
from exporter.snapshot import Holder, Snapshot
from exporter.views.facts import Point, SnapshotFacts
from exporter.views.table import AS_IS, Entity, NumberOfHighest, Quotient, Row, Scale, Term


@dataclass(frozen=True, slots=True)
class Scaled:
    """A value times a factor.

    Attributes:
        scale: The factor.
        position: The position of the value.
    """

    scale: Scale
    position: int


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of several values, less others, times a factor.

    Attributes:
        scale: The factor.
        added: The positions of the values.
        subtracted: Those of the others.
    """

    scale: Scale
    added: tuple[int, ...]
    subtracted: tuple[int, ...]

    def __call__(self, values: Sequence[float]) -> float:
        """Compute it."""
        total = 0.0
        for position in self.added:
            total += values[position]
        for position in self.subtracted:
            total -= values[position]
        return self.scale.foreign(total)


@dataclass(frozen=True, slots=True)
class Highest:
    """The number that belongs to the highest of several values; of equal ones, the highest number.

    Attributes:
        numbers: A number for each value.
        positions: The positions of the values.
    """

    numbers: tuple[int, ...]
    positions: tuple[int, ...]

    def __call__(self, values: Sequence[float]) -> float:
        """Compute it."""
        return max((values[place], number) for place, number in zip(self.positions, self.numbers, strict=True))[1]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A value divided by another.

    Attributes:
        dividend: The position of the value.
        divisor: That of the other.
    """

    dividend: int
    divisor: int

    def __call__(self, values: Sequence[float]) -> float:
        """Compute it."""
        whole = values[self.divisor]
        return values[self.dividend] / whole if whole else 0.0


# A formula that is computed by itself.
Computed: TypeAlias = Sum | Highest | Ratio
# A formula, or the position of a value that stays as it is.
Source: TypeAlias = Scaled | Computed | int


@dataclass(frozen=True, slots=True)
class TableView:
    """A view that is a table.

    Attributes:
        rows: The table.
        entities: Yields what is described.
    """

    rows: tuple[Row, ...]
    entities: Callable[[SnapshotFacts], Iterable[Entity]]

    def arrange(self, snapshot: Snapshot, first: int) -> Arrangement:
        """The series of a snapshot, see `exporter.series.View`."""
        facts = SnapshotFacts(snapshot)
        entities = [
            each._replace(labels=_clean(each.labels), holder=_clean(each.holder)) for each in self.entities(facts)
        ]
        families = dict.fromkeys(row.family.name for row in self.rows)
        found: dict[str, dict[Sequence[tuple[str, str]], tuple[ForeignSeries, Source]]]
        found = {name: {} for name in families}
        for row in self.rows:
            of_family = found[row.family.name]
            for entity in entities:
                if entity.subject in row.subjects and (not row.vendors or entity.vendor in row.vendors):
                    for labels, formula in _filled(row, entity, facts):
                        series = ForeignSeries(row.family, labels)
                        of_family.setdefault(series.written_labels, (series, formula))
        return _placed([each for of_family in found.values() for each in of_family.values()], first)


def _clean(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that have a value, as text that UTF-8 can encode."""
    return {name: clean(value) for name, value in labels.items() if value}


def _placed(found: Sequence[tuple[ForeignSeries, Source]], first: int) -> Arrangement:
    """Each formula once, and the position of each value."""
    series: list[AnySeries] = [each for each, _ in found]
    formulas = dict.fromkeys(source for _, source in found if not isinstance(source, int))
    scaled: dict[Scale, list[Scaled]] = {}
    others: list[Computed] = []
    for formula in formulas:
        if isinstance(formula, Scaled):
            scaled.setdefault(formula.scale, []).append(formula)
        else:
            others.append(formula)
    in_order: list[Scaled | Computed] = [*(formula for group in scaled.values() for formula in group), *others]
    places = {formula: first + place for place, formula in enumerate(in_order)}
    positions = [source if isinstance(source, int) else places[source] for _, source in found]
    batches: list[Formula] = [_batch(scale, [each.position for each in group]) for scale, group in scaled.items()]
    return Arrangement(series, positions, [*batches, *map(_single, others)])


def _batch(scale: Scale, positions: Sequence[int]) -> Formula:
    """Many values with one factor, which is much faster than each by itself."""

    def compute(values: Sequence[float]) -> list[float]:
        return scale.foreign_of(map(values.__getitem__, positions))

    return compute


def _single(formula: Computed) -> Formula:
    def compute(values: Sequence[float]) -> list[float]:
        return [formula(values)]

    return compute


def _filled(row: Row, entity: Entity, facts: SnapshotFacts) -> Iterator[tuple[dict[str, str], Source]]:
    """The series of one row about one thing: labels, and a formula or the position of a value that is the same."""
    first, *others = row.terms
    terms = [(term.negative, _matching(term, entity, facts)) for term in others]
    if not all(points for _, points in terms):
        return
    groups: dict[tuple[tuple[str, str], ...], list[Point]] = {}
    for point in _usable(row, _matching(first, entity, facts)):
        labels = _own_labels(row, point)
        if labels is not None:
            groups.setdefault(labels, []).append(point)
    of_all = {**entity.labels, **entity.holder} if row.of_holder else entity.labels
    for labels, points in groups.items():
        source = _source(row, [(first.negative, points), *terms])
        yield {**of_all, **row.fixed, **dict(labels)}, source


def _matching(term: Term, entity: Entity, facts: SnapshotFacts) -> Sequence[Point]:
    key = _device_of(entity) if term.of_device else entity.key
    points = facts.points(term.metric, key)
    if not term.where:
        return points
    names = [label.name for label in term.metric.labels]
    wanted = [(names.index(name), value) for name, value in term.where.items()]
    return [point for point in points if all(point.labels[place] == value for place, value in wanted)]


def _usable(row: Row, points: Sequence[Point]) -> Sequence[Point]:
    """Without the samples that have no number where one is needed: a collector may have codes of another kind."""
    if not isinstance(row.value, NumberOfHighest):
        return points
    wanted = row.value
    return [point for point in points if _text(row, wanted, point).isdecimal()]


def _text(row: Row, wanted: NumberOfHighest, point: Point) -> str:
    """The value of the label that has the number."""
    return point.labels[[label.name for label in row.terms[0].metric.labels].index(wanted.label)]


def _device_of(entity: Entity) -> SubjectKey:
    subject = entity.key.subject if isinstance(entity.key, Holder) else entity.key
    return SubjectKey(subject.device_uuid)


def _own_labels(row: Row, point: Point) -> tuple[tuple[str, str], ...] | None:
    """The labels that a sample gives its series; None if it has none there."""
    named = dict(zip((label.name for label in row.terms[0].metric.labels), point.labels, strict=True))
    found = []
    for name, own in row.labels.items():
        value = own.values.get(named[own.name], "") if own.values else named[own.name]
        if own.values and not value:
            return None
        if value:
            found.append((name, clean(value)))
    return tuple(found)


def _source(row: Row, terms: Sequence[tuple[bool, Sequence[Point]]]) -> Source:
    added = tuple(point.position for negative, points in terms if not negative for point in points)
    subtracted = tuple(point.position for negative, points in terms if negative for point in points)
    if isinstance(row.value, NumberOfHighest):
        return Highest(tuple(int(_text(row, row.value, point)) for _, points in terms for point in points), added)
    if isinstance(row.value, Quotient):
        return Ratio(*added)
    if len(added) > 1 or subtracted:
        return Sum(row.value, added, subtracted)
    return added[0] if row.value == AS_IS else Scaled(row.value, added[0])
