import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Node, Reading, Sample, UnavailableError
from collectors.metric import Cadence, Kind, Metric, Origin, Subject, Unit
from collectors.simulated import diagnostic_rows, load_scenario, shipped_scenarios, simulated_spec
from collectors.simulated.collector import supplied_by
from collectors.simulated.profile import Profile
from collectors.simulated.profiles import PROFILES
from collectors.sysfs import Root
from tests.doubles.options import DIAGNOSED, EVERY_SET, USUAL
from tests.doubles.simulated_node import ALL, EPOCH, SimulatedNode, samples, scenario, values

# Before and after every incident of the shipped scenarios, within seconds and after a cycle.
MOMENTS = (0, 1, 2.5, 19, 20, 46, 99, 101.25, 119, 121, 299.5, 300, 301, 421, 470, 900.5, 930)


def series(reading: Reading) -> dict[tuple[str, str, str, tuple[str, ...]], Sample]:
    return {(s.metric.stem, s.device_uuid, s.partition_uuid, s.labels): s for s in reading.samples}


def played(name: str, moments: tuple[float, ...] = MOMENTS) -> list[tuple[float, Reading]]:
    node = SimulatedNode(load_scenario(name))
    readings = []
    for moment in moments:
        try:
            readings.append((moment, node.read(moment)))
        except UnavailableError:
            assert name == "failing"
    return readings


@pytest.mark.parametrize("name", shipped_scenarios())
def test_the_same_scenario_node_and_time_give_the_same_readings(name: str) -> None:
    assert played(name, (0, 7.5, 61)) == played(name, (0, 7.5, 61))


@pytest.mark.parametrize("name", shipped_scenarios())
def test_a_reading_depends_on_its_time_and_not_on_earlier_readings(name: str) -> None:
    node = SimulatedNode(load_scenario(name))
    for moment in (0.0, 0.25, 3, 41.5, 77):
        before = node.read(moment)
    late = SimulatedNode(load_scenario(name)).read(77)
    assert before == late
    assert node.read(60) == late  # the hardware does not go back with the clock


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_sample_is_of_a_declared_row_with_exactly_its_labels(name: str) -> None:
    spec = simulated_spec(load_scenario(name), SimulatedNode(load_scenario(name)).clock)
    for _, reading in played(name):
        assert len(series(reading)) == len(reading.samples) > 0
        for sample in reading.samples:
            assert sample.metric in (spec.partition_metrics if sample.partition_uuid else spec.metrics)
            subject = Subject.PARTITION if sample.partition_uuid else Subject.DEVICE
            assert subject in sample.metric.subjects
            assert len(sample.labels) == len(sample.metric.labels)
            for label, value in zip(sample.metric.labels, sample.labels, strict=True):
                assert value or label.optional or sample.metric.kind is Kind.INFO
                assert not label.values or not value or value in label.values


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_value_is_finite_and_in_range(name: str) -> None:
    for moment, reading in played(name):
        limits = {
            (s.device_uuid, s.partition_uuid): s.value for s in reading.samples if s.metric is catalog.MEMORY_LIMIT
        }
        for sample in reading.samples:
            assert math.isfinite(sample.value)
            assert sample.value >= 0
            if sample.metric.unit is Unit.RATIO:
                assert sample.value <= 1
            if sample.metric is catalog.MEMORY_USAGE:
                assert sample.value <= limits[sample.device_uuid, sample.partition_uuid]
            if sample.metric is catalog.TEMPERATURE:
                assert 20 <= sample.value < 100
            if sample.metric is catalog.ERROR_LAST_TIMESTAMP:
                assert EPOCH <= sample.value <= EPOCH + moment


@pytest.mark.parametrize("name", shipped_scenarios())
def test_counters_only_fall_when_the_driver_is_reloaded(name: str) -> None:
    reloads = [i.since for i in load_scenario(name).incidents if i.trouble == "driver_reload"]
    fallen = set()
    for (before, earlier), (after, later) in pairwise(played(name)):
        was, now = series(earlier), series(later)
        for key in was.keys() & now.keys():
            if was[key].metric.kind is Kind.COUNTER and now[key].value < was[key].value:
                assert any(before < at <= after for at in reloads)
                fallen.add(key[0])
    assert ("energy_joules_total" in fallen) == bool(reloads)
    assert not fallen & {"errors_total", "memory_lifetime_errors_total"}


