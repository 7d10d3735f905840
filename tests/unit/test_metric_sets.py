"""The sets of metrics: what each has, and how many series a node has with the default ones."""

from pathlib import Path

import pytest

from bench.nodes import SIMULATED
from bench.series import by_set, course
from collectors import catalog
from collectors.contract import Sample
from collectors.metric import ALL_SETS, DEFAULT_SETS, Label, Metric, MetricSet, Stability, Subject
from collectors.simulated import load_scenario, shipped_scenarios
from collectors.simulated.parse import parse_scenario
from collectors.vendors import VENDORS
from exporter import families, series
from exporter.series import OwnSample, Shown
from exporter.snapshot import Snapshot
from tests.doubles.collectors import gpu, part

_SECONDS = 20
DEVICE, PARTITION = gpu("gpu-a"), part("gpu-a", "part-a")
_ACTED_ON = (
    catalog.STATUS_STATE,
    catalog.RECOVERY_ACTION,
    catalog.ERRORS,
    catalog.ERROR_LAST_TIMESTAMP,
    catalog.MEMORY_ERRORS,
    catalog.MEMORY_REMAPPED_ROWS,
    catalog.MEMORY_RETIRED_PAGES,
    catalog.MEMORY_REPAIR_PENDING,
    catalog.MEMORY_REPAIR_FAILED,
    catalog.THROTTLE_ACTIVE,
    catalog.INTERCONNECT_LINKS,
    catalog.INTERCONNECT_ERRORS,
    catalog.PCIE_WIDTH,
    catalog.MEMORY_USAGE,
    catalog.MEMORY_LIMIT,
    catalog.POWER,
    catalog.POWER_LIMIT,
    catalog.ENERGY,
    catalog.TEMPERATURE,
    catalog.TEMPERATURE_MARGIN,
    catalog.UTILIZATION,
    catalog.ALLOCATED,
    families.ALLOCATION_INFO,
    families.ALLOCATION_SHARE,
    families.CONTAINER_BUSY_SECONDS,
    families.CONTAINER_MEMORY_USAGE,
)


@pytest.mark.parametrize(
    ("node", "most"), [("1 x H100, 1 pod", 150), ("8 x H100, 8 pods", 700), ("8 x 7 MIG, 56 pods", 1400)]
)
def test_a_node_has_no_more_series_than_its_budget(node: str, most: int) -> None:
    assert max(course(parse_scenario(SIMULATED[node], "test", Path()), _SECONDS)) <= most


@pytest.mark.parametrize("row", _ACTED_ON, ids=lambda row: row.stem)
def test_what_an_operator_acts_on_is_exported_by_default(row: Metric) -> None:
    assert not row.opt_in(row.subjects[0])


def test_stable_families_are_exported_by_default_and_those_of_containers_and_allocations_are_stable() -> None:
    for row in series.ROWS:
        if row.stability is Stability.STABLE:
            assert not row.opt_in(row.subjects[0]), row.stem
        elif not row.opt_in(row.subjects[0]):
            assert not {Subject.CONTAINER, Subject.ALLOCATION} & set(row.subjects), row.stem


@pytest.mark.parametrize(
    ("row", "subject", "own", "expected"),
    [
        (catalog.CLOCK, Subject.DEVICE, {"domain": "core"}, MetricSet.CORE),
        (catalog.CLOCK, Subject.DEVICE, {"domain": "video"}, MetricSet.ENGINES),
        (catalog.PIPE_ACTIVITY, Subject.DEVICE, {"pipe": "tensor"}, MetricSet.ACTIVITY),
        (catalog.PIPE_ACTIVITY, Subject.DEVICE, {"pipe": "fp64"}, MetricSet.PIPES),
        (catalog.PIPE_ACTIVITY, Subject.PARTITION, {"pipe": "tensor"}, MetricSet.PIPES),
        (catalog.INTERCONNECT_BYTES, Subject.DEVICE, {"direction": "receive"}, MetricSet.ACTIVITY),
        (catalog.INTERCONNECT_BYTES, Subject.DEVICE, {"direction": "receive", "link": "0"}, MetricSet.LINKS),
        (catalog.THROTTLE_SECONDS, Subject.DEVICE, {"vendor": "nvidia", "reason": "power"}, MetricSet.DIAGNOSTICS),
        (catalog.THROTTLE_SECONDS, Subject.DEVICE, {"vendor": "amd", "reason": "power"}, MetricSet.HEALTH),
        (catalog.PROCESSES, Subject.DEVICE, {}, MetricSet.CORE),
        (catalog.PROCESSES, Subject.PARTITION, {}, MetricSet.DIAGNOSTICS),
        (families.ALLOCATION_ENERGY, Subject.ALLOCATION, {}, MetricSet.BILLING),
    ],
)
def test_each_series_is_in_one_set(row: Metric, subject: Subject, own: dict[str, str], expected: MetricSet) -> None:
    assert row.set_of(subject, {"uuid": "GPU-0", **own}) is expected


