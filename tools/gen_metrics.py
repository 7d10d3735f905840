"""Generates docs/metrics.md from the catalogue, the installed collectors and the worked queries.

`python tools/gen_metrics.py` writes the file. With `--check` it writes nothing, and the exit code is 1 if the file is
out of date.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from bench.nodes import cpx, sliced, whole
from bench.series import by_set
from collectors import catalog, registry
from collectors.contract import CollectorSpec
from collectors.metric import DEFAULT_SETS, Label, Metric, MetricSet, Origin, Rare, Subject, Unit
from collectors.simulated.parse import parse_scenario
from exporter import families
from exporter.configuration.settings import OPTIONS
from tools import metrics_text as text
from tools.queries import QUERIES, Query

_ROOT = Path(__file__).resolve().parent.parent
_DOCUMENT = Path("docs/metrics.md")
_ROWS = (*catalog.ROWS, *families.ROWS)

# Other subjects have no cadence: they are computed at every scrape, or updated with another family.
_WITH_CADENCE = frozenset({Subject.DEVICE, Subject.PARTITION, Subject.PROCESS})
_INTERVALS = {
    "fast": "poll.fast_interval",
    "medium": "poll.medium_interval",
    "slow": "poll.slow_interval",
    "kubelet": "kubelet.interval",
}
_OWN_WORDS = {Origin.ACCOUNTING: "accounting", Origin.ATTRIBUTION: "kubelet", Origin.EXPORTER: "exporter"}
NOT_SUPPLIED = "not yet supplied"


def document(specs: Sequence[CollectorSpec]) -> str:
    """The whole of docs/metrics.md.

    Args:
        specs: The collectors, for the column "Supplied by".
    """
    subjects = [subject for subject in text.SECTIONS if any(subject in row.subjects for row in _ROWS)]
    parts = chain(
        (text.HEAD, _contents(subjects), text.READING.format(persistent=_persistent()), text.COLUMNS, _cadences()),
        (text.SETS, _sets(), text.RARE, _rare()),
        *(_section(subject, specs) for subject in subjects),
        (text.VALUES, _label_values()),
        (text.QUERIES,),
        map(_query, QUERIES),
    )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _contents(subjects: Iterable[Subject]) -> str:
    titles = (
        "How to read them",
        "Sets",
        *(text.SECTIONS[subject].title for subject in subjects),
        "Label values",
        "Queries",
    )
    return "\n".join(f"- [{title}](#{_anchor(title)})" for title in titles)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-").replace("'", "")


def _persistent() -> str:
    rows = (row for row in _ROWS if row.persistent and row is not catalog.STATUS_STATE)
    names = (row.name(subject) for row in rows for subject in row.subjects)
    return "\n".join(f"  - {_code(name)}" for name in names)


def _cadences() -> str:
    defaults = {option.key: option.default for option in OPTIONS}
    rows = ((name, f"`{key}`", defaults[key]) for name, key in _INTERVALS.items())
    return _table(("Cadence", "Option", "Default"), rows)


def _section(subject: Subject, specs: Sequence[CollectorSpec]) -> Iterable[str]:
    """The heading, the introduction, the labels of every series, and the table of one subject."""
    section = text.SECTIONS[subject]
    yield f"## {section.title}\n\n{section.about}"
    labels = families.SUBJECT_LABELS[subject]
    if labels:
        yield f"Labels of every series: {', '.join(map(_code, labels))}.{section.labels_note}"
    cadence = ("Cadence",) if subject in _WITH_CADENCE else ()
    header = ("Metric", "Type", "Unit", "Own labels", *cadence, "Set", "Stability", "Supplied by", "Help")
    yield _table(header, (_row(row, subject, specs) for row in _ROWS if subject in row.subjects))


def _row(row: Metric, subject: Subject, specs: Sequence[CollectorSpec]) -> tuple[str, ...]:
    return (
        _code(row.name(subject)) + (" (opt-in)" if row.opt_in(subject) else ""),
        row.kind.value,
        row.unit.value if row.unit is not Unit.NONE else "",
        "<br>".join(map(_label, row.labels)),
        *((_cadence(row),) if subject in _WITH_CADENCE else ()),
        _set(row, subject),
        row.stability.value,
        _supplied_by(row, subject, specs),
        row.help,
    )


def _set(row: Metric, subject: Subject) -> str:
    """The sets, and the option that it needs too; nothing for the families that are always exported."""
    return "<br>".join(_code(name) if name == row.option else name for name in row.exported_with(subject))


def _sets() -> str:
    """The sets, with the number of series that each adds to a node of one device."""
    nodes = {
        "H100": by_set(parse_scenario(whole(1), "docs", Path())),
        "H100 in 7": by_set(parse_scenario(sliced(1), "docs", Path())),
        "MI300X in 8": by_set(parse_scenario(cpx(1), "docs", Path())),
    }
    header = ("Set", "Default", "What", *nodes, "Cost")
    rows = (
        (
            _code(each.value),
            "yes" if each in DEFAULT_SETS else "",
            text.ABOUT_SETS[each].what,
            *(str(numbers[each]) for numbers in nodes.values()),
            text.ABOUT_SETS[each].cost,
        )
        for each in MetricSet
    )
    return _table(header, rows)


def _rare() -> str:
    """The series that are in another set than the others of their family."""
    rows = (
        (row.rare.metric_set.value, _code(row.name(subject)), _which(row.rare), row.metric_set.value)
        for row in _ROWS
        for subject in row.subjects
        if row.rare is not None and row.metric_set_of(subject) is row.metric_set
        if row.rare.label
    )
    return _table(("Set", "Metric", "Its series of this set", "Set of its other series"), rows)


def _which(rare: Rare) -> str:
    values = ", ".join(rare.values) or "of a single link, in place of the sum"
    return f"{_code(rare.label)}: {values}"


def _label(label: Label) -> str:
    return f"`{label.name}`: {', '.join(label.values)}" if label.values else _code(label.name)


def _cadence(row: Metric) -> str:
    return "kubelet" if row.origin is Origin.ATTRIBUTION else row.cadence.value


def _supplied_by(row: Metric, subject: Subject, specs: Sequence[CollectorSpec]) -> str:
    if row.origin is not Origin.COLLECTOR:
        return _OWN_WORDS[row.origin]
    of_partitions = subject is Subject.PARTITION
    names = sorted(spec.name for spec in specs if row in (spec.partition_metrics if of_partitions else spec.metrics))
    return ", ".join(names) or f"**{NOT_SUPPLIED}**"


def _label_values() -> str:
    """Every closed list once, with the families that use it."""
    users: dict[Label, list[str]] = {}
    for row in _ROWS:
        for label in row.labels:
            if label.values:
                users.setdefault(label, []).extend(_code(row.name(subject)) for subject in row.subjects)
    rows = (
        (_code(label.name), ", ".join(label.values), ", ".join(users[label])) for label in sorted(users, key=_order)
    )
    return _table(("Label", "Values", "Families"), rows)


def _order(label: Label) -> tuple[str, tuple[str, ...]]:
    return label.name, label.values


def _query(query: Query) -> str:
    return f"### {query.name}\n\n```promql\n{query.expr}\n```\n\n{query.explanation}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (header, ["---"] * len(header), *rows)
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(content: str) -> str:
    return content.replace("|", "\\|")


def _code(name: str) -> str:
    return f"`{name}`"


def main(arguments: Sequence[str], root: Path = _ROOT) -> int:
    """Generate or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    path = root / _DOCUMENT
    fresh = document(registry.load())
    if not parser.parse_args(arguments).check:
        path.write_text(fresh, encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == fresh:
        return 0
    print(f"{_DOCUMENT} is out of date: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
