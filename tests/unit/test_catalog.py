"""The rules for names, labels and help of all rows of the catalogue. promtool checks few of them."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from collectors import catalog
from collectors.metric import Kind, Label, Metric, Subject, Unit
from exporter import families

ROWS = (*catalog.ROWS, *families.ROWS)
GOOD = Metric("power_watts", Kind.GAUGE, Unit.WATTS, "Power drawn now.", (Subject.DEVICE,), (Label("kind", ("a",)),))

UNITS = frozenset(unit.value for unit in Unit if unit)
NOT_BASE_UNITS = frozenset(
    {
        "percent",
        "percentage",
        "mhz",
        "ghz",
        "khz",
        "mib",
        "kib",
        "gib",
        "mb",
        "kb",
        "gb",
        "mw",
        "kw",
        "ms",
        "us",
        "ns",
        "milliseconds",
        "microseconds",
        "minutes",
        "hours",
        "millivolts",
        "milliwatts",
        "millijoules",
        "kelvin",
        "fahrenheit",
        "kilobytes",
        "megabytes",
        "bits",
    }
)
# Values come from hardware or Kubernetes.
OPEN_LABELS = frozenset(
    {
        "driver",
        "uuid",
        "index",
        "pci_bus_id",
        "serial",
        "driver_version",
        "firmware_version",
        "architecture",
        "numa_node",
        "gpu_instance_id",
        "compute_instance_id",
        "fan",
        "link",
        "code",
        "pid",
        "name",
        "collector",
        "resource",
        "claim",
        "version",
        "python_version",
    }
)
# Values are listed in the row.
CLOSED_LABELS = frozenset(
    {
        "sensor",
        "limit",
        "domain",
        "engine",
        "pipe",
        "reason",
        "direction",
        "fabric",
        "state",
        "kind",
        "source",
        "class",
        "action",
        "mode",
        "simulated",
        "condition",
        "spare_rows",
        "spare_banks",
        "part",
    }
)
# Prometheus, or the cluster's scrape configuration, gives these to every series.
PERSISTENT = frozenset(
    {"info", "status", "compute_ratio", "allocated", "allocations", "errors_total", "error_last_timestamp_seconds"}
)
SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST_HELP = 199


def name_problems(row: Metric) -> Iterator[str]:
    """The problems of a row's stem, which is the same for each of its subjects."""
    stem = row.stem.removesuffix("_total")
    if not SNAKE.fullmatch(row.stem):
        yield "the name is not snake_case"
    if row.stem.endswith("_total") is not (row.kind is Kind.COUNTER):
        yield "_total is for counters, and every counter has it"
    if (row.stem.split("_")[-1] == "info") is not (row.kind is Kind.INFO):
        yield "info is for info families, and every one has it"
    ends_with = {unit for unit in UNITS if f"_{stem}".endswith(f"_{unit}")}
    if ends_with != ({row.unit.value} if row.unit else set()):
        yield "the name does not end with its unit"
    if NOT_BASE_UNITS & set(row.stem.split("_")):
        yield "the name has a unit that is not a base unit"


def help_problems(row: Metric) -> Iterator[str]:
    """The problems of a row's help."""
    if not row.help.endswith("."):
        yield "the help does not end with a full stop"
    if not (row.help[:1].isupper() or row.help[:1].isdigit()):
        yield "the help does not begin with a capital or a digit"
    if len(row.help) > LONGEST_HELP or "\n" in row.help:
        yield "the help is too long"
    if "_" in row.stem and row.stem in row.help:  # a stem of one word is an English word
        yield "the help repeats the name"


def label_problems(row: Metric) -> Iterator[str]:
    """The problems of a row's own labels."""
    names = [label.name for label in row.labels]
    subject_labels = {name for subject in row.subjects for name in families.SUBJECT_LABELS.get(subject, ())}
    if len(names) != len(set(names)) or subject_labels & set(names):
        yield "a label occurs twice"
    for label in row.labels:
        if not SNAKE.fullmatch(label.name):
            yield f"label {label.name} is not snake_case"
        if label.name in families.SCRAPE_LABELS:
            yield f"label {label.name} belongs to the scrape"
        if label.name not in (CLOSED_LABELS if label.values else OPEN_LABELS):
            yield f"label {label.name} is in neither list, or needs its values listed"
        if len(label.values) != len(set(label.values)):
            yield f"label {label.name} lists a value twice"
        if not all(SNAKE.fullmatch(value) for value in label.values):
            yield f"label {label.name} has a value that is not snake_case"