@pytest.mark.parametrize(
    ("row", "subject", "expected"),
    [
        (catalog.POWER, Subject.DEVICE, ("core",)),
        (catalog.PIPE_ACTIVITY, Subject.DEVICE, ("activity", "pipes")),
        (catalog.PIPE_ACTIVITY, Subject.PARTITION, ("pipes",)),
        (catalog.MEMORY_BANDWIDTH, Subject.DEVICE, ("activity",)),
        (catalog.PCIE_THROUGHPUT, Subject.DEVICE, ("activity", "collect.pcie_throughput")),
        (catalog.PROCESS_MEMORY_USAGE, Subject.PROCESS, ("collect.processes",)),
        (families.SCRAPES, Subject.EXPORTER, ()),
    ],
)
def test_a_family_says_what_exports_it(row: Metric, subject: Subject, expected: tuple[str, ...]) -> None:
    assert row.exported_with(subject) == expected


def test_values_that_are_rare_are_values_of_a_label_of_their_series() -> None:
    vendor = Label("vendor", tuple(each.name for each in VENDORS))
    for row in series.ROWS:
        if row.rare is not None and row.rare.label:
            [label] = [each for each in (*row.labels, vendor) if each.name == row.rare.label]
            assert set(row.rare.values) < set(label.values) or (label.optional and not row.rare.values)
        assert row.rare is None or row.rare.metric_set is not row.metric_set


@pytest.mark.parametrize("name", shipped_scenarios())
def test_the_default_sets_of_a_scenario_are_a_part_of_its_series(name: str) -> None:
    numbers = by_set(load_scenario(name))
    assert all(numbers[each] for each in DEFAULT_SETS)
    assert sum(numbers.values()) > sum(numbers[each] for each in DEFAULT_SETS)


def shown(*sets: MetricSet) -> list[tuple[str, str]]:
    """The names of the exported series of a small node, and their partitions."""
    samples = [
        Sample(catalog.UTILIZATION, DEVICE.uuid, 0.5),
        Sample(catalog.MAX_CLOCK, DEVICE.uuid, 1e9, labels=("core",)),
        Sample(catalog.PIPE_ACTIVITY, DEVICE.uuid, 0.5, labels=("sm",)),
        Sample(catalog.PIPE_ACTIVITY, DEVICE.uuid, 0.5, PARTITION.uuid, labels=("sm",)),
    ]
    snapshot = Snapshot({DEVICE.uuid: DEVICE}, {PARTITION.uuid: PARTITION}, tuple(samples))
    own = [OwnSample(families.SCRAPES, 1)]
    found = series.ordered(snapshot, own, Shown(sets=frozenset(sets)))
    return [(each.row.stem, each.labels.get("partition_uuid", "")) for _, each in found]


def test_only_the_series_of_the_chosen_sets_are_exported_and_those_of_the_exporter() -> None:
    assert shown() == [("scrapes_total", "")]
    assert shown(MetricSet.CORE) == [("utilization_ratio", ""), ("scrapes_total", "")]
    assert shown(MetricSet.LIMITS) == [("clock_max_hertz", ""), ("scrapes_total", "")]
    assert shown(MetricSet.ACTIVITY) == [("pipe_activity_ratio", ""), ("scrapes_total", "")]
    assert shown(MetricSet.PIPES) == [("pipe_activity_ratio", PARTITION.uuid), ("scrapes_total", "")]
    assert len(shown(*ALL_SETS)) == 5
