"""What the status page says about devices and allocations that are not well."""

from dataclasses import replace

import pytest

from collectors import catalog
from collectors.condition import Condition, CriticalEvent
from collectors.contract import Sample
from exporter.advice import FOR_PAST_EVENT
from exporter.snapshot import AttributionHealth, RecentEvent, Snapshot
from exporter.web.status_page import About, render
from exporter.web.status_view import build_view
from tests.doubles.collectors import gpu, info, part, status
from tests.doubles.page_text import PageText
from tests.doubles.status_snapshot import LOST, NOW, collector, edge, rich

ABOUT = About("node-7", "1.2.3", (("Metrics", "/metrics"),), "accelerator-exporter check")


def page_of(snapshot: Snapshot) -> PageText:
    return PageText(render(ABOUT, build_view(snapshot, NOW, 0.5), ""))


WORN = Condition("predicted_failure", "A repair has failed", "Replace it")
HOT = Sample(catalog.THROTTLE_ACTIVE, "g", 1.0, labels=("thermal",))
BUSY = Sample(catalog.THROTTLE_ACTIVE, "g", 1.0, labels=("power",))


def test_a_device_that_is_not_ok_has_its_reasons_its_next_steps_and_its_pods() -> None:
    bad = Condition("failed", "XID 79: it has fallen off the bus", "Power-cycle the node")
    page = page_of(replace(rich(), conditions={LOST: (bad, WORN)}))
    assert page.attention[3] == [
        f"0000:0d:00.0\n{LOST}\nNVIDIA H100 80GB HBM3",
        "lost\nnot responding",
        "XID 79: it has fallen off the bus.\nA repair has failed.",
        "Power-cycle the node.\nReplace it.",
        "ml / llama-finetune-1 / trainer",
    ]


def test_what_has_failed_stands_above_what_is_degraded_and_what_is_ok_is_left_out() -> None:
    devices = {name: gpu(name) for name in ("a", "b", "c")}
    samples = (status("a", "degraded"), status("b", "ok"), status("c", "failed"))
    page = page_of(Snapshot(devices, samples=samples))
    assert [row[1] for row in page.attention[1:]] == ["failed", "degraded"]


def test_a_device_that_is_slowed_down_by_heat_needs_attention_and_one_at_its_power_limit_does_not() -> None:
    page = page_of(Snapshot({"g": gpu("g")}, samples=(status("g", "ok"), info("g", index="3"), HOT, BUSY)))
    assert page.attention[1] == [
        "index 3, dev-g\ng\nA1",
        "ok, slowed down",
        "Clocks are reduced: the device is too hot.",
        "Check fans, air flow and the temperature of the room.",
        "unknown",
    ]
    assert page_of(Snapshot({"g": gpu("g")}, samples=(status("g", "ok"), BUSY))).attention == []


@pytest.mark.parametrize(("state", "shown"), [("ok", "not read"), ("degraded", "degraded")])
def test_a_device_whose_collector_hangs_is_not_shown_as_ok(state: str, shown: str) -> None:
    health = replace(collector("acme", 1, late=True, up=False), unread={"g": 15.5})
    page = page_of(Snapshot({"g": gpu("g")}, samples=(status("g", state),), collectors=(health,)))
    assert page.row("dev-g")[1] == f"{shown}\nas of 16s ago"
    tags = [attributes["class"] for name, attributes in page.elements if attributes.get("class", "") in TAGS]
    assert "tag good" not in tags


def test_the_summary_counts_the_devices_that_are_not_read() -> None:
    health = replace(collector("acme", 2, late=True, up=False), unread={"a": 15.5, "b": 15.5}, stuck={"b": 15.0})
    page = page_of(Snapshot({"a": gpu("a"), "b": gpu("b")}, collectors=(health,)))
    assert "2 devices, 1 device stuck, 1 device not read" in page.paragraphs


XID_63 = CriticalEvent("g", "xid", "63", "hardware", "XID 63: Bad memory is marked", "See dmesg")
XID_94 = CriticalEvent("g", "xid", "94", "hardware", "XID 94: Memory error", "Reset it")
RECENT = (RecentEvent(XID_63, 30.2), RecentEvent(XID_94, 31.2))


def test_a_device_that_works_again_is_shown_with_its_errors_of_the_last_minutes() -> None:
    page = page_of(Snapshot({"g": gpu("g")}, samples=(status("g", "ok"),), events=RECENT))
    assert page.attention[1][1:4] == [
        "ok, recent error",
        "31s ago: XID 63: Bad memory is marked.\n32s ago: XID 94: Memory error.",
        f"I{FOR_PAST_EVENT[1:]}.",
    ]


