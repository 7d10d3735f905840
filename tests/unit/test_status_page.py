import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Reason
from collectors.metric import Metric
from exporter.assembler import Clocks, Latest
from exporter.snapshot import AttributionHealth, Snapshot
from exporter.web import handlers
from exporter.web.status_page import About, render
from exporter.web.status_view import build_view
from tests.doubles.collectors import Clock, gpu, part, status, utilization
from tests.doubles.page_text import PageText
from tests.doubles.status_snapshot import LOST, NOW, QUOTES, SCRIPT, SHARED, WHOLE, collector, edge, rich, sample

CLOCKS = Clocks(Clock(0), Clock(0))

ROOT = Path(__file__).parents[2]
ABOUT = About("node-7", "1.2.3", (("Metrics", "/metrics"),), "accelerator-exporter check")


def html(snapshot: Snapshot, age_seconds: float = 0.5) -> str:
    return render(ABOUT, build_view(snapshot, NOW, age_seconds), "")


def text(snapshot: Snapshot, age_seconds: float = 0.5) -> PageText:
    return PageText(html(snapshot, age_seconds))


def one(readings: Mapping[Metric, float]) -> PageText:
    """The page of one device with these readings."""
    samples = tuple(sample(metric, value, "g") for metric, value in readings.items())
    return text(Snapshot({"g": gpu("g")}, samples=samples))


def test_a_device_in_use() -> None:
    assert text(rich()).row("0000:04:00.0") == [
        "NVIDIA H100 80GB HBM3\n0000:04:00.0\nGPU-5f0c…000001",
        "ok",
        "93 %",
        "71.2 GiB of 80.0 GiB",
        "641 W",
        "66 °C",
        "ml / llama-finetune-0 / trainer",
    ]


def test_a_shared_device_names_the_first_holders_and_counts_the_others() -> None:
    *_, held = text(rich()).row("0000:07:00.0")

    first, *named, last = held.split("\n")
    assert (first, len(named), last) == ("shared by 9", 5, "and 4 more")
    assert f"lab / {SCRIPT} / main" in named
    assert f"evil / {QUOTES} / main" in named


def test_a_partitioned_device_is_followed_by_its_partitions() -> None:
    page = text(rich())
    device = page.row("0000:0a:00.0")
    at = page.cells.index(device)

    assert device[2] == "no reading"
    assert device[-1] == "1 of 2 partitions allocated"
    assert page.cells[at + 1] == [
        "1g.10gb\nMIG-aaaa…000001",
        "",
        "50 %",
        "3.0 GiB of 10.0 GiB",
        "",
        "",
        "ml / embedder-7c9f5d6b8-x2x7k / main",
    ]
    assert page.cells[at + 2][2:4] == ["0 %", "0 MiB of 10.0 GiB"]
    assert page.cells[at + 2][-1] == "free"


def test_a_device_allocated_whole_and_in_part_shows_both() -> None:
    snapshot = Snapshot(
        {"g": gpu("g")}, {"s": part("g", "s")}, allocations=(edge("g", "whole"), edge("g", "slice", "s"))
    )
    assert text(snapshot).row("dev-g")[-1] == "ml / whole / main\n1 of 1 partition allocated"


def stuck(seconds: float, *, ok: bool = True, lost: bool = False) -> Snapshot:
    """A device about which a call has not returned for so long."""
    health = replace(collector("acme", 1), stuck={"g": seconds})
    samples = (status("g", "ok"), utilization("g", 0.5)) if ok else ()
    return Snapshot({"g": gpu("g", lost=lost)}, samples=samples, collectors=(health,))


@pytest.mark.parametrize("ok", [True, False], ids=["readings are fresh", "readings are too old"])
def test_a_stuck_device_is_marked_and_not_ok(*, ok: bool) -> None:
    page = text(stuck(75, ok=ok))

    _, state, used, *_ = page.row("dev-g")
    assert (state, used) == ("stuck\nno answer for 1m15s", "50 %" if ok else "no reading")
    assert "1 device, 1 device stuck" in page.paragraphs


