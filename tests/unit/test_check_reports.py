"""The printed text: within 100 columns, without control characters, and as in docs/check.md."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectors import catalog
from collectors.condition import Condition
from collectors.contract import Reason, Unsupported
from exporter.attribution.api_health import ApiState
from exporter.attribution.holding import ClaimDevice
from exporter.check import report_json, report_text
from exporter.check.command import all_findings
from exporter.check.facts import ApiFacts, CallOutcome, CdiDirectory, ClaimSources, KubeletState, NodeFacts
from exporter.check.finding import FindingCode
from exporter.check.running_facts import HeldDevice, PastEvent, RunningExporter
from exporter.check.text_table import WIDTH
from exporter.severity import Severity
from tests.doubles.check_facts import (
    DRA_DRIVER,
    HEALTHY,
    IDLE_SLICE,
    SERVING,
    SLICE,
    TRAINING,
    WHOLE,
    WITHOUT_LIBRARY,
    collector,
    failed,
    h100,
    kubelet,
    reading,
    silent_kubelet,
    unmatched_holding,
)

CLAIMED = ClaimDevice("ml", "train", DRA_DRIVER, "worker-1", "gpu-9", "", "ml", "train-gpu")
OTHER_CLAIMS = tuple(
    ClaimDevice("ml", "train", driver, "worker-1", f"device-{number}", "", "ml", "other")
    for driver in ("dra.net", "gpu.unknown.example")
    for number in range(25)
)
CLAIM_SOURCES = ClaimSources(
    (CdiDirectory("/var/run/cdi", exists=True), CdiDirectory("/etc/cdi", None)),
    "monitors",
    (ApiFacts("resource slices", "list and watch resourceslices", ApiState.DOWN, "it says why"),),
)
RUNNING = RunningExporter(
    ":9410",
    1.0,
    2.0,
    simulated=False,
    held=(HeldDevice("0000:1b:00.0", WHOLE.uuid, "research/train-0/main", "nvidia.com/gpu"),),
    states={WHOLE.uuid: "failed"},
    events=(PastEvent(WHOLE.uuid, "xid", "79", 10.0),),
)
PAGE = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```[a-z]*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FACTS = {
    "healthy": HEALTHY,
    "without library": WITHOUT_LIBRARY,
    "late": replace(HEALTHY, collectors=(failed(CallOutcome.LATE),)),
    "lost": replace(HEALTHY, collectors=(collector(reading(devices=(WHOLE, h100(3, lost=True)))),)),
    "without kubelet": replace(HEALTHY, kubelet=silent_kubelet(KubeletState.ABSENT)),
    "unmatched ids": replace(HEALTHY, kubelet=kubelet(*(unmatched_holding(number) for number in range(25)))),
    "claims": replace(HEALTHY, kubelet=replace(kubelet(claims=(CLAIMED, *OTHER_CLAIMS)), claim_sources=CLAIM_SOURCES)),
    "nothing": replace(HEALTHY, collectors=(), pci=()),
}


def text(facts: NodeFacts) -> str:
    return report_text.render(facts, all_findings(facts))


def document(facts: NodeFacts) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(report_json.render(facts, all_findings(facts)))
    return found


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_the_text_fits_a_terminal_and_has_no_control_characters(facts: NodeFacts) -> None:
    report = text(facts)
    assert max(map(len, report.splitlines())) <= WIDTH
    assert report.endswith("\n")
    assert all(char.isprintable() or char == "\n" for char in report)


def test_text_from_a_peer_cannot_control_the_terminal() -> None:
    malicious = unmatched_holding()._replace(device_id="GPU-\x1b[31m\r\nerror  all is lost")
    report = text(replace(HEALTHY, kubelet=kubelet(malicious)))
    assert "GPU-\\x1b[31m\\r\\nerror" in report
    assert "\x1b" not in report


def test_long_lists_are_shortened_with_a_note() -> None:
    assert "and 5 more; --json lists all" in text(FACTS["unmatched ids"])
    assert len(document(FACTS["unmatched ids"])["kubelet"]["answer"]["unmatched"]) == 25


def lacking(*gaps: Unsupported) -> str:
    """Return the printed section of unsupported metrics."""
    found = replace(reading(), devices=tuple(map(h100, range(8))), partitions=(SLICE, IDLE_SLICE), unsupported=gaps)
    report = text(replace(HEALTHY, collectors=(collector(found),)))
    return report.partition("UNSUPPORTED METRICS\n")[2].partition("\n\nPCI BUS")[0]


def test_devices_that_lack_the_same_families_are_listed_together() -> None:
    energy = replace(reading().unsupported[0], metric=catalog.ENERGY, detail="has no counter")
    gaps = [replace(energy, device_uuid=h100(number).uuid) for number in range(8)]
    load = replace(reading().unsupported[0], device_uuid=h100(3).uuid)

    assert (
        lacking(*gaps, load)
        == """\
  0000:0b:00.0, 0000:1b:00.0, 0000:2b:00.0, 0000:4b:00.0, 0000:5b:00.0, 0000:6b:00.0, 0000:7b:00.0:
  FAMILY                                  WHY
  accelerator_device_energy_joules_total  has no counter

  0000:3b:00.0:
  FAMILY                                  WHY
  accelerator_device_energy_joules_total  has no counter
  accelerator_device_utilization_ratio    nvmlDeviceGetUtilizationRates: NOT_SUPPORTED (3)"""
    )


def test_the_same_family_with_another_reason_is_listed_separately() -> None:
    gap = reading().unsupported[0]
    old = replace(gap, device_uuid=WHOLE.uuid, detail="the driver is too old")

    assert lacking(gap, old).count("accelerator_device_utilization_ratio") == 2


def test_partitions_are_named_by_profile_and_device() -> None:
    gap = replace(reading().unsupported[0], detail="has none")
    parts = [replace(gap, partition_uuid=part.uuid) for part in (SLICE, IDLE_SLICE)]
    unknown = replace(gap, device_uuid="GPU-unknown", partition_uuid="MIG-unknown")

    assert (
        lacking(*parts, unknown)
        == """\
  3g.40gb of 0000:2b:00.0, 1g.10gb of 0000:2b:00.0, MIG-unknown of GPU-unknown:
  FAMILY                                   WHY
  accelerator_partition_utilization_ratio  has none"""
    )


def test_equal_partitions_are_counted() -> None:
    gap = replace(reading().unsupported[0], detail="has none")
    twins = (SLICE, replace(IDLE_SLICE, profile=SLICE.profile))
    found = replace(
        reading(), partitions=twins, unsupported=tuple(replace(gap, partition_uuid=part.uuid) for part in twins)
    )

    assert "  2 x 3g.40gb of 0000:2b:00.0:" in text(replace(HEALTHY, collectors=(collector(found),)))


def test_the_summary_counts() -> None:
    assert text(HEALTHY).splitlines()[-1] == "0 errors, 0 warnings, 0 notes"
    assert text(WITHOUT_LIBRARY).splitlines()[-1] == "1 error, 0 warnings, 1 note"


def keys(value: object, path: str = "") -> Iterator[str]:
    """Yield every key with its parent keys; all entries of a list have one path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if path == "kubelet.answer.other_resources":
                continue
            here = f"{path}.{key}" if path else key
            yield here
            yield from keys(inner, here)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{path}[]")


