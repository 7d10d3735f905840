"""What the check advises fits the ids that match no device, and what the running exporter knows."""

from dataclasses import replace

import pytest

from collectors import vendors
from collectors.contract import Fault, Reason
from collectors.simulated import load_scenario
from exporter.attribution.holding import Holding
from exporter.check.command import all_findings
from exporter.check.facts import CallOutcome, KubeletState, NodeFacts, PciState, VariableFacts
from exporter.check.finding import Finding, FindingCode
from exporter.check.report_json import render as as_json
from exporter.check.report_text import render as as_text
from exporter.check.running import understood
from exporter.check.running_facts import HeldDevice, PastEvent, RunningExporter
from exporter.check.simulation import second_of
from exporter.severity import Severity
from tests.doubles.check_facts import (
    ENVIRONMENT,
    GPU,
    HEALTHY,
    MOUNTED,
    NOT_MOUNTED,
    WHOLE,
    collector,
    failed,
    h100,
    kubelet,
    on_bus,
    reading,
    silent_kubelet,
    unmatched_holding,
)

NOW = 1_700_000_000.0
VARIABLES = tuple(
    VariableFacts(vendor.name, each.name, None, each.shows_all, each.shows, each.hidden_ids, each.hides_devices)
    for vendor in vendors.VENDORS
    for each in vendor.variables
)
HIDING = replace(ENVIRONMENT, variables=VARIABLES)
UNLISTED = (*HEALTHY.pci, on_bus(h100(3), PciState.NOT_READ))
FOREIGN = unmatched_holding()
MIG = FOREIGN._replace(resource="nvidia.com/mig-1g.10gb", device_id="MIG-dead")


def finding(facts: NodeFacts, code: FindingCode) -> Finding:
    (found,) = [each for each in all_findings(facts) if each.code is code]
    return found


def advice(holding: Holding, facts: NodeFacts) -> str:
    return finding(replace(facts, kubelet=kubelet(holding)), FindingCode.UNMATCHED_IDS).do


def test_a_foreign_uuid_is_no_problem_of_variables_while_all_devices_are_listed() -> None:
    do = advice(FOREIGN, replace(HEALTHY, environment=HIDING))
    assert do == (
        "this node has no device with the id GPU-unmatched-0: if a device was replaced, or partitions were created or "
        "removed, restart the device plugin, then the pod"
    )


def test_a_uuid_of_a_device_may_be_hidden_while_the_bus_has_more_devices_than_are_listed() -> None:
    do = advice(FOREIGN, replace(HEALTHY, environment=HIDING, pci=UNLISTED))
    assert do == "make every device visible to the container (NVIDIA_VISIBLE_DEVICES=all)"
    unseen = replace(HIDING, pci_bus=False)
    assert advice(FOREIGN, replace(HEALTHY, environment=unseen, pci=())) == do


def test_an_id_of_a_partition_may_be_hidden_while_all_devices_are_listed() -> None:
    do = advice(MIG, replace(HEALTHY, environment=HIDING))
    assert do == "make every device visible to the container (NVIDIA_MIG_MONITOR_DEVICES=all)"


def test_without_a_variable_that_hides_it_an_id_is_one_of_no_device() -> None:
    assert advice(MIG, HEALTHY).startswith("this node has no device with the id MIG-dead: ")


def test_the_text_names_the_ids() -> None:
    facts = replace(HEALTHY, kubelet=kubelet(*(unmatched_holding(number) for number in range(5))))
    assert finding(facts, FindingCode.UNMATCHED_IDS).text.endswith(
        "(GPU-unmatched-0, GPU-unmatched-1, GPU-unmatched-2 and 2 more)"
    )


HELD = (
    HeldDevice("0000:1b:00.0", WHOLE.uuid, "research/train-0/main", GPU),
    HeldDevice("0000:1b:00.0", WHOLE.uuid, "research/train-0/sidecar", GPU),
    HeldDevice("0000:2b:00.0", "MIG-one", "serving/chat-0/server", "nvidia.com/mig-3g.40gb"),
)
RUNNING = RunningExporter(":9410", 23.4, 900.0, simulated=False, held=HELD)


def down(running: RunningExporter | None, state: KubeletState = KubeletState.FAILED) -> NodeFacts:
    return replace(HEALTHY, kubelet=replace(silent_kubelet(state), hold_seconds=60.0), running=running)


@pytest.mark.parametrize(
    ("state", "code"),
    [(KubeletState.FAILED, FindingCode.KUBELET_FAILED), (KubeletState.ABSENT, FindingCode.KUBELET_ABSENT)],
)
def test_without_the_kubelet_it_says_what_is_still_held_and_for_how_long(
    state: KubeletState, code: FindingCode
) -> None:
    text = finding(down(RUNNING, state), code).text
    assert text.endswith(
        "its last answer to the exporter at :9410 came 23s ago and is used for 37s more: "
        "2 devices or partitions still held by 2 pods"
    )
    report = as_text(down(RUNNING, state), ())
    assert "STILL HELD BY THE LAST ANSWER OF THE KUBELET" in report
    assert "serving/chat-0/server" in report


