import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from collectors import catalog
from collectors.contract import Sample, SubjectKey
from collectors.metric import Kind, Metric, Subject
from exporter import families
from exporter.exposition import render
from exporter.series import ROWS, OwnSample
from exporter.snapshot import Container, HolderSample, Snapshot
from exporter.text_format import Format
from tests.doubles.collectors import gpu, info, part, power, temperature, utilization
from tests.doubles.expositions import parse
from tests.doubles.prometheus import tool

A = gpu("gpu-a", model="A1 80GB")
SLICE = part("gpu-a", "s0", "1g.10gb")
HOLDER = Container("ml", "train-0", "main")
SMALL = Snapshot(
    devices={"gpu-a": A},
    partitions={"s0": SLICE},
    samples=(
        temperature("gpu-a", 61),
        temperature("gpu-a", 60.5, "board"),
        info("gpu-a"),
        utilization("gpu-a", 0.25, "s0"),
        Sample(catalog.BUSY_SECONDS, "gpu-a", 12.5),
        utilization("gpu-a", 0),
    ),
    holder_samples=(
        HolderSample(families.ALLOCATION_INFO, HOLDER, SubjectKey("gpu-a", "s0"), 1, ("acme/slice", "dra", "")),
    ),
)
OWN = (OwnSample(families.SCRAPES, 3), OwnSample(families.COLLECTOR_UP, 1, ("acme",)))

DEVICE = 'device="dev-gpu-a",'
NAME = 'uuid="gpu-a",vendor="acme"'
MODEL = 'model="A1 80GB",'
PART = 'partition_uuid="s0",profile="1g.10gb",'


def test_text_format() -> None:
    assert render(SMALL, OWN, Format.TEXT).decode() == (
        f"# HELP accelerator_device_info {catalog.INFO.help}\n"
        "# TYPE accelerator_device_info gauge\n"
        f'accelerator_device_info{{{DEVICE}index="0",{MODEL}{NAME}}} 1.0\n'
        f"# HELP accelerator_device_utilization_ratio {catalog.UTILIZATION.help}\n"
        "# TYPE accelerator_device_utilization_ratio gauge\n"
        f"accelerator_device_utilization_ratio{{{DEVICE}{MODEL}{NAME}}} 0.0\n"
        f"# HELP accelerator_partition_utilization_ratio {catalog.UTILIZATION.help}\n"
        "# TYPE accelerator_partition_utilization_ratio gauge\n"
        f"accelerator_partition_utilization_ratio{{{DEVICE}{MODEL}{PART}{NAME}}} 0.25\n"
        f"# HELP accelerator_device_busy_seconds_total {catalog.BUSY_SECONDS.help}\n"
        "# TYPE accelerator_device_busy_seconds_total counter\n"
        f"accelerator_device_busy_seconds_total{{{DEVICE}{MODEL}{NAME}}} 12.5\n"
        f"# HELP accelerator_device_temperature_celsius {catalog.TEMPERATURE.help}\n"
        "# TYPE accelerator_device_temperature_celsius gauge\n"
        f'accelerator_device_temperature_celsius{{{DEVICE}{MODEL}sensor="board",{NAME}}} 60.5\n'
        f'accelerator_device_temperature_celsius{{{DEVICE}{MODEL}sensor="core",{NAME}}} 61.0\n'
        f"# HELP accelerator_allocation_info {families.ALLOCATION_INFO.help}\n"
        "# TYPE accelerator_allocation_info gauge\n"
        f'accelerator_allocation_info{{container="main",{DEVICE}{MODEL}namespace="ml",partition_uuid="s0",'
        f'pod="train-0",profile="1g.10gb",resource="acme/slice",source="dra",{NAME}}} 1.0\n'
        f"# HELP accelerator_exporter_collector_up {families.COLLECTOR_UP.help}\n"
        "# TYPE accelerator_exporter_collector_up gauge\n"
        'accelerator_exporter_collector_up{collector="acme"} 1.0\n'
        f"# HELP accelerator_exporter_scrapes_total {families.SCRAPES.help}\n"
        "# TYPE accelerator_exporter_scrapes_total counter\n"
        "accelerator_exporter_scrapes_total 3.0\n"
    )