def test_a_stuck_device_that_is_lost_is_lost() -> None:
    assert text(stuck(75, lost=True)).row("dev-g")[1] == "lost\nnot responding"


def test_a_device_without_a_known_state_is_not_ok() -> None:
    assert text(Snapshot({"g": gpu("g")})).row("dev-g")[1] == "unknown"


def test_a_lost_device_is_marked_and_has_no_readings() -> None:
    page = text(rich())

    assert page.row("0000:0d:00.0")[1:] == [
        "lost\nnot responding",
        "no reading",
        "no reading",
        "no reading",
        "no reading",
        "ml / llama-finetune-1 / trainer",
    ]
    assert [attributes["class"] for name, attributes in page.elements if name == "tr" and "class" in attributes] == [
        *["lost"] * 3,  # what needs attention: two collectors and the device
        "part",
        "part",
        "lost",
    ]


def test_a_free_device_whose_hottest_sensor_is_not_the_core() -> None:
    assert text(rich()).row("0000:c3:00.0")[1:] == [
        "predicted failure",
        "0 %",
        "no reading",
        "no reading",
        "45 °C (hotspot)",
        "free",
    ]


def test_while_allocations_are_unknown_the_page_says_so_everywhere() -> None:
    page = text(replace(rich(), allocations=None, unmatched={}))

    assert {cells[-1] for cells in page.cells if len(cells) == 7} == {"Allocated to", "unknown"}
    assert "Allocations are unknown: no answer yet." in page.paragraphs
    assert "5 devices, 2 partitions, 1 device lost, 1 device predicted to fail" in page.paragraphs


def test_a_source_that_does_not_answer_is_named() -> None:
    silent = AttributionHealth("podresources", up=False, last_success_timestamp_seconds=None)
    page = text(replace(rich(), allocations=None, attribution=(silent,)))

    assert "Allocations are unknown: the kubelet does not answer." in page.paragraphs
    assert page.row("podresources") == ["podresources", "down", "never"]


@pytest.mark.parametrize(
    ("readings", "shown"),
    [
        ({}, "no reading"),
        ({catalog.MEMORY_LIMIT: 2**30}, "1.0 GiB total"),
        ({catalog.MEMORY_USAGE: 2**30}, "1.0 GiB used"),
        ({catalog.MEMORY_USAGE: 2**30, catalog.MEMORY_LIMIT: 0}, "1.0 GiB used"),
    ],
)
def test_memory_of_which_only_a_part_is_known(readings: Mapping[Metric, float], shown: str) -> None:
    assert one(readings).row("dev-g")[3] == shown


def test_bars_have_a_name_a_range_and_the_value() -> None:
    meters = [attributes for name, attributes in one({catalog.UTILIZATION: 0.63}).elements if name == "meter"]
    assert meters == [{"min": "0", "max": "1", "value": "0.630", "aria-label": "utilization"}]


def test_a_state_that_is_unknown_or_new_is_shown_as_such() -> None:
    assert one({}).row("dev-g")[1] == "unknown"
    assert text(Snapshot({"g": gpu("g")}, samples=(status("g", "odd_one"),))).row("dev-g")[1] == "odd one"


def test_the_summary_counts() -> None:
    summary = "5 devices, 2 partitions, 1 device lost, 1 device predicted to fail, 1 device free"
    assert summary in text(rich()).paragraphs
    assert "1 device, 0 devices free" in text(Snapshot({"g": gpu("g")}, allocations=(edge("g", "p"),))).paragraphs


def test_collectors_and_sources_show_their_state() -> None:
    page = text(rich())

    assert page.row("amd") == ["amd", "down", "1", "2s ago", "unavailable (3 readings)"]
    assert page.row("nvidia") == ["nvidia", "late", "4", "2s ago", "device lost (12 readings), late (1 reading)"]
    assert page.row("tpu") == ["tpu", "not on this node", "0", "never", "none"]
    assert page.row("podresources") == ["podresources", "up", "4s ago"]


