"""The table of a view, and the view dcgm where its golden expositions do not show it."""

import subprocess
import sys
from dataclasses import replace

import pytest

from collectors import catalog
from collectors.contract import Device, Sample, SubjectKey
from collectors.metric import DEFAULT_SETS, Kind, MetricSet, Subject, Unit
from exporter import families
from exporter.configuration.settings import MetricsSettings
from exporter.exposition import render
from exporter.kept_text import KeptText
from exporter.series import ForeignFamily, OwnSample, Shown
from exporter.snapshot import Container, Holder, HolderSample, Snapshot
from exporter.text_format import Format
from exporter.views import NAMES, NATIVE, ViewOptions, load_views, sets_read_for
from exporter.views.arrangement import TableView
from exporter.views.facts import SnapshotFacts
from exporter.views.table import Entity, OwnLabel, Row, Scale, Term
from tests.doubles.collectors import gpu, part, power, temperature, utilization

OWN = (OwnSample(families.SCRAPES, 3),)
A = gpu("gpu-a", vendor="nvidia")
MAIN, OTHER = Container("ml", "train", "main"), Container("ml", "serve", "main")
HEAT = ForeignFamily("foreign_heat_celsius", Kind.GAUGE, "Heat.", Unit.CELSIUS)
COUNT = ForeignFamily("ForeignCount", Kind.COUNTER, "Count.")


def devices_and_edges(facts: SnapshotFacts) -> list[Entity]:
    snapshot = facts.snapshot
    devices = [
        Entity(Subject.DEVICE, d.subject, d.vendor, {"z": d.uuid, "a": d.model}) for d in snapshot.devices.values()
    ]
    edges = {Holder(held.container, held.subject): held.container for held in snapshot.holder_samples}
    return devices + [Entity(Subject.CONTAINER, edge, "nvidia", {"p": holder.pod}) for edge, holder in edges.items()]


def lines(snapshot: Snapshot, *rows: Row, form: Format = Format.TEXT) -> list[str]:
    """The samples that a table shows, without HELP."""
    shown = Shown(native=False, views=(TableView(rows, devices_and_edges),))
    text = KeptText(shown)
    text.update(snapshot, ())
    assert text.body(form) == render(snapshot, (), form, shown)
    return [line for line in text.body(form).decode().splitlines() if not line.startswith("# HELP")]


def node(*samples: Sample, held: tuple[HolderSample, ...] = ()) -> Snapshot:
    return Snapshot({"gpu-a": A}, samples=samples, holder_samples=held)


def test_labels_are_written_in_the_order_of_the_view() -> None:
    row = Row(HEAT, (Subject.DEVICE,), (Term(catalog.TEMPERATURE),), labels={"where": OwnLabel("sensor")})

    assert lines(node(temperature("gpu-a", 61), temperature("gpu-a", 60.5, "board")), row) == [
        "# TYPE foreign_heat_celsius gauge",
        'foreign_heat_celsius{z="gpu-a",a="A1",where="core"} 61.0',
        'foreign_heat_celsius{z="gpu-a",a="A1",where="board"} 60.5',
    ]


def test_own_label_without_a_foreign_value_is_left_out() -> None:
    label = OwnLabel("sensor", {"core": "gpu"})
    row = Row(HEAT, (Subject.DEVICE,), (Term(catalog.TEMPERATURE),), labels={"where": label}, fixed={"fixed": "1"})

    assert lines(node(temperature("gpu-a", 61), temperature("gpu-a", 60.5, "board")), row)[1:] == [
        'foreign_heat_celsius{z="gpu-a",a="A1",fixed="1",where="gpu"} 61.0'
    ]


def test_the_first_row_that_has_a_value_counts() -> None:
    board = Row(HEAT, (Subject.DEVICE,), (Term(catalog.TEMPERATURE, {"sensor": "board"}),))
    core = Row(HEAT, (Subject.DEVICE,), (Term(catalog.TEMPERATURE, {"sensor": "core"}),))
    both = node(temperature("gpu-a", 61), temperature("gpu-a", 60.5, "board"))

    assert lines(both, board, core)[1:] == ['foreign_heat_celsius{z="gpu-a",a="A1"} 60.5']
    assert lines(both, core, board)[1:] == ['foreign_heat_celsius{z="gpu-a",a="A1"} 61.0']
    assert lines(node(temperature("gpu-a", 61)), board, core)[1:] == ['foreign_heat_celsius{z="gpu-a",a="A1"} 61.0']