def test_openmetrics_format() -> None:
    small = replace(SMALL, samples=SMALL.samples[2:5], holder_samples=())

    assert render(small, OWN[:1], Format.OPENMETRICS).decode() == (
        f"# HELP accelerator_device {catalog.INFO.help}\n"
        "# TYPE accelerator_device info\n"
        f'accelerator_device_info{{{DEVICE}index="0",{MODEL}{NAME}}} 1.0\n'
        f"# HELP accelerator_partition_utilization_ratio {catalog.UTILIZATION.help}\n"
        "# TYPE accelerator_partition_utilization_ratio gauge\n"
        "# UNIT accelerator_partition_utilization_ratio ratio\n"
        f"accelerator_partition_utilization_ratio{{{DEVICE}{MODEL}{PART}{NAME}}} 0.25\n"
        f"# HELP accelerator_device_busy_seconds {catalog.BUSY_SECONDS.help}\n"
        "# TYPE accelerator_device_busy_seconds counter\n"
        "# UNIT accelerator_device_busy_seconds seconds\n"
        f"accelerator_device_busy_seconds_total{{{DEVICE}{MODEL}{NAME}}} 12.5\n"
        f"# HELP accelerator_exporter_scrapes {families.SCRAPES.help}\n"
        "# TYPE accelerator_exporter_scrapes counter\n"
        "accelerator_exporter_scrapes_total 3.0\n"
        "# EOF\n"
    )


def test_empty_snapshot_is_an_empty_exposition() -> None:
    assert render(Snapshot(), (), Format.TEXT) == b""
    assert render(Snapshot(), (), Format.OPENMETRICS) == b"# EOF\n"


def test_the_order_of_the_samples_does_not_matter() -> None:
    backwards = replace(SMALL, samples=SMALL.samples[::-1])

    for form in Format:
        assert render(backwards, OWN[::-1], form) == render(SMALL, OWN, form)


def _full() -> tuple[Snapshot, list[OwnSample]]:
    """One sample of every row for every subject of the row."""
    samples: list[Sample] = []
    held: list[HolderSample] = []
    own: list[OwnSample] = []
    for row in ROWS:
        values = tuple((label.values or ("x",))[0] for label in row.labels)
        for subject in row.subjects:
            if subject in (Subject.DEVICE, Subject.PARTITION):
                partition = "s0" if subject is Subject.PARTITION else ""
                samples.append(Sample(row, "gpu-a", 1, partition, values))
            elif subject in (Subject.CONTAINER, Subject.ALLOCATION):
                held.append(HolderSample(row, HOLDER, SubjectKey("gpu-a", "s0"), 1, values))
            elif subject in (Subject.EXPORTER, Subject.OWN_PROCESS):
                own.append(OwnSample(row, 1, values))
    full = Snapshot({"gpu-a": A}, {"s0": SLICE}, tuple(samples), holder_samples=tuple(held))
    return full, own


FULL = _full()
# Series of single processes are off by default; nothing here has any.
SERVED = [(row, subject) for row in ROWS for subject in row.subjects if subject is not Subject.PROCESS]


def names(found: Iterable[Family]) -> list[str]:
    return [sample.name for family in found for sample in family.samples]


def test_every_row_is_one_family_in_the_order_of_the_catalogue() -> None:
    expected = [row.name(subject) for row, subject in SERVED]
    found = parse(render(*FULL, Format.TEXT), Format.TEXT)

    assert names(found) == expected
    assert len(set(expected)) == len(expected)
    assert len({family.name for family in found}) == len(found)


def test_openmetrics_passes_the_strict_parser_and_every_family_has_its_type_and_unit() -> None:
    found = {
        sample.name: family
        for family in parse(render(*FULL, Format.OPENMETRICS), Format.OPENMETRICS)
        for sample in family.samples
    }

    assert list(found) == [row.name(subject) for row, subject in SERVED]
    for row, subject in SERVED:
        family = found[row.name(subject)]
        assert (family.type, family.unit, family.documentation) == (row.kind.value, row.unit.value, row.help)


def test_info_families_are_infos_in_openmetrics() -> None:
    infos = [family for family in parse(render(*FULL, Format.OPENMETRICS), Format.OPENMETRICS) if family.type == "info"]

    assert [family.name for family in infos] == [
        "accelerator_device",
        "accelerator_partition",
        "accelerator_allocation",
        "accelerator_exporter_build",
    ]


