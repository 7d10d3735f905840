"""The view otel where its golden expositions do not show it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Device, Sample, SubjectKey
from collectors.metric import DEFAULT_SETS, Kind, Unit
from exporter import families
from exporter.exposition import render
from exporter.series import Shown
from exporter.snapshot import Container, HolderSample, Snapshot
from exporter.text_format import Format
from exporter.views import ViewOptions, load_views, sets_read_for
from exporter.views.otel import CONVENTIONS, HOLDER_LABELS, ROWS, Convention
from tests.doubles.collectors import energy, gpu, info, part, utilization
from tests.doubles.exporter_process import Scrape, parse

ROOT = Path(__file__).parents[2]
A = gpu("gpu-a", vendor="nvidia")
MAIN, OTHER = Container("ml", "train", "main"), Container("ml", "serve", "main")


def shown(snapshot: Snapshot) -> Scrape:
    views = load_views(["otel"], ViewOptions("node-1"))
    return parse(render(snapshot, (), Format.TEXT, Shown(native=False, views=views)).decode())


def node(*samples: Sample, device: Device = A, held: tuple[Container, ...] = (), key: str = "") -> Snapshot:
    holders = tuple(
        HolderSample(families.ALLOCATION_INFO, each, SubjectKey("gpu-a", key), 1, ("nvidia.com/gpu", "dra", ""))
        for each in held
    )
    partitions = {key: part("gpu-a", key)} if key else {}
    return Snapshot({"gpu-a": device}, partitions, samples, holder_samples=holders)


@pytest.mark.parametrize(
    ("convention", "name", "kind", "unit"),
    [
        (("hw.gpu.utilization", "Gauge", "1"), "hw_gpu_utilization_ratio", Kind.GAUGE, Unit.RATIO),
        (("hw.fan.speed_ratio", "Gauge", "1"), "hw_fan_speed_ratio", Kind.GAUGE, Unit.RATIO),
        (("hw.status", "UpDownCounter", "1"), "hw_status", Kind.GAUGE, Unit.NONE),
        (("hw.gpu.memory.usage", "UpDownCounter", "By"), "hw_gpu_memory_usage_bytes", Kind.GAUGE, Unit.BYTES),
        (("hw.gpu.io", "Counter", "By"), "hw_gpu_io_bytes_total", Kind.COUNTER, Unit.BYTES),
        (("hw.errors", "Counter", "{error}"), "hw_errors_total", Kind.COUNTER, Unit.NONE),
        (("hw.energy", "Counter", "J"), "hw_energy_joules_total", Kind.COUNTER, Unit.JOULES),
        (("hw.temperature.limit", "Gauge", "Cel"), "hw_temperature_limit_celsius", Kind.GAUGE, Unit.CELSIUS),
    ],
)
def test_a_name_is_translated_as_prometheus_does(
    convention: tuple[str, str, str], name: str, kind: Kind, unit: Unit
) -> None:
    family = Convention(*convention, "Help.").family
    assert (family.name, family.kind, family.unit) == (name, kind, unit)


def test_every_convention_has_a_row_in_its_order() -> None:
    assert list(dict.fromkeys(row.family for row in ROWS)) == [each.family for each in CONVENTIONS]


def test_every_series_has_the_labels_by_which_a_device_is_known() -> None:
    samples = (info("gpu-a"), utilization("gpu-a", 0.5), utilization("gpu-a", 0.25, "mig-a"), energy("gpu-a", 7))
    properties = tuple("0000:3b:00.0" if label.name == "pci_bus_id" else "" for label in catalog.INFO.labels)
    known = replace(samples[0], labels=properties)
    found = shown(node(known, *samples[1:], key="mig-a"))

    assert len(found) == len(samples) - 1
    for each in found:
        assert each.labels["hw_id"]
        assert (each.labels["uuid"], each.labels["pci_bus_id"]) == ("gpu-a", "0000:3b:00.0")
    assert [(each.labels["hw_id"], each.labels.get("hw_parent")) for each in found] == [
        ("gpu-a", None),
        ("mig-a", "gpu-a"),
        ("gpu-a", None),
    ]


@pytest.mark.parametrize(("held", "labels"), [((), ()), ((MAIN,), MAIN), ((MAIN, OTHER), ())])
def test_only_the_load_of_a_device_that_one_container_holds_names_it(
    held: tuple[Container, ...], labels: tuple[str, ...]
) -> None:
    found = shown(node(utilization("gpu-a", 0.5), energy("gpu-a", 7), held=held))
    [load] = found.find("hw_gpu_utilization_ratio")
    [used] = found.find("hw_energy_joules_total")

    assert tuple(load.labels[name] for name in HOLDER_LABELS if name in load.labels) == labels
    assert not set(HOLDER_LABELS) & used.labels.keys()


def test_the_holder_of_a_partition_is_not_that_of_its_device() -> None:
    samples = (utilization("gpu-a", 0.5), utilization("gpu-a", 0.25, "mig-a"))
    found = shown(node(*samples, held=(MAIN,), key="mig-a")).find("hw_gpu_utilization_ratio")

    assert {each.labels["hw_id"]: each.labels.get("k8s_pod_name") for each in found} == {
        "gpu-a": None,
        "mig-a": "train",
    }


@pytest.mark.parametrize(("vendor", "title"), [("amd", "AMD"), ("nvidia", "NVIDIA"), ("acme", "acme")])
def test_a_vendor_has_its_own_spelling(vendor: str, title: str) -> None:
    [found] = shown(node(energy("gpu-a", 7), device=replace(A, vendor=vendor)))
    assert found.labels["hw_vendor"] == title


def test_memory_of_no_size_is_not_in_use() -> None:
    usage, limit = Sample(catalog.MEMORY_USAGE, "gpu-a", 0), Sample(catalog.MEMORY_LIMIT, "gpu-a", 0)

    assert shown(node(usage, limit)).value("hw_gpu_memory_utilization_ratio") == 0
    assert shown(node(usage)).find("hw_gpu_memory_utilization_ratio") == []


def test_engines_without_a_word_in_the_conventions_are_left_out() -> None:
    samples = [Sample(catalog.ENGINE_UTILIZATION, "gpu-a", 0.5, "", (each,)) for each in ("encoder", "copy")]
    found = shown(node(*samples))

    assert [each.labels["hw_gpu_task"] for each in found] == ["encoder"]


def test_a_fan_and_the_limits_of_a_sensor_are_attributed_to_the_device() -> None:
    limits = [Sample(catalog.TEMPERATURE_LIMIT, "gpu-a", 90, "", ("core", each)) for each in ("slowdown", "maximum")]
    found = shown(node(*limits, Sample(catalog.FAN_SPEED, "gpu-a", 0.5, "", ("1",))))

    kinds = ("hw_id", "hw_type", "hw_sensor_location", "hw_limit_type")
    assert [tuple(each.labels.get(name) for name in kinds) for each in found] == [
        ("gpu-a", None, "core", "high.degraded"),
        ("gpu-a", None, "core", "max"),
        ("gpu-a", "fan", "1", None),
    ]


def test_the_page_lists_exactly_the_labels_of_the_view() -> None:
    files = (ROOT / "tests" / "golden" / "views").glob("otel-*.prom")
    used = {label for file in files for each in parse(file.read_text()) for label in each.labels}
    attributes = (ROOT / "docs" / "opentelemetry.md").read_text().partition("## Attributes")[2].partition("\n\n- ")[0]
    cells = [line.split(" | ")[1] for line in attributes.splitlines() if line.startswith("| ")]

    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == used


def test_the_view_adds_no_readings() -> None:
    assert sets_read_for(["otel"]) <= DEFAULT_SETS
