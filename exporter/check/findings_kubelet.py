"""Findings about the kubelet's socket and its answer. No I/O."""

from collections import Counter
from collections.abc import Iterator

from collectors.wording import counted
from exporter.check.claims import api_findings, claim_findings
from exporter.check.facts import AllocationFacts, CallOutcome, KubeletFacts, KubeletState, NodeFacts, SocketMount
from exporter.check.finding import Finding, FindingCode
from exporter.few_names import counted_by_few
from exporter.severity import Severity

_SUBJECT = "kubelet"
_WITHOUT = "no pod information, device metrics only"
_MOUNT_DIRECTORY = "mount the kubelet's pod-resources directory, read-only, instead of the socket file"


def kubelet_findings(facts: NodeFacts) -> Iterator[Finding]:
    """Return the findings about the kubelet and allocations."""
    kubelet = facts.kubelet
    if kubelet.allocations is not None:
        allocations = kubelet.allocations
        text = f"answers: {counted(allocations.pods, 'pod')}, {counted(allocations.device_ids, 'allocated device id')}"
        yield Finding(Severity.OK, FindingCode.KUBELET_OK, _SUBJECT, text)
        yield from _unmatched(facts, allocations)
        yield from claim_findings(allocations.claims)
    elif kubelet.state is KubeletState.ABSENT:
        yield _absent(kubelet, in_kubernetes=facts.environment.in_kubernetes)
    else:
        text = f"{kubelet.text or 'no answer in time'}; until the kubelet answers: {_WITHOUT}"
        stale = kubelet.mount.replaced and kubelet.mount.kind is SocketMount.DIRECTORY
        do = "restart the pod: the mounted directory has been replaced on the node" if stale else ""
        yield Finding(Severity.ERROR, FindingCode.KUBELET_FAILED, _SUBJECT, text, do)
    if kubelet.mount.kind is SocketMount.FILE:
        yield _file_mounted(kubelet)
    yield from api_findings(kubelet.claim_sources)


def _absent(kubelet: KubeletFacts, *, in_kubernetes: bool) -> Finding:
    if not in_kubernetes:
        text = f"no socket at {kubelet.socket}, which is normal outside Kubernetes: {_WITHOUT}"
        return Finding(Severity.NOTE, FindingCode.KUBELET_ABSENT, _SUBJECT, text)
    text = f"no socket at {kubelet.socket}: {_WITHOUT}"
    if kubelet.mount.kind is SocketMount.DIRECTORY:
        do = (
            f"{kubelet.mount.point} is mounted: check that the kubelet runs, and that this is its pod-resources "
            "directory, which has another path in some distributions"
        )
    else:
        do = "mount the kubelet's pod-resources directory, read-only, or set --kubelet.socket to its socket"
    return Finding(Severity.ERROR, FindingCode.KUBELET_ABSENT, _SUBJECT, text, do)


def _file_mounted(kubelet: KubeletFacts) -> Finding:
    state = (
        "the file has already been replaced on the node" if kubelet.mount.replaced else "the next restart replaces it"
    )
    text = (
        "only the socket file is mounted, not its directory: the kubelet creates a new file at every start, and "
        f"this container keeps the old one; {state}"
    )
    return Finding(Severity.WARNING, FindingCode.SOCKET_FILE_MOUNTED, _SUBJECT, text, _MOUNT_DIRECTORY)


def _unmatched(facts: NodeFacts, allocations: AllocationFacts) -> Iterator[Finding]:
    """Report ids that match no device: a note if the collector of the resource is down, else an error."""
    counts = counted_by_few(Counter(holding.resource for holding in allocations.unmatched))
    down = (CallOutcome.FAILED, CallOutcome.LATE)
    prefixes_down = tuple(prefix for c in facts.collectors if c.state in down for prefix in c.resource_prefixes)
    for resource, count in sorted(counts.items()):
        ids = counted(
            count,
            "allocated id matches no device; its pod has no series",
            "allocated ids match no device; their pods have no series",
        )
        text = f"{resource}: {ids}"
        if resource.startswith(prefixes_down):
            do = "fix the collector first"
            yield Finding(Severity.NOTE, FindingCode.UNMATCHED_IDS, _SUBJECT, text, do)
        else:
            yield Finding(Severity.ERROR, FindingCode.UNMATCHED_IDS, _SUBJECT, text, _show_all(facts))


def _show_all(facts: NodeFacts) -> str:
    hiding = [v for v in facts.environment.variables if v.value != v.shows_all]
    settings = ", ".join(f"{variable.name}={variable.shows_all}" for variable in hiding)
    first = (
        f"make every device visible to the container ({settings})"
        if settings
        else "check that the container sees every device"
    )
    return f"{first}; if partitions were created or removed, restart the device plugin; the report lists the ids"