def test_unmatched_ids_are_named_with_what_to_do() -> None:
    page = text(replace(rich(), unmatched={"a.com/gpu": 1, "b.com/gpu": 2}))

    assert page.paragraphs[:2] == [
        "1 allocated id of a.com/gpu matches no device. Run accelerator-exporter check for details.",
        "2 allocated ids of b.com/gpu match no device. Run accelerator-exporter check for details.",
    ]


def test_the_header_shows_node_version_and_ages() -> None:
    for fact in ("node node-7", "version 1.2.3", "snapshot made 1m15s ago", "readings 2s old"):
        assert f"<li>{fact}</li>" in html(rich(), 75)


def test_an_old_snapshot_is_pointed_out() -> None:
    warning = "This page is out of date: the last snapshot is 11s old. See the exporter's log."

    assert warning in text(rich(), 11).paragraphs
    assert not [
        paragraph for paragraph in text(rich(), 10).paragraphs if paragraph.startswith("This page is out of date")
    ]


def test_a_release_is_pointed_out() -> None:
    released = replace(rich(), collectors=(collector("nvidia", 4, up=False, released=True),))
    notice = "The hardware is released: devices are not read until the exporter receives SIGUSR2."

    assert notice in text(released).paragraphs
    assert "released" in [cell for row in text(released).cells for cell in row]
    assert notice not in text(rich()).paragraphs


def test_devices_that_another_collector_exports_are_named() -> None:
    first, *others = rich().collectors
    snapshot = replace(rich(), collectors=(replace(first, duplicate_devices=2), *others))
    assert (
        f"2 devices of collector {first.name}: exported as another collector reads them." in text(snapshot).paragraphs
    )


def test_a_simulated_node_has_a_banner() -> None:
    view = build_view(rich(), NOW, 0.5)
    banner = "Simulated: devices and values on this page come from a scenario, not from this machine."

    assert PageText(render(replace(ABOUT, simulated="devices and values"), view, "")).paragraphs[0] == banner
    assert banner not in PageText(render(ABOUT, view, "")).paragraphs


def test_without_a_node_name_the_page_does_without() -> None:
    page = render(replace(ABOUT, node=""), build_view(Snapshot(), NOW, 0), "")

    assert PageText(page).title == "accelerator-exporter"
    assert "<li>node" not in page
    assert text(Snapshot()).title == "node-7 · accelerator-exporter"


NOTHING = "No accelerators found. Run accelerator-exporter check for the reason, "
NOTHING += "or accelerator-exporter --simulate for a simulated node."


@pytest.mark.parametrize(
    ("snapshot", "line"),
    [
        (Snapshot(), "Waiting for the collectors' first readings."),
        (Snapshot(ready=True), NOTHING),
        (Snapshot(collectors=(collector("amd", present=False, up=False),), ready=True), NOTHING),
        (
            Snapshot(collectors=(collector("amd", present=False, up=False, released=True),), ready=True),
            "No devices: nothing is read while the hardware is released.",
        ),
        (
            Snapshot(collectors=(collector("amd", up=False, errors={Reason.LIBRARY_MISSING: 1}),), ready=True),
            "No devices can be read: a collector below fails. Run accelerator-exporter check for the cause.",
        ),
    ],
)
def test_without_devices_one_line_says_what_to_do(snapshot: Snapshot, line: str) -> None:
    page = text(snapshot)

    assert line in page.paragraphs
    assert not page.cells or len(page.cells[0]) != 7


def test_names_that_attack_stay_text() -> None:
    page = html(rich())

    assert "&lt;script&gt;document.title=&#x27;run&#x27;&lt;/script&gt;" in page
    assert PageText(page).names().isdisjoint({"script", "img"})
    assert "<script" not in page
    assert "<img" not in page


def test_names_that_are_no_unicode_do_not_break_the_page() -> None:
    device = replace(gpu("g"), model="bad \udcff name")
    latest = Latest(Snapshot({"g": device}))

    assert b"bad ? name" in handlers.index(latest, "/metrics", "node-1", CLOCKS)({}).body