def test_without_a_sample_for_each_term_there_is_no_series() -> None:
    terms = (Term(catalog.MEMORY_LIMIT), Term(catalog.MEMORY_USAGE, negative=True))
    row = Row(ForeignFamily("free", Kind.GAUGE, "Free."), (Subject.DEVICE,), terms, Scale(divisor=1024))
    limit, usage = Sample(catalog.MEMORY_LIMIT, "gpu-a", 4096.0), Sample(catalog.MEMORY_USAGE, "gpu-a", 1024.0)

    assert lines(node(limit, usage), row)[1:] == ['free{z="gpu-a",a="A1"} 3.0']
    assert lines(node(limit), row) == lines(node(usage), row) == []


def test_rows_of_another_vendor_or_subject_do_not_count() -> None:
    amd = Row(HEAT, (Subject.DEVICE,), (Term(catalog.TEMPERATURE),), vendors=("amd",))
    partition = Row(HEAT, (Subject.PARTITION,), (Term(catalog.TEMPERATURE),))

    assert lines(node(temperature("gpu-a", 61)), amd, partition) == []


def test_samples_of_containers_have_a_place_too() -> None:
    held = tuple(
        HolderSample(families.CONTAINER_POWER, each, A.subject, watts) for each, watts in ((MAIN, 5), (OTHER, 7))
    )
    row = Row(ForeignFamily("pod", Kind.GAUGE, "Pod."), (Subject.CONTAINER,), (Term(families.CONTAINER_POWER),))

    assert lines(node(power("gpu-a", 3), held=held), row)[1:] == ['pod{p="train"} 5.0', 'pod{p="serve"} 7.0']


def test_a_plain_counter_has_no_type_in_openmetrics() -> None:
    row = Row(COUNT, (Subject.DEVICE,), (Term(catalog.PCIE_REPLAYS),))
    snapshot = node(Sample(catalog.PCIE_REPLAYS, "gpu-a", 4))

    assert lines(snapshot, row)[0] == "# TYPE ForeignCount counter"
    assert lines(snapshot, row, form=Format.OPENMETRICS)[0] == "# TYPE ForeignCount unknown"


def test_a_new_holder_gives_new_labels() -> None:
    shown = Shown(native=False, views=load_views(["dcgm"], ViewOptions("node-1", ("nvidia",))))
    text = KeptText(shown)
    for holders in ((), (MAIN,), (OTHER,), (MAIN, OTHER)):
        held = tuple(
            HolderSample(families.ALLOCATION_INFO, each, A.subject, 1, ("nvidia.com/gpu", "device_plugin", ""))
            for each in holders
        )
        text.update(node(power("gpu-a", 300), held=held), ())
        body = text.body(Format.TEXT).decode()

        # Of a shared device there is one series, without a pod.
        assert body.count("\nDCGM_FI_DEV_POWER_USAGE{") == 1
        assert [f'pod="{each.pod}"' in body for each in (MAIN, OTHER)] == [holders == (MAIN,), holders == (OTHER,)]


def test_renamed_labels_concern_native_names_only() -> None:
    held = (HolderSample(families.ALLOCATION_INFO, MAIN, A.subject, 1, ("nvidia.com/gpu", "device_plugin", "")),)
    views = load_views(["dcgm"], ViewOptions("node-1", ("nvidia",)))
    shown = Shown(("k8s_namespace_name", "k8s_pod_name", "k8s_container_name"), views=views)
    text = render(node(power("gpu-a", 300), held=held), (), Format.TEXT, shown).decode()

    assert 'container="main",namespace="ml",pod="train"} 300.0' in text
    assert 'k8s_pod_name="train"' in text


def dcgm(snapshot: Snapshot, vendors: tuple[str, ...] = ("nvidia",)) -> str:
    shown = Shown(native=False, views=load_views(["dcgm"], ViewOptions("node-1", vendors)))
    return render(snapshot, OWN, Format.TEXT, shown).decode()