def test_every_key_of_the_object_is_documented_and_no_other() -> None:
    answered = kubelet(TRAINING, SERVING, unmatched_holding(), claims=(CLAIMED,))
    unwell = replace(reading(), conditions={WHOLE.uuid: (Condition("degraded", "Bad memory", "Reset it"),)})
    facts = replace(HEALTHY, collectors=(collector(unwell),), running=RUNNING)
    full = document(replace(facts, kubelet=replace(answered, claim_sources=CLAIM_SOURCES)))
    section = PAGE.partition("## The JSON object")[2]
    documented = set(re.findall(r"^\| `([a-z_.\[\]]+)` \|", section, re.MULTILINE))
    of_drivers = f"kubelet.answer.claim_devices_by_driver.{DRA_DRIVER}"
    assert set(keys(full)) - {of_drivers} == documented


def test_every_code_is_documented() -> None:
    documented = set(re.findall(r"^\| `([a-z_]+)` \| (?:error|warning|note|ok)", PAGE, re.MULTILINE))
    assert documented == {code.value for code in FindingCode}


@pytest.mark.parametrize("facts", [HEALTHY, WITHOUT_LIBRARY], ids=["healthy", "without library"])
def test_the_examples_of_the_page_equal_the_printed_text(facts: NodeFacts) -> None:
    assert text(facts) in BLOCKS


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [(HEALTHY, Severity.OK), (WITHOUT_LIBRARY, Severity.ERROR)],
    ids=["healthy", "without library"],
)
def test_the_object_has_the_verdict(facts: NodeFacts, verdict: Severity) -> None:
    found = document(facts)
    assert (found["schema_version"], found["verdict"]) == (1, verdict)
    assert [each["severity"] for each in found["findings"]] == [each.severity for each in all_findings(facts)]


def test_holders_are_null_without_the_kubelets_answer_and_empty_if_there_are_none() -> None:
    whole, partitioned = document(HEALTHY)["devices"]
    assert whole["holders"] == [
        {"namespace": "research", "pod": "train-0", "container": "main", "resource": "nvidia.com/gpu"}
    ]
    assert partitioned["holders"] == []
    assert [len(part["holders"]) for part in partitioned["partitions"]] == [1, 0]
    assert [each["holders"] for each in document(FACTS["without kubelet"])["devices"]] == [None, None]


def test_states_come_from_the_collector_and_lost_devices_are_failed() -> None:
    assert [each["status"] for each in document(FACTS["lost"])["devices"]] == ["ok", "failed"]
    silent = replace(reading(), samples=())
    assert document(replace(HEALTHY, collectors=(collector(silent),)))["devices"][0]["status"] is None


def test_a_failure_has_its_reason_in_the_object() -> None:
    (found,) = document(WITHOUT_LIBRARY)["collectors"]
    assert (found["state"], found["reason"]) == ("failed", Reason.LIBRARY_MISSING)