def test_the_page_is_accessible() -> None:
    page = text(rich())

    assert ("html", {"lang": "en"}) in page.elements
    assert {"header", "main", "footer", "nav", "h1", "h2"} <= page.names()
    for name, attributes in page.elements:
        if name == "th":
            assert attributes["scope"] in {"col", "row"}
        if name == "table":
            assert ("h2", {"id": attributes["aria-labelledby"]}) in page.elements
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids) == 4


def test_every_cell_of_a_card_is_named_unless_it_is_empty() -> None:
    labels = [attributes["data-label"] for name, attributes in text(rich()).elements if name == "td"]
    assert set(labels) >= {"Status", "Utilization", "Memory", "Power", "Temperature", "Allocated to", ""}
    assert labels.count("") == 3 * 2  # what a partition never has: state, power, temperature


def test_a_uuid_can_be_read_in_full() -> None:
    titles = {attributes["title"] for _, attributes in text(rich()).elements if "title" in attributes}
    assert titles >= {WHOLE, SHARED, LOST}


def test_the_documents_that_the_page_names_exist() -> None:
    (paragraph,) = [words for words in text(Snapshot()).paragraphs if words.startswith("Documentation")]
    documents = re.findall(r"docs/\w+\.md", paragraph)
    assert len(documents) >= 3
    assert [document for document in documents if not (ROOT / document).is_file()] == []


def test_the_page_renews_itself_and_is_not_kept() -> None:
    answer = handlers.index(Latest(rich()), "/metrics", "node-1", CLOCKS)({})

    assert ("meta", {"http-equiv": "refresh", "content": "5"}) in PageText(answer.body.decode()).elements
    assert ("Cache-Control", "no-store") in answer.headers


def test_the_policy_allows_nothing_but_the_pages_own_style() -> None:
    answer = handlers.index(Latest(rich()), "/metrics", "node-1", CLOCKS)({})

    (style,) = re.findall("<style>(.*?)</style>", answer.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    directives = dict(answer.headers)["Content-Security-Policy"].split("; ")
    assert directives == [
        "default-src 'none'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        f"style-src 'sha256-{digest}'",
    ]
    assert len(style) > 1_000
    assert "url(" not in style
    assert "@import" not in style


def test_the_status_page_follows_the_snapshot_and_the_clocks() -> None:
    latest = Latest(rich(), made_at=100)
    monotonic, wall = Clock(103), Clock(NOW)
    index = handlers.index(latest, "/m", "node-7", Clocks(monotonic, wall))

    first = index({}).body.decode()
    assert "<li>snapshot made 3s ago</li>" in first
    assert "<li>readings 2s old</li>" in first
    monotonic.now, wall.now = 160, NOW + 60
    latest.made_at = 160
    latest.snapshot = replace(rich(), samples=(utilization(WHOLE, 0.07),))
    second = index({}).body.decode()
    assert "<li>snapshot made 0s ago</li>" in second
    assert "<li>readings 1m2s old</li>" in second
    assert PageText(second).row("0000:04:00.0")[2] == "7 %"


def test_the_page_of_a_snapshot_is_made_at_most_once_a_second() -> None:
    latest, monotonic = Latest(rich(), made_at=100), Clock(100)
    index = handlers.index(latest, "/m", "node-7", Clocks(monotonic, Clock(NOW)))

    first = index({})
    monotonic.now = 100.9
    assert index({}) is first
    monotonic.now = 101
    second = index({})
    assert b"<li>snapshot made 1s ago</li>" in second.body
    latest.snapshot = replace(rich(), samples=())
    assert index({}) is not second


def test_many_holders_make_no_long_page() -> None:
    partitions = {f"s{n}": part("g", f"s{n}") for n in range(112)}
    edges = tuple(edge("g", f"pod-{n}", f"s{n % 112}") for n in range(1_500))
    snapshot = Snapshot({"g": gpu("g")}, partitions, allocations=edges)

    page = text(snapshot)
    assert sum(name == "li" for name, _ in page.elements) < 112 * 6 + 20
    assert sum("and 8 more" in cells[-1] for cells in page.cells) == 112 - 1_500 % 112