def test_an_error_that_is_the_reason_of_the_state_is_named_once() -> None:
    why = {"g": (Condition("degraded", XID_94.text, XID_94.do),)}
    page = page_of(Snapshot({"g": gpu("g")}, samples=(status("g", "degraded"),), conditions=why, events=RECENT))
    assert page.attention[1][1:4] == [
        "degraded",
        "XID 94: Memory error.\n31s ago: XID 63: Bad memory is marked.",
        "Reset it.\nSee dmesg.",
    ]


def test_a_degraded_device_stands_above_one_that_is_only_slowed_down() -> None:
    devices = {name: gpu(name) for name in ("g", "h")}
    page = page_of(Snapshot(devices, samples=(status("g", "ok"), HOT, status("h", "degraded"))))
    assert [row[1] for row in page.attention[1:]] == ["degraded", "ok, slowed down"]


TAGS = {"tag good", "tag warn", "tag bad", "tag plain"}


def test_a_device_without_trouble_has_no_place_there() -> None:
    assert page_of(Snapshot({"g": gpu("g")}, samples=(status("g", "ok"),))).attention == []


def test_a_state_without_a_reason_is_shown_with_what_is_known() -> None:
    page = page_of(Snapshot({"g": gpu("g")}, samples=(status("g", "degraded"),)))
    assert page.attention[1][1:4] == [
        "degraded",
        "The collector gives no reason.",
        "See the log of the exporter, and dmesg on the node.",
    ]


def test_a_stuck_device_has_the_age_of_its_readings_and_the_next_step() -> None:
    health = replace(collector("acme", 1), stuck={"g": 14.0}, unread={"g": 15.0})
    page = page_of(Snapshot({"g": gpu("g")}, samples=(status("g", "ok"),), collectors=(health,)))
    _, state, why, step, _ = page.attention[1]
    assert state == "stuck\nno answer for 14s\nas of 16s ago"
    assert why == "A driver call has not returned: nothing has been read of it for 16s."
    assert step.startswith("See dmesg on the node; if the vendor's tool hangs too, ")


def test_the_pods_of_all_partitions_are_concerned() -> None:
    snapshot = Snapshot(
        {"g": gpu("g")},
        {name: part("g", name) for name in ("s1", "s2")},
        samples=(status("g", "failed"),),
        allocations=(edge("g", "b", "s2"), edge("g", "a", "s1")),
    )
    assert page_of(snapshot).attention[1][4] == "ml / a / main\nml / b / main"


def test_texts_of_a_collector_stay_text() -> None:
    hostile = Condition("failed", "<script>run()</script>", "<b>do</b>")
    snapshot = Snapshot({"g": gpu("g")}, samples=(status("g", "failed"),), conditions={"g": (hostile,)})
    assert page_of(snapshot).names().isdisjoint({"script", "b"})


def test_claims_that_are_not_resolved_are_named_with_what_to_do() -> None:
    page = page_of(replace(rich(), unmatched={}, unresolved_claims={"gpu.example.com": 2}))
    assert page.paragraphs[0] == (
        "2 devices of resource claims of gpu.example.com not resolved: it is not known which pods hold which devices. "
        "Run accelerator-exporter check for details."
    )


def test_allocations_of_a_source_that_does_not_answer_are_as_of_its_last_answer() -> None:
    silent = AttributionHealth("podresources", up=False, last_success_timestamp_seconds=NOW - 23)
    page = page_of(replace(rich(), unmatched={}, attribution=(silent,)))
    assert page.paragraphs[0].startswith(
        "The kubelet does not answer: allocations are as of 23s ago. Check that the kubelet of this node runs; "
    )


def test_what_is_a_warning_elsewhere_is_not_shown_as_an_error() -> None:
    page = page_of(replace(rich(), unmatched={"a.com/gpu": 1}, unresolved_claims={"b.com": 1}))
    classes = [attributes["class"] for name, attributes in page.elements if name == "p" and "class" in attributes]
    assert classes[:2] == ["notice", "notice"]


def test_the_check_of_a_simulated_node_names_the_scenario() -> None:
    view = build_view(replace(rich(), unmatched={"a.com/gpu": 1}), NOW, 0)
    about = replace(ABOUT, simulated="devices and values", check="accelerator-exporter check --simulate=SCENARIO")
    page = PageText(render(about, view, ""))
    command = "accelerator-exporter check --simulate=SCENARIO"
    assert page.paragraphs[1] == f"1 allocated id of a.com/gpu matches no device. Run {command} for details."