def promtool(exposition: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([tool("promtool"), "check", "metrics"], input=exposition, capture_output=True, check=False)


def test_promtool_accepts_the_exposition() -> None:
    checked = promtool(render(*FULL, Format.TEXT))

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_promtool_rejects_an_invalid_exposition() -> None:
    assert promtool(b"# TYPE accelerator_power_milliwatts gauge\naccelerator_power_milliwatts 1\n").returncode != 0


AWKWARD = [
    'quoted "text"',
    "back\\slash",
    "two\nlines",
    "\\n",
    'ends with \\"',
    "tab\tand\rreturn",
    "\x00\x7f\x85\u2028",
    "Größe 漢字 🚀",
    '{a="b"} # 1',
    " ",
]


@pytest.mark.parametrize("text", AWKWARD)
@pytest.mark.parametrize("form", Format)
def test_label_value_is_unchanged(text: str, form: Format) -> None:
    device = replace(A, model=text)
    shown = replace(SMALL, devices={"gpu-a": device}, samples=(info("gpu-a", index=text),))

    for family in parse(render(shown, (), form), form):
        for sample in family.samples:
            assert sample.labels["model"] == text
            assert sample.labels.get("index", text) == text


def test_values_are_escaped_as_the_formats_require() -> None:
    own = [OwnSample(families.UNMATCHED_DEVICES, 1, ('a\\b"c\nd',))]

    for form in Format:
        assert b'accelerator_exporter_unmatched_devices{resource="a\\\\b\\"c\\nd"} 1.0\n' in render(
            Snapshot(), own, form
        )


@pytest.mark.parametrize("form", Format)
def test_lone_surrogate_becomes_a_question_mark_everywhere(form: Format) -> None:
    odd = "x\udcff"
    shown = Snapshot(
        devices={"gpu-a": replace(A, model=odd)},
        partitions={"s0": replace(SLICE, profile=odd)},
        samples=(info("gpu-a", index=odd), utilization("gpu-a", 1, "s0")),
        holder_samples=(HolderSample(families.ALLOCATION_SHARE, HOLDER._replace(pod=odd), SubjectKey("gpu-a"), 1),),
    )

    text = render(shown, [OwnSample(families.UNMATCHED_DEVICES, 1, (odd,))], form).decode()

    for label in ("model", "profile", "index", "pod", "resource"):
        assert f'{label}="x?"' in text


def labels_of(name: str, exposition: bytes) -> list[dict[str, str]]:
    return [
        sample.labels for family in parse(exposition, Format.TEXT) for sample in family.samples if sample.name == name
    ]


def test_unknown_property_has_no_label() -> None:
    [labels] = labels_of("accelerator_device_info", render(SMALL, (), Format.TEXT))

    assert labels == {"uuid": "gpu-a", "device": "dev-gpu-a", "vendor": "acme", "model": "A1 80GB", "index": "0"}


@pytest.mark.parametrize(
    ("subject", "partition_labels"),
    [(SubjectKey("gpu-a"), {}), (SubjectKey("gpu-a", "s0"), {"partition_uuid": "s0", "profile": "1g.10gb"})],
    ids=["device", "partition"],
)
@pytest.mark.parametrize("row", [families.CONTAINER_POWER, families.ALLOCATION_SHARE], ids=lambda row: row.stem)
def test_holder_series_have_the_labels_of_their_subject(
    row: Metric, subject: SubjectKey, partition_labels: dict[str, str]
) -> None:
    held = HolderSample(row, HOLDER, subject, 1)

    [labels] = labels_of(row.name(row.subjects[0]), render(replace(SMALL, holder_samples=(held,)), (), Format.TEXT))

    assert labels == {
        "uuid": "gpu-a",
        "device": "dev-gpu-a",
        "vendor": "acme",
        "model": "A1 80GB",
        "namespace": "ml",
        "pod": "train-0",
        "container": "main",
        **partition_labels,
    }


def test_device_series_have_no_pod_labels() -> None:
    for family in parse(render(*FULL, Format.TEXT), Format.TEXT):
        if family.name.startswith(("accelerator_device", "accelerator_partition")):
            assert not {"namespace", "pod", "container"} & set(family.samples[0].labels)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0.0"), (1e12, "1e+12"), (1_099_511_627_776, "1.099511627776e+12"), (0.1, "0.1"), (-3.5, "-3.5")],
)
def test_values_keep_all_their_digits(value: float, written: str) -> None:
    shown = replace(SMALL, samples=(power("gpu-a", value),), holder_samples=())

    text = render(shown, (), Format.TEXT).decode()

    assert text.splitlines()[-1].endswith(f"}} {written}")
    assert float(written) == value


def test_content_types_are_those_of_the_library() -> None:
    assert (Format.TEXT.value, Format.OPENMETRICS.value) == (CONTENT_TYPE_PLAIN_0_0_4, CONTENT_TYPE_LATEST)


def _kinds(rows: Sequence[tuple[Metric, Subject]]) -> set[Kind]:
    return {row.kind for row, _ in rows}


def test_rows_cover_all_kinds_and_subjects_except_processes() -> None:
    assert _kinds(SERVED) == set(Kind)
    assert {subject for _, subject in SERVED} >= set(Subject) - {Subject.PROCESS, Subject.POD}


def test_the_labels_of_a_container_have_the_names_of_the_configuration() -> None:
    held = HolderSample(families.CONTAINER_POWER, HOLDER, SubjectKey("gpu-a"), 1)
    snapshot = replace(SMALL, holder_samples=(held,))
    usual = render(snapshot, (), Format.TEXT)
    names = ("k8s_namespace_name", "k8s_pod_name", "k8s_container_name")
    [labels] = labels_of("accelerator_container_power_watts", render(snapshot, (), Format.TEXT, names))
    assert tuple(labels[name] for name in names) == HOLDER
    assert not labels.keys() & set(families.HOLDER_LABELS)
    assert labels_of("accelerator_device_info", render(snapshot, (), Format.TEXT, names)) == labels_of(
        "accelerator_device_info", usual
    )