@pytest.mark.parametrize("name", shipped_scenarios())
def test_states_have_one_active_value(name: str) -> None:
    for _, reading in played(name):
        totals: defaultdict[tuple[Metric, str], float] = defaultdict(float)
        for sample in reading.samples:
            if sample.metric in (catalog.STATUS_STATE, catalog.RECOVERY_ACTION, catalog.FABRIC_STATUS):
                totals[sample.metric, sample.device_uuid] += sample.value
        assert set(totals.values()) == {1.0}
        read = {
            d.uuid for d, plan in zip(reading.devices, load_scenario(name).devices, strict=True) if not plan.passthrough
        }
        assert {uuid for metric, uuid in totals if metric is catalog.STATUS_STATE} == read


@pytest.mark.parametrize("cadence", Cadence)
def test_only_what_is_due_is_read(cadence: Cadence) -> None:
    node = SimulatedNode(load_scenario("inference"))
    reading = node.read(5, frozenset({cadence}))
    assert {sample.metric.cadence for sample in reading.samples} == {cadence}
    assert bool(reading.processes) == (cadence is Cadence.MEDIUM)
    assert len(reading.devices) == len(reading.partitions) == 4


def test_the_profiles_together_have_every_row_that_a_collector_reads_by_default() -> None:
    newest = {catalog.PIPE_ACTIVE_CYCLES, catalog.PIPE_ELAPSED_CYCLES}  # from a driver that no profile has yet
    of_set = {row for row in vars(catalog.diagnostics).values() if isinstance(row, Metric)}
    read = {row for row in catalog.ROWS if row.origin is Origin.COLLECTOR and not row.option} - newest - of_set
    played = frozenset().union(*(p.whole | p.partitioned | p.partition for p in PROFILES))
    assert played - of_set == read


@pytest.mark.parametrize("name", shipped_scenarios())
def test_families_for_diagnosis_are_read_only_if_asked_for(name: str) -> None:
    usual, more = (SimulatedNode(load_scenario(name), options=options).read(5) for options in (USUAL, DIAGNOSED))
    asked_for = set(diagnostic_rows.ROWS) | (set() if "mi300x" in name else {catalog.THROTTLE_SECONDS})
    assert [s for s in more.samples if s.metric not in asked_for] == list(usual.samples)
    assert [gap for gap in usual.unsupported if gap.metric in diagnostic_rows.ROWS] == []
    assert ("mi300x" in name) != any(sample.metric in asked_for for sample in more.samples)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_device_has_every_family_of_its_profile_and_reports_the_others_as_unsupported(profile: Profile) -> None:
    slices = "  partitions:\n  - {profile: half, count: 2, memory: 9GiB, compute: 0.5}\n"
    for text in ("", slices) if profile.partition else ("",):
        two = scenario(f"devices:\n- profile: {profile.name}\n{text}- profile: h100\n")
        node = SimulatedNode(two, options=EVERY_SET)
        reading = node.read(1)
        asked = supplied_by(node.collector._scenario)
        subjects = [("", Subject.DEVICE)] + [(part.uuid, Subject.PARTITION) for part in reading.partitions]
        for partition, subject in subjects:
            given = {
                s.metric
                for s in reading.samples
                if (s.device_uuid, s.partition_uuid) == (reading.devices[0].uuid, partition)
            }
            missing = {
                gap.metric
                for gap in reading.unsupported
                if (gap.device_uuid, gap.partition_uuid) == (reading.devices[0].uuid, partition)
            }
            possible = {row for row in asked if subject in row.subjects} - {catalog.ERROR_LAST_TIMESTAMP}
            assert not given & missing
            assert possible <= given | missing


def test_utilization_memory_and_processes_follow_the_pods() -> None:
    node = SimulatedNode(
        scenario(
            "devices: [{profile: l40s}]\npods:\n- namespace: a\n  name: b\n  from: 10\n  until: 20\n"
            "  containers: [{name: c, devices: [0], load: 0.5, memory_ratio: 0.5, processes: 3}]\n"
        )
    )
    before, during, after = node.read(9), node.read(15), node.read(20)
    assert [values(r, catalog.UTILIZATION) for r in (before, during, after)] == [[0.0], [0.5], [0.0]]
    assert [values(r, catalog.PROCESSES) for r in (before, during, after)] == [[0], [3], [0]]
    assert values(before, catalog.MEMORY_USAGE) == values(after, catalog.MEMORY_USAGE) == [0]
    (used,) = values(during, catalog.MEMORY_USAGE)
    assert used == pytest.approx(0.475 * 47.5 * 2**30, rel=0.01)
    assert len({process.pid for process in during.processes}) == 3
    assert sum(p.utilization_ratio or 0 for p in during.processes) == pytest.approx(0.5)
    assert sum(p.memory_usage_bytes or 0 for p in during.processes) == pytest.approx(used, rel=0.001)
    assert not before.processes
    assert values(during, catalog.CLOCK, 0, "core")[0] > values(before, catalog.CLOCK, 0, "core")[0]
    assert values(during, catalog.POWER)[0] > values(before, catalog.POWER)[0]
    assert values(during, catalog.TEMPERATURE)[0] > values(before, catalog.TEMPERATURE)[0]