def test_after_that_time_nothing_is_held() -> None:
    text = finding(down(replace(RUNNING, answer_age_seconds=75.0, held=())), FindingCode.KUBELET_FAILED).text
    assert text.endswith("came 1m15s ago and is used for 1m: no pod information, device metrics only")


def test_without_a_running_exporter_nothing_is_known_of_allocations() -> None:
    for running in (None, replace(RUNNING, answer_age_seconds=None)):
        text = finding(down(running), FindingCode.KUBELET_FAILED).text
        assert text.endswith("until the kubelet answers: no pod information, device metrics only")


def test_what_only_the_running_exporter_has_seen_is_a_finding_of_the_device() -> None:
    event = PastEvent(WHOLE.uuid, "xid", "79", 130.0)
    running = replace(RUNNING, states={WHOLE.uuid: "failed"}, events=(event,))
    found = finding(replace(HEALTHY, running=running), FindingCode.DEVICE_NOT_OK)
    assert found.severity is Severity.ERROR
    assert found.text == (
        f"{WHOLE.model}, {WHOLE.uuid}, held by research/train-0: failed by the running exporter at :9410: no reason is "
        "known here; the running exporter has counted xid 79 (2m10s ago)"
    )
    assert '"code": "79"' in as_json(replace(HEALTHY, running=running), ())


def test_a_lost_device_is_called_what_the_running_exporter_calls_it() -> None:
    lost = replace(h100(3, lost=True), uuid="nvidia-made-up")
    held = (HeldDevice(lost.device, "GPU-known", "research/train-1/main", GPU),)
    running = replace(RUNNING, held=held, devices={lost.device: ("GPU-known", "3")})
    facts = replace(HEALTHY, collectors=(collector(reading(devices=(WHOLE, lost))),), running=running)
    text = finding(facts, FindingCode.DEVICE_LOST).text
    assert text.startswith(f"{lost.model}, index 3, GPU-known, held by research/train-1: it does not answer")
    holding = FOREIGN._replace(device_id="GPU-known")
    unmatched = finding(replace(facts, kubelet=kubelet(holding)), FindingCode.UNMATCHED_IDS)
    assert (unmatched.severity, unmatched.do) == (Severity.NOTE, f"repair the device first ({lost.device})")
    assert unmatched.text == f"{GPU}: 1 allocated id is that of a device that cannot be read now (GPU-known)"


def test_the_next_step_after_the_errors_of_a_lost_device_is_on_the_page() -> None:
    lost = h100(3, lost=True)
    running = replace(
        RUNNING, devices={lost.device: (lost.uuid, "3")}, events=(PastEvent(lost.uuid, "xid", "79", 30.0),)
    )
    facts = replace(HEALTHY, collectors=(collector(reading(devices=(WHOLE, lost))),), running=running)
    found = finding(facts, FindingCode.DEVICE_LOST)
    assert found.text.endswith("the running exporter has counted xid 79 (30s ago)")
    assert found.do.endswith("The status page has the next step after these errors")


def test_an_unmatched_id_is_of_a_lost_device_only_if_that_is_known() -> None:
    lost = replace(h100(3, lost=True), uuid="nvidia-made-up")
    facts = replace(HEALTHY, collectors=(collector(reading(devices=(WHOLE, lost))),))
    unmatched = finding(replace(facts, kubelet=kubelet(FOREIGN)), FindingCode.UNMATCHED_IDS)
    assert unmatched.severity is Severity.WARNING
    assert unmatched.do == f"GPU-unmatched-0 may be the id of a device that does not answer ({lost.device})"


def test_ids_of_a_lost_device_and_of_no_device_are_counted_apart() -> None:
    without = on_bus(h100(3), PciState.NOT_READ, None)
    shared = FOREIGN._replace(device_id=f"{without.address}::1")
    facts = replace(HEALTHY, pci=(*HEALTHY.pci, without), kubelet=kubelet(shared, FOREIGN))
    error, note = [each for each in all_findings(facts) if each.code is FindingCode.UNMATCHED_IDS]
    assert error.text.startswith(f"{GPU}: 1 allocated id matches no device; its pod has no series (GPU-unmatched-0)")
    assert (note.severity, note.do) == (Severity.NOTE, f"repair the device first ({without.address})")


def test_ids_of_a_collector_that_hangs_are_no_reason_to_repair_its_devices() -> None:
    hanging = (failed(CallOutcome.LATE),)
    bus = (on_bus(WHOLE, PciState.NOT_READ),)
    running = replace(RUNNING, devices={WHOLE.device: (WHOLE.uuid, "0")})
    holding = FOREIGN._replace(device_id=WHOLE.uuid)
    facts = replace(HEALTHY, collectors=hanging, pci=bus, running=running)
    found = finding(replace(facts, kubelet=kubelet(holding, collectors=hanging)), FindingCode.UNMATCHED_IDS)
    assert (found.severity, found.do) == (Severity.NOTE, "fix the collector first")