def test_without_native_only_the_exporters_own_families_are_left() -> None:
    process = Sample(catalog.PROCESS_MEMORY_USAGE, "gpu-a", 7, "", ("12", "python"))
    text = dcgm(replace(node(power("gpu-a", 300)), process_samples=(process,)))

    assert {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")} == {
        "accelerator_exporter_scrapes_total",
        "DCGM_FI_DEV_POWER_USAGE",
    }


def test_last_xid_is_the_newest_one() -> None:
    def last(*times: tuple[str, float]) -> Snapshot:
        counts = [Sample(catalog.ERRORS, "gpu-a", 0.0, labels=("xid", "79", "hardware"))]
        labels = (("xid", code, "hardware") for code, _ in times)
        return node(
            *counts,
            *(
                Sample(catalog.ERROR_LAST_TIMESTAMP, "gpu-a", at, labels=own)
                for own, (_, at) in zip(labels, times, strict=True)
            ),
            Sample(catalog.ERROR_LAST_TIMESTAMP, "gpu-a", 9e9, labels=("driver", "gpu_unavailable", "hardware")),
        )

    assert dcgm(last()).endswith("} 0.0\n")
    assert dcgm(last(("31", 5.0), ("79", 4.0))).endswith("} 31.0\n")
    assert dcgm(last(("31", 5.0), ("79", 6.0))).endswith("} 79.0\n")
    assert dcgm(last(("31", 5.0), ("unknown", 6.0))).endswith("} 31.0\n")
    assert "XID" not in dcgm(node(power("gpu-a", 1)))


def test_a_series_that_a_collector_gives_twice_counts_once() -> None:
    twice = (Sample(catalog.MEMORY_USAGE, "gpu-a", 2.0**20),) * 2
    snapshot = node(Sample(catalog.MEMORY_LIMIT, "gpu-a", 2.0**21), *twice)
    shown = Shown(views=load_views(NAMES, ViewOptions("node-1")))
    text = render(snapshot, OWN, Format.TEXT, shown).decode()

    assert text.count(" 1.048576e+06\n") == 2  # native, and hw_gpu_memory_usage_bytes
    assert [line[-4:] for line in text.splitlines() if line.startswith("DCGM_FI_DEV_FB_USED{")] == [" 1.0"]
    assert [line[-4:] for line in text.splitlines() if line.startswith("hw_gpu_memory_utilization_ratio{")] == [" 0.5"]


def test_text_that_utf_8_cannot_encode_is_replaced_in_every_label() -> None:
    broken = "a\udcff"
    device = Device(broken, broken, broken, broken)
    sample = Sample(catalog.TEMPERATURE, broken, 40, labels=(broken,))
    held = HolderSample(
        families.ALLOCATION_INFO, Container(broken, broken, broken), device.subject, 1, ("r", "device_plugin", "")
    )
    snapshot = Snapshot({broken: device}, samples=(sample, power(broken, 5)), holder_samples=(held,))
    shown = Shown(views=load_views(NAMES, ViewOptions(broken, ())))

    assert b'hw_sensor_location="a?"' in render(snapshot, OWN, Format.TEXT, shown)


def test_partitions_without_a_number_stay_apart() -> None:
    parts = {uuid: part("gpu-a", uuid, "1x") for uuid in ("p0", "p1")}
    samples = (Sample(catalog.MEMORY_USAGE, "gpu-a", 2.0**20 * (n + 1), uuid) for n, uuid in enumerate(parts))
    text = dcgm(replace(node(*samples), partitions=parts))

    assert 'GPU_I_ID="p0",Hostname="node-1",hostname="node-1"} 1.0\n' in text
    assert 'GPU_I_ID="p1",Hostname="node-1",hostname="node-1"} 2.0\n' in text