def test_the_loads_on_a_device_add_up_to_at_most_1() -> None:
    text = "devices: [{profile: l40s, load: 0.7, memory_ratio: 0.7, processes: 1}]\npods:\n" + "".join(
        f"- {{namespace: a, name: b{n}, containers: [{{name: c, devices: [0], replica: {n}, load: 0.7}}]}}\n"
        for n in (1, 2)
    )
    reading = SimulatedNode(scenario(text)).read(1)
    assert values(reading, catalog.UTILIZATION) == [1.0]
    assert sum(p.utilization_ratio or 0 for p in reading.processes) == pytest.approx(1.0)
    assert values(reading, catalog.MEMORY_USAGE)[0] < values(reading, catalog.MEMORY_LIMIT)[0]


def test_the_utilization_of_a_device_is_the_weighted_sum_of_its_partitions() -> None:
    text = (
        "devices:\n- profile: mi300x\n  partitions:\n"
        "  - {profile: a, memory: 24GiB, compute: 1/4, load: 1, memory_ratio: 0.5, processes: 1}\n"
        "  - {profile: b, memory: 24GiB, compute: 1/2, load: 0.5, processes: 2}\n"
    )
    reading = SimulatedNode(scenario(text)).read(1)
    by_partition = {s.partition_uuid: s.value for s in reading.samples if s.metric is catalog.UTILIZATION}
    assert [by_partition[part.uuid] for part in reading.partitions] == [1.0, 0.5]
    assert values(reading, catalog.UTILIZATION) == [0.5]
    assert values(reading, catalog.PROCESSES) == [3]
    assert values(reading, catalog.PARTITIONS) == [2]
    assert [p.partition_uuid for p in reading.processes] == [reading.partitions[i].uuid for i in (0, 1, 1)]


def test_with_repeat_loads_and_pods_start_again_and_counters_continue() -> None:
    node = SimulatedNode(
        scenario(
            "repeat: 60\ndevices: [{profile: h100}]\npods:\n- namespace: a\n  name: b\n  until: 30\n"
            "  containers: [{name: c, devices: [0], load: {shape: square, low: 0, high: 1, period: 20}}]\n"
        )
    )
    readings = [node.read(second) for second in (5, 15, 35, 65, 75, 95)]
    assert [values(r, catalog.UTILIZATION)[0] for r in readings] == [1, 0, 0, 1, 0, 0]
    energies = [values(reading, catalog.ENERGY)[0] for reading in readings]
    assert energies == sorted(energies)
    assert len(set(energies)) == len(energies)


def test_noise_reduces_loads_within_its_bound_and_depends_on_the_seed() -> None:
    def course(seed: int, noise: float) -> list[float]:
        node = SimulatedNode(scenario(f"seed: {seed}\nnoise: {noise}\ndevices: [{{profile: h100, load: 0.8}}]\n"))
        return [values(node.read(second), catalog.UTILIZATION)[0] for second in range(50)]

    noisy = course(1, 0.25)
    assert all(0.6 <= load <= 0.8 for load in noisy)
    assert len(set(noisy)) == 50
    assert course(1, 0.25) == noisy != course(2, 0.25)
    assert set(course(1, 0)) == {0.8}


def test_the_specification_has_the_families_of_the_scenario() -> None:
    text = (
        "devices:\n- {profile: npu, vendor: acme, resource: acme.com/npu}\n- profile: mi300x\npods:\n"
        "- {namespace: a, name: b, containers: [{name: c, devices: [1], resource: amd.example/gpu}]}\n"
    )
    node = SimulatedNode(scenario(text))
    spec = simulated_spec(scenario(text), node.clock)
    assert spec.name == "simulated"
    assert spec.resource_prefixes == ("acme.com/", "amd.com/", "amd.example/")
    assert catalog.FAN_SPEED not in spec.metrics
    collector = spec.create(Node(Root(Path()), Root(Path()), "node-1"))
    assert collector.read(ALL) == node.read(0)
    collector.close()
    collector.close()
    assert collector.read(ALL) == node.read(0)


def test_the_energy_of_a_device_without_a_counter_is_unsupported() -> None:
    reading = SimulatedNode(scenario("devices: [{profile: npu, load: 0.5}]")).read(5)
    assert [gap.metric for gap in reading.unsupported] == [catalog.ENERGY]
    assert not samples(reading, catalog.ENERGY)
    assert values(reading, catalog.POWER) == [82.5]