def test_a_device_that_has_lost_its_driver_is_as_severe_as_in_the_running_exporter() -> None:
    without = on_bus(h100(3), PciState.NOT_READ, None)
    facts = replace(HEALTHY, pci=(*HEALTHY.pci, without))
    assert finding(facts, FindingCode.DEVICE_NOT_READ).severity is Severity.WARNING
    held = (HeldDevice(without.address, "GPU-known", "serving/llm-6/server", "amd.com/gpu"),)
    running = replace(RUNNING, held=held, devices={without.address: ("GPU-known", "")}, states={"GPU-known": "failed"})
    found = finding(replace(facts, running=running), FindingCode.DEVICE_LOST)
    assert found.severity is Severity.ERROR
    name = "NVIDIA 10de:2330, GPU-known, held by serving/llm-6"
    assert found.text.startswith(f"{name}: failed by the running exporter at :9410; it is on the PCI bus ")
    assert found.do == "see dmesg on the node; drain the node, then bind the device to its driver again or reboot"


def test_a_lost_device_that_the_library_does_not_name_is_one_finding() -> None:
    fault = Fault(Reason.DEVICE_LOST, "device at index 3", "GPU_IS_LOST")
    lost = h100(3, lost=True)
    for devices, codes in (((WHOLE, lost), {FindingCode.DEVICE_LOST}), ((WHOLE,), {FindingCode.DEVICE_NOT_READ})):
        facts = replace(HEALTHY, collectors=(collector(reading(fault, devices=devices)),))
        assert {each.code for each in all_findings(facts) if each.severity is Severity.ERROR} == codes


EXPOSITION = r"""HTTP/1.1 200 OK

# TYPE accelerator_allocation_info gauge
accelerator_allocation_info{uuid="GPU-1",device="0000:1b:00.0",k8s_ns="ns",pod="a\"b",container="c",resource="r"} 1
accelerator_allocation_info{uuid="GPU-2",device="d",partition_uuid="MIG-1",k8s_ns="n",pod="p",container="c"} 1
accelerator_allocation_info_other{uuid="GPU-3"} 1
accelerator_device_info{uuid="GPU-1",device="0000:1b:00.0",index="3"} 1
accelerator_device_status{uuid="GPU-1",state="ok"} 0
accelerator_device_status{uuid="GPU-1",state="failed"} 1
accelerator_device_error_last_timestamp_seconds{uuid="GPU-1",source="xid",code="48",class="hardware"} 1.6999999e9
accelerator_device_error_last_timestamp_seconds{uuid="GPU-1",source="xid",code="79",class="hardware"} 1699999990
accelerator_device_error_last_timestamp_seconds{uuid="GPU-1",source="xid",code="31",class="application"} 1699999990
accelerator_exporter_attribution_last_success_timestamp_seconds{source="podresources"} 1699999977
process_start_time_seconds 1699999100.5
"""


def test_an_exposition_is_understood() -> None:
    assert understood(":1", EXPOSITION, ("k8s_ns", "pod", "container"), NOW) == RunningExporter(
        address=":1",
        answer_age_seconds=23.0,
        running_seconds=899.5,
        simulated=False,
        held=(HeldDevice("0000:1b:00.0", "GPU-1", 'ns/a"b/c', "r"), HeldDevice("d", "MIG-1", "n/p/c", "")),
        states={"GPU-1": "failed"},
        devices={"0000:1b:00.0": ("GPU-1", "3")},
        events=(PastEvent("GPU-1", "xid", "79", 10.0), PastEvent("GPU-1", "xid", "48", 100.0)),
    )


def test_an_exposition_of_something_else_says_nothing() -> None:
    found = understood(":1", "accelerator_allocation_info{ 1\nprocess_start_time_seconds soon\n", ("a", "b", "c"), NOW)
    assert (found.answer_age_seconds, found.running_seconds, found.states) == (None, None, {})


def test_a_scenario_is_looked_at_where_the_running_exporter_is() -> None:
    scenario = load_scenario("failing")
    playing = replace(RUNNING, simulated=True, running_seconds=125.0)
    assert second_of(scenario, playing) == 125.0
    assert second_of(scenario, None) == second_of(scenario, RUNNING) == 0.0
    assert 0 <= second_of(scenario, replace(playing, running_seconds=1e7)) < 900


def test_advice_for_a_missing_socket_depends_on_the_mount() -> None:
    mounted, unmounted = (
        finding(replace(HEALTHY, kubelet=silent_kubelet(KubeletState.ABSENT, mount)), FindingCode.KUBELET_ABSENT).do
        for mount in (MOUNTED, NOT_MOUNTED)
    )
    assert mounted.startswith(f"{MOUNTED.point} is mounted: check that the kubelet runs")
    assert unmounted.startswith("mount the kubelet's pod-resources directory")


def test_a_replaced_directory_needs_a_restart_of_the_pod() -> None:
    facts = replace(HEALTHY, kubelet=silent_kubelet(KubeletState.FAILED, replace(MOUNTED, replaced=True)))
    assert finding(facts, FindingCode.KUBELET_FAILED).do.startswith("restart the pod")