def problems(row: Metric) -> list[str]:
    """All problems of a row."""
    found = [*name_problems(row), *help_problems(row), *label_problems(row)]
    if row.persistent and row.stem not in PERSISTENT:
        found.append("only identity and state outlive their readings")
    if not row.subjects or len(row.subjects) != len(set(row.subjects)):
        found.append("it needs subjects, each once")
    return found


def test_every_row_follows_the_rules() -> None:
    assert [f"{row.stem}: {problem}" for row in ROWS for problem in problems(row)] == []


def test_no_two_families_have_the_same_name() -> None:
    names = Counter(row.name(subject) for row in ROWS for subject in row.subjects)

    assert [name for name, count in names.items() if count > 1] == []


def test_both_tables_are_checked() -> None:
    assert catalog.POWER in ROWS
    assert families.BUILD_INFO in ROWS


def test_a_good_row_has_no_problem() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (replace(GOOD, stem="Power_watts"), "the name is not snake_case"),
        (replace(GOOD, stem="power_watts_total"), "_total is for counters, and every counter has it"),
        (replace(GOOD, kind=Kind.COUNTER), "_total is for counters, and every counter has it"),
        (replace(GOOD, stem="info", unit=Unit.NONE), "info is for info families, and every one has it"),
        (replace(GOOD, kind=Kind.INFO), "info is for info families, and every one has it"),
        (replace(GOOD, stem="power"), "the name does not end with its unit"),
        (replace(GOOD, unit=Unit.NONE), "the name does not end with its unit"),
        (replace(GOOD, stem="watts_power"), "the name does not end with its unit"),
        (replace(GOOD, stem="clock_mhz", unit=Unit.NONE), "the name has a unit that is not a base unit"),
        (replace(GOOD, stem="percent_ratio", unit=Unit.RATIO), "the name has a unit that is not a base unit"),
        (replace(GOOD, help="Power drawn now"), "the help does not end with a full stop"),
        (replace(GOOD, help="power drawn now."), "the help does not begin with a capital or a digit"),
        (replace(GOOD, help="P" + "o" * 199 + "."), "the help is too long"),
        (replace(GOOD, help="This is power_watts now."), "the help repeats the name"),
        (replace(GOOD, help="This is accelerator_device_power_watts."), "the help repeats the name"),
        (replace(GOOD, labels=(Label("fan"), Label("fan"))), "a label occurs twice"),
        (replace(GOOD, labels=(Label("uuid"),)), "a label occurs twice"),
        (replace(GOOD, labels=(Label("pciBus"),)), "label pciBus is not snake_case"),
        (replace(GOOD, labels=(Label("node"),)), "label node belongs to the scrape"),
        (replace(GOOD, labels=(Label("state"),)), "label state is in neither list, or needs its values listed"),
        (replace(GOOD, labels=(Label("hue", ("red",)),)), "label hue is in neither list, or needs its values listed"),
        (replace(GOOD, labels=(Label("kind", ("a", "a")),)), "label kind lists a value twice"),
        (replace(GOOD, labels=(Label("kind", ("A b",)),)), "label kind has a value that is not snake_case"),
        (replace(GOOD, persistent=True), "only identity and state outlive their readings"),
        (replace(GOOD, subjects=()), "it needs subjects, each once"),
    ],
)
def test_a_bad_row_is_found(row: Metric, problem: str) -> None:
    assert problem in problems(row)


def test_every_row_is_available_by_its_name() -> None:
    """Two modules that give one name to two rows would hide one of them."""
    named = [row for row in vars(catalog).values() if isinstance(row, Metric)]
    assert Counter(named) == Counter(catalog.ROWS)
