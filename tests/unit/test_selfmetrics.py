import platform
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from collectors.contract import Reason
from exporter import families
from exporter.selfmetrics import SelfMetrics, build_samples, exporter_version, health_samples
from exporter.series import OwnSample
from exporter.snapshot import AttributionHealth, CollectorHealth, Snapshot

ERRORS = {**dict.fromkeys(Reason, 0), Reason.LATE: 2}
WELL = CollectorHealth("acme", True, True, False, 8, 0.25, 1_700_000_000.0, ERRORS, cpu_seconds=1.5)  # noqa: FBT003


def by_row(samples: list[OwnSample]) -> dict[tuple[str, tuple[str, ...]], float]:
    found = {(sample.metric.stem, sample.labels): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def test_collector_exports_its_health_and_every_reason_from_the_start() -> None:
    errors = {("collector_errors_total", ("acme", reason.value)): float(count) for reason, count in ERRORS.items()}

    found = by_row(health_samples(Snapshot(collectors=(WELL,))))

    assert found == errors | {
        ("collector_up", ("acme",)): 1,
        ("collector_devices", ("acme",)): 8,
        ("collector_duration_seconds", ("acme",)): 0.25,
        ("collector_cpu_seconds_total", ("acme",)): 1.5,
        ("collector_last_success_timestamp_seconds", ("acme",)): 1_700_000_000,
    }
    assert {labels[1] for name, labels in found if name == "collector_errors_total"} == set(
        families.COLLECTOR_ERRORS.labels[1].values
    )


def test_the_errors_are_those_of_each_snapshot_and_collector() -> None:
    def late(name: str, count: int) -> OwnSample:
        health = replace(WELL, name=name, errors={**ERRORS, Reason.LATE: count})
        [found] = [each for each in health_samples(Snapshot(collectors=(health,))) if each.labels == (name, "late")]
        return found

    for name, count in (("acme", 2), ("acme", 3), ("other", 3), ("acme", 2)):
        assert late(name, count) == OwnSample(families.COLLECTOR_ERRORS, count, (name, "late"))
    assert late("acme", 2) is late("acme", 2)


def test_only_a_stuck_device_has_a_series() -> None:
    found = by_row(health_samples(Snapshot(collectors=(replace(WELL, stuck={"gpu-a": 12.5}),))))

    assert {key: value for key, value in found.items() if "stuck" in key[0]} == {
        ("device_stuck_seconds", ("acme", "gpu-a")): 12.5
    }


def test_absent_vendor_is_one_series() -> None:
    gone = CollectorHealth("acme", False, False, False, 0, 0.1, None, ERRORS)  # noqa: FBT003 - present, up, late

    assert by_row(health_samples(Snapshot(collectors=(gone,)))) == {("collector_devices", ("acme",)): 0}


def test_event_that_never_happened_has_no_timestamp() -> None:
    late = CollectorHealth("acme", True, False, True, 0, None, None, ERRORS)  # noqa: FBT003 - present, up, late

    found = by_row(health_samples(Snapshot(collectors=(late,))))

    assert found["collector_up", ("acme",)] == 0
    assert {name for name, _ in found} == {"collector_up", "collector_devices", "collector_errors_total"}


@pytest.mark.parametrize("up", [True, False])
def test_source_of_allocations_exports_its_health(up: bool) -> None:  # noqa: FBT001 - the two cases
    health = AttributionHealth("podresources", up, 5.0)

    assert by_row(health_samples(Snapshot(attribution=(health,)))) == {
        ("attribution_up", ("podresources",)): up,
        ("attribution_last_success_timestamp_seconds", ("podresources",)): 5.0,
    }


def test_source_without_an_answer_has_no_last_success() -> None:
    found = by_row(
        health_samples(
            Snapshot(attribution=(AttributionHealth("podresources", up=False, last_success_timestamp_seconds=None),))
        )
    )

    assert found == {("attribution_up", ("podresources",)): 0}


def test_unmatched_ids_are_counted_by_resource() -> None:
    assert by_row(health_samples(Snapshot(unmatched={"acme/gpu": 2, "acme/slice": 1}))) == {
        ("unmatched_devices", ("acme/gpu",)): 2,
        ("unmatched_devices", ("acme/slice",)): 1,
    }


def test_build_info_has_the_versions() -> None:
    assert by_row(build_samples()) == {("build_info", (exporter_version(), platform.python_version())): 1}
    assert exporter_version()[0].isdigit()


def scrapes(samples: list[OwnSample]) -> float:
    [count] = [sample.value for sample in samples if sample.metric is families.SCRAPES]
    return count


def test_every_scrape_is_counted_from_many_threads() -> None:
    together = threading.Barrier(4)

    def scrape(own: SelfMetrics) -> None:
        together.wait()
        for _ in range(100):
            own.count_scrape()

    own = SelfMetrics(list, lambda: True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(scrape, [own] * 4))

    assert scrapes(own.samples(Snapshot())) == scrapes(own.samples(Snapshot())) == 400


def test_all_self_metrics_are_exported_together() -> None:
    cpu = OwnSample(families.PROCESS_CPU, 1.5)

    found = SelfMetrics(lambda: [cpu], lambda: True).samples(Snapshot(collectors=(WELL,)))

    assert cpu in found
    assert {sample.metric for sample in found} >= {families.BUILD_INFO, families.COLLECTOR_UP, families.SCRAPES}


@pytest.mark.parametrize("reloaded", [True, False])
def test_refused_configuration_is_exported(reloaded: bool) -> None:  # noqa: FBT001 - a parameter
    found = SelfMetrics(list, lambda: reloaded).samples(Snapshot())
    assert [s.value for s in found if s.metric is families.CONFIG_RELOAD] == [float(reloaded)]