def test_compute_instances_of_one_gpu_instance_are_one_series() -> None:
    def about(uuid: str, instance: str) -> tuple[Sample, Sample]:
        own = tuple({"gpu_instance_id": instance}.get(label.name, "") for label in catalog.INFO.labels)
        return Sample(catalog.INFO, "gpu-a", 1, uuid, own), Sample(catalog.MEMORY_USAGE, "gpu-a", 2.0**20, uuid)

    parts = {
        uuid: part("gpu-a", uuid, profile)
        for uuid, profile in (("m0", "1c.2g.20gb"), ("m1", "1c.2g.20gb"), ("m2", "1g.10gb"))
    }
    samples = (*about("m0", "3"), *about("m1", "3"), *about("m2", "11"))
    held = tuple(
        HolderSample(families.ALLOCATION_INFO, each, SubjectKey("gpu-a", uuid), 1, ("r", "device_plugin", ""))
        for each, uuid in ((MAIN, "m0"), (OTHER, "m1"), (OTHER, "m2"))
    )
    found = [
        line for line in dcgm(replace(node(*samples, held=held), partitions=parts)).splitlines() if "FB_USED{" in line
    ]

    assert len(found) == 2
    assert 'GPU_I_PROFILE="2g.20gb",GPU_I_ID="3",Hostname="node-1",hostname="node-1"} 1.0' in found[0]
    assert 'GPU_I_ID="11"' in found[1]
    assert 'pod="serve"' in found[1]


def test_devices_of_other_vendors_are_shown_if_they_are_named() -> None:
    b = Device("gpu-b", "0000:09:00.0", "amd", "MI")
    samples = (utilization("gpu-a", 0.25), utilization("gpu-b", 0.5))
    both = replace(node(*samples), devices={"gpu-b": b, "gpu-a": A})

    assert dcgm(both).count("DCGM_FI_DEV_GPU_UTIL{") == 1
    text = dcgm(both, ("nvidia", "amd"))
    assert text == dcgm(both, ())
    assert text.count("DCGM_FI_DEV_GPU_UTIL{") == 2
    assert 'gpu="0",UUID="gpu-b",device="amd0",modelName="MI"' in text
    assert text.count("DCGM_FI_PROF_GR_ENGINE_ACTIVE{") == 1


@pytest.mark.parametrize(
    ("scale", "native", "foreign"),
    [(Scale(100), 0.29, 29.0), (Scale(1000), 123456.789, 123456789.0), (Scale(divisor=1e6), 1.98e9, 1980.0)],
)
def test_a_scaled_reading_is_the_number_that_the_library_reported(scale: Scale, native: float, foreign: float) -> None:
    assert scale.foreign(native) == foreign


def test_a_view_names_only_labels_and_subjects_that_its_metrics_have() -> None:
    for view in load_views(NAMES, ViewOptions("node-1")):
        assert isinstance(view, TableView)
        for row in view.rows:
            for term in row.terms:
                known = {label.name: label.values for label in term.metric.labels}
                for name, value in term.where.items():
                    assert not value or not known[name] or value in known[name], (row, name)
                assert all(label.name in known for label in row.labels.values()) or term is not row.terms[0]
                wanted = {Subject.DEVICE} if term.of_device else set(row.subjects)
                assert wanted & set(term.metric.subjects), row


def test_names_of_two_views_never_clash() -> None:
    native = {row.name(subject) for row in (*catalog.ROWS, *families.ROWS) for subject in row.subjects}
    of_views = [
        {row.family.name for row in view.rows}
        for view in load_views(NAMES, ViewOptions("node-1"))
        if isinstance(view, TableView)
    ]
    every = [native, *of_views]
    assert len(every) == len(NAMES)
    assert sum(map(len, every)) == len(set().union(*every))
    # One family has one kind, unit and help.
    for view in load_views(NAMES, ViewOptions("node-1")):
        assert isinstance(view, TableView)
        assert len({row.family for row in view.rows}) == len({row.family.name for row in view.rows})
        assert [row for row in view.rows if len(row.family.help) > 200] == []


def test_a_view_is_read_for_but_exports_no_more_native_metrics() -> None:
    assert sets_read_for([NATIVE]) == frozenset()
    assert sets_read_for(["dcgm"]) - DEFAULT_SETS == {MetricSet.PIPES}
    assert MetricsSettings().shown_views == (NATIVE,)
    assert MetricsSettings(views=()).shown_views == NAMES


def test_a_view_is_imported_only_if_it_is_used() -> None:
    script = (
        "import sys; from exporter.views import load_views, ViewOptions; from exporter import daemon;"
        "load_views(['native'], ViewOptions('n')); print([m for m in sys.modules if m.startswith('exporter.views.')])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"[]\n"
