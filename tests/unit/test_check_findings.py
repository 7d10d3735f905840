"""One case for each finding: its severity, its subject, and words of its text."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from collectors import catalog
from collectors.condition import Condition
from collectors.contract import Fault, Reading, Reason, Sample
from exporter.attribution.api_health import ApiState
from exporter.attribution.holding import ClaimDevice
from exporter.check.command import all_findings
from exporter.check.facts import (
    AddressFacts,
    AddressState,
    ApiFacts,
    CallOutcome,
    ClaimSources,
    IdentitySource,
    KubeletState,
    MountFacts,
    NodeFacts,
    PciFacts,
    PciState,
    SocketMount,
)
from exporter.check.finding import Finding, FindingCode, ordered, worst
from exporter.check.running_facts import PastEvent, RunningExporter
from exporter.severity import Severity
from tests.doubles.check_facts import (
    DRA_DRIVER,
    ENVIRONMENT,
    GPU,
    HEALTHY,
    PARTITIONED,
    SOCKET,
    TRAINING,
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

ERROR, WARNING, NOTE, OK = Severity
ABSENT = failed(CallOutcome.ABSENT, text="no NVIDIA device on this node")
NOTHING = replace(HEALTHY, collectors=(ABSENT,), pci=(), kubelet=kubelet(collectors=(ABSENT,)))
FILE = MountFacts(SocketMount.FILE, SOCKET)
OUTSIDE = replace(ENVIRONMENT, in_kubernetes=False)
UNPARTITIONED = Reading((PARTITIONED,), samples=reading().samples)
HIDING = replace(ENVIRONMENT, variables=(replace(ENVIRONMENT.variables[0], value=None),))


def with_collector(*, state: CallOutcome, reason: Reason | None = None) -> NodeFacts:
    return replace(HEALTHY, collectors=(failed(state, reason),))


def with_faults(*faults: Fault) -> NodeFacts:
    return replace(HEALTHY, collectors=(collector(reading(*faults)),))


def with_address(state: AddressState) -> NodeFacts:
    return replace(HEALTHY, addresses=(AddressFacts(":9410", state, "why it is refused"),))


def without_name(identity: IdentitySource) -> NodeFacts:
    return replace(HEALTHY, environment=replace(ENVIRONMENT, node_name=None, identity=identity))


LOST = h100(3, lost=True)
LOST_FAULT = Fault(Reason.DEVICE_LOST, LOST.device, "fell off the bus")
AMD_CARD = PciFacts("0000:a1:00.0", "AMD", "1002:74a1", "amdgpu", PciState.NO_COLLECTOR)
# Two pods share the claim of gpu-0; a network interface is no accelerator.
THREE_CLAIMED = tuple(
    ClaimDevice("ml", pod, driver, "worker-1", device)
    for pod, driver, device in (
        ("a", DRA_DRIVER, "gpu-0"),
        ("b", DRA_DRIVER, "gpu-0"),
        ("b", DRA_DRIVER, "gpu-1"),
        ("c", DRA_DRIVER, "gpu-2"),
        ("c", "dra.net", "eth1"),
    )
)
UNWELL = replace(
    reading(),
    samples=(Sample(catalog.STATUS_STATE, WHOLE.uuid, 1, labels=("degraded",)),),
    conditions={WHOLE.uuid: (Condition("degraded", "Bad memory", "Reset it"),)},
)
HOT = replace(reading(), samples=(Sample(catalog.THROTTLE_ACTIVE, WHOLE.uuid, 1, labels=("thermal",)),))
UNMATCHED = replace(HEALTHY, kubelet=kubelet(TRAINING, unmatched_holding(), unmatched_holding(1)))

API_DOWN = ApiFacts("resource slices", "list and watch resourceslices", ApiState.DOWN, "it says why")
RUNNING = RunningExporter(":9410", 23.4, 900.0, simulated=False, held=())

CASES: tuple[tuple[NodeFacts, Severity, FindingCode, str, str], ...] = (
    (HEALTHY, OK, FindingCode.COLLECTOR_OK, "collector nvidia", "2 devices and 2 partitions read in 0.03 s"),
    (NOTHING, NOTE, FindingCode.COLLECTOR_ABSENT, "collector nvidia", "no NVIDIA device on this node"),
    (NOTHING, NOTE, FindingCode.NO_ACCELERATOR, "node", "no accelerator on this node"),
    (
        with_collector(state=CallOutcome.FAILED, reason=Reason.LIBRARY_MISSING),
        ERROR,
        FindingCode.COLLECTOR_FAILED,
        "collector nvidia",
        "library_missing: it says why",
    ),
    (with_collector(state=CallOutcome.LATE), ERROR, FindingCode.COLLECTOR_LATE, "collector nvidia", "within 5 s"),
    (
        replace(HEALTHY, collectors=(collector(reading(LOST_FAULT, devices=(WHOLE, LOST))),)),
        ERROR,
        FindingCode.DEVICE_LOST,
        f"device {LOST.device}",
        "(fell off the bus)",
    ),
    (
        replace(HEALTHY, collectors=(collector(replace(reading(), stuck=frozenset({WHOLE.uuid}))),)),
        ERROR,
        FindingCode.DEVICE_NOT_READ,
        f"device {WHOLE.device}",
        "is stuck: a call about it has not returned",
    ),
    (
        replace(HEALTHY, collectors=(collector(replace(reading(), stuck=frozenset({WHOLE.uuid}))),)),
        OK,
        FindingCode.COLLECTOR_OK,
        "collector nvidia",
        "1 device and 2 partitions read",
    ),
    (
        with_faults(Fault(Reason.PERMISSION_DENIED, "device at index 2", "NO_PERMISSION (4)")),
        ERROR,
        FindingCode.DEVICE_NOT_READ,
        "device at index 2",
        "permission_denied: NO_PERMISSION (4)",
    ),
    (
        replace(HEALTHY, pci=(on_bus(h100(3), PciState.NOT_READ),)),
        WARNING,
        FindingCode.DEVICE_NOT_READ,
        "device 0000:3b:00.0",
        "bound to the driver nvidia",
    ),
    (
        replace(HEALTHY, pci=(on_bus(h100(3), PciState.NOT_READ, driver=None),)),
        WARNING,
        FindingCode.DEVICE_NOT_READ,
        "device 0000:3b:00.0",
        "no driver is bound to it",
    ),
    (
        with_faults(Fault(Reason.PERMISSION_DENIED, WHOLE.uuid, "nvmlDeviceGetPowerUsage: NO_PERMISSION (4)")),
        WARNING,
        FindingCode.READING_FAILED,
        f"device {WHOLE.device}",
        "nvmlDeviceGetPowerUsage",
    ),
    (
        replace(HEALTHY, pci=(AMD_CARD,)),
        WARNING,
        FindingCode.NO_COLLECTOR,
        "device 0000:a1:00.0",
        "AMD 1002:74a1 is on the PCI bus",
    ),
    (
        replace(HEALTHY, collectors=(collector(UNPARTITIONED),), environment=HIDING),
        WARNING,
        FindingCode.PARTITIONS_HIDDEN,
        f"device {PARTITIONED.device}",
        "in partitioning mode",
    ),
    (HEALTHY, OK, FindingCode.KUBELET_OK, "kubelet", "3 pods, 3 allocated device ids"),
    (
        replace(HEALTHY, kubelet=silent_kubelet(KubeletState.ABSENT)),
        ERROR,
        FindingCode.KUBELET_ABSENT,
        "kubelet",
        f"no socket at {SOCKET}",
    ),
    (
        replace(HEALTHY, kubelet=silent_kubelet(KubeletState.ABSENT), environment=OUTSIDE),
        NOTE,
        FindingCode.KUBELET_ABSENT,
        "kubelet",
        "outside Kubernetes",
    ),
    (
        replace(HEALTHY, kubelet=silent_kubelet(KubeletState.FAILED)),
        ERROR,
        FindingCode.KUBELET_FAILED,
        "kubelet",
        "it says why; until the kubelet answers: no pod information, device metrics only",
    ),
    (
        replace(HEALTHY, kubelet=silent_kubelet(KubeletState.FAILED, text="")),
        ERROR,
        FindingCode.KUBELET_FAILED,
        "kubelet",
        "no answer in time",
    ),
    (
        replace(HEALTHY, kubelet=kubelet(mount=FILE)),
        WARNING,
        FindingCode.SOCKET_FILE_MOUNTED,
        "kubelet",
        "the next restart",
    ),
    (
        replace(HEALTHY, kubelet=kubelet(mount=replace(FILE, replaced=True))),
        WARNING,
        FindingCode.SOCKET_FILE_MOUNTED,
        "kubelet",
        "already been replaced on the node",
    ),
    (
        UNMATCHED,
        WARNING,
        FindingCode.UNMATCHED_IDS,
        "kubelet",
        f"{GPU}: 2 allocated ids match no device; their pods have no series",
    ),
    (
        replace(NOTHING, kubelet=kubelet(TRAINING, collectors=(ABSENT,))),
        WARNING,
        FindingCode.UNMATCHED_IDS,
        "kubelet",
        "1 allocated id matches no device; its pod has no series",
    ),
    (
        replace(UNMATCHED, collectors=(failed(CallOutcome.LATE),)),
        NOTE,
        FindingCode.UNMATCHED_IDS,
        "kubelet",
        "2 allocated ids match no device",
    ),
    (
        replace(HEALTHY, kubelet=kubelet(claims=THREE_CLAIMED)),
        WARNING,
        FindingCode.CLAIMS_UNRESOLVED,
        "resource claims",
        "gpu.nvidia.com: 3 devices of claims are not resolved: no device has this name (unknown_name)",
    ),
    (
        replace(HEALTHY, collectors=(collector(UNWELL),)),
        WARNING,
        FindingCode.DEVICE_NOT_OK,
        f"device {WHOLE.device}",
        f"{WHOLE.model}, {WHOLE.uuid}, held by research/train-0: degraded: Bad memory",
    ),
    (
        replace(HEALTHY, running=replace(RUNNING, events=(PastEvent(WHOLE.uuid, "xid", "63", 30.0),))),
        WARNING,
        FindingCode.DEVICE_EVENT,
        f"device {WHOLE.device}",
        f"{WHOLE.model}, {WHOLE.uuid}, held by research/train-0: the running exporter has counted xid 63 (30s ago)",
    ),
    (
        replace(HEALTHY, collectors=(collector(HOT),)),
        WARNING,
        FindingCode.DEVICE_THROTTLED,
        f"device {WHOLE.device}",
        "Clocks are reduced: the device is too hot",
    ),
    (with_address(AddressState.FREE), OK, FindingCode.ADDRESS_OK, "address :9410", "free"),
    (with_address(AddressState.SERVED), OK, FindingCode.ADDRESS_OK, "address :9410", "an exporter listens there"),
    (
        with_address(AddressState.TAKEN),
        ERROR,
        FindingCode.ADDRESS_TAKEN,
        "address :9410",
        "another program listens there",
    ),
    (with_address(AddressState.REFUSED), ERROR, FindingCode.ADDRESS_REFUSED, "address :9410", "why it is refused"),
    (with_address(AddressState.LATE), WARNING, FindingCode.ADDRESS_LATE, "address :9410", "took too long"),
    (
        replace(HEALTHY, environment=replace(ENVIRONMENT, pci_bus=False)),
        WARNING,
        FindingCode.NO_PCI_BUS,
        "node",
        "sysfs shows no PCI bus",
    ),
    (without_name(IdentitySource.HOST_NAME), WARNING, FindingCode.NODE_NAME_MISSING, "node", "exporter-x7k2p"),
    (
        without_name(IdentitySource.PRODUCT_UUID),
        NOTE,
        FindingCode.NODE_NAME_MISSING,
        "node",
        "exporter-x7k2p is shown instead",
    ),
    (
        replace(HEALTHY, environment=replace(ENVIRONMENT, capabilities=("SYS_ADMIN",))),
        NOTE,
        FindingCode.MORE_RIGHTS_THAN_NEEDED,
        "process",
        "has 1 capability and needs none on most nodes",
    ),
    (
        replace(HEALTHY, kubelet=replace(HEALTHY.kubelet, claim_sources=ClaimSources(api=(API_DOWN,)))),
        WARNING,
        FindingCode.API_NOT_READ,
        "API server",
        "resource slices are not read: it says why",
    ),
    (
        replace(HEALTHY, environment=replace(ENVIRONMENT, read_only_root=False)),
        NOTE,
        FindingCode.MORE_RIGHTS_THAN_NEEDED,
        "process",
        "root file system",
    ),
)


def found(facts: NodeFacts, code: FindingCode) -> list[Finding]:
    return [finding for finding in all_findings(facts) if finding.code is code]


def severities(findings: Iterable[Finding]) -> list[Severity]:
    return [finding.severity for finding in findings]


@pytest.mark.parametrize(
    ("facts", "severity", "code", "subject", "words"),
    CASES,
    ids=[f"{code}-{severity}-{number}" for number, (_, severity, code, _, _) in enumerate(CASES)],
)
def test_each_finding(facts: NodeFacts, severity: Severity, code: FindingCode, subject: str, words: str) -> None:
    (finding,) = found(facts, code)
    assert (finding.severity, finding.subject) == (severity, subject)
    assert words in finding.text


def test_every_code_has_a_case() -> None:
    assert {case[2] for case in CASES} == set(FindingCode)


def test_a_healthy_node_has_only_ok_findings() -> None:
    assert set(severities(all_findings(HEALTHY))) == {OK}


def test_a_node_without_devices_has_no_error_and_no_warning() -> None:
    assert set(severities(all_findings(NOTHING))) == {NOTE, OK}


def test_errors_and_warnings_say_what_to_do() -> None:
    explained_by_the_text = {
        FindingCode.ADDRESS_TAKEN,
        FindingCode.ADDRESS_REFUSED,
    }
    without_advice = {
        finding.code
        for facts, _, code, *_ in CASES
        for finding in found(facts, code)
        if finding.severity in (ERROR, WARNING) and not finding.do
    }
    assert without_advice == explained_by_the_text


def test_every_reason_of_a_failure_has_advice() -> None:
    failed = {reason: with_collector(state=CallOutcome.FAILED, reason=reason) for reason in Reason}
    assert [r for r, facts in failed.items() if not found(facts, FindingCode.COLLECTOR_FAILED)[0].do] == []


def test_a_device_of_a_collector_that_is_down_is_not_reported_twice() -> None:
    facts = replace(with_collector(state=CallOutcome.LATE), pci=(on_bus(WHOLE, PciState.NOT_READ),))
    assert found(facts, FindingCode.DEVICE_NOT_READ) == []


def test_devices_that_cannot_be_read_from_this_host_are_not_a_finding() -> None:
    pci = (on_bus(h100(3), PciState.PASSED_THROUGH), on_bus(h100(4), PciState.VIRTUAL))
    assert set(severities(all_findings(replace(HEALTHY, pci=pci)))) == {OK}


def test_partitions_are_not_reported_as_hidden_if_no_variable_hides_them() -> None:
    facts = replace(HEALTHY, collectors=(collector(UNPARTITIONED),))
    assert found(facts, FindingCode.PARTITIONS_HIDDEN) == []
    assert found(replace(HEALTHY, environment=HIDING), FindingCode.PARTITIONS_HIDDEN) == []


def test_rights_and_names_are_findings_in_pods_only() -> None:
    bare = replace(OUTSIDE, node_name=None, capabilities=("SYS_ADMIN",), read_only_root=False)
    assert set(severities(all_findings(replace(HEALTHY, environment=bare)))) == {OK}


def test_capabilities_are_not_reported_as_unneeded_if_a_vendor_needs_them() -> None:
    privileged = replace(ENVIRONMENT, capabilities=("SYS_ADMIN",), privileged_only=("AMD partitions",))
    assert set(severities(all_findings(replace(HEALTHY, environment=privileged)))) == {OK}


def test_the_most_severe_finding_comes_first_and_is_the_verdict() -> None:
    findings = [Finding(severity, FindingCode.KUBELET_OK, "x", "y") for severity in (OK, WARNING, ERROR, NOTE, WARNING)]
    assert severities(ordered(findings)) == [ERROR, WARNING, WARNING, NOTE, OK]
    assert worst(tuple(findings)) is ERROR
    assert worst(tuple(findings[:2])) is WARNING
    assert worst(()) is OK
