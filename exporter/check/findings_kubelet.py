"""Findings about the kubelet's socket and its answer. No I/O."""

from collections import Counter
from collections.abc import Iterator

from collectors.wording import counted
from exporter.check.facts import AllocationFacts, CollectorStatus, KubeletFacts, KubeletState, NodeFacts, SocketMount
from exporter.check.finding import Finding, FindingCode, Severity

_SUBJECT = "kubelet"
_WITHOUT = "devices are served without pods, and no container or allocation family is served"
_MOUNT_DIRECTORY = "mount the kubelet's pod-resources directory, read-only, in place of the socket in it"


def kubelet_findings(facts: NodeFacts) -> Iterator[Finding]:
    """Everything about who holds what."""
    kubelet = facts.kubelet
    if kubelet.allocations is not None:
        allocations = kubelet.allocations
        text = f"answers: {counted(allocations.pods, 'pod')}, {counted(allocations.device_ids, 'held device id')}"
        yield Finding(Severity.OK, FindingCode.KUBELET_OK, _SUBJECT, text)
        yield from _unmatched(facts, allocations)
        yield from _claims(allocations)
    elif kubelet.state is KubeletState.ABSENT:
        yield _absent(kubelet, in_kubernetes=facts.environment.in_kubernetes)
    else:
        text = f"{kubelet.text or 'no answer in time'}; until it answers, {_WITHOUT}"
        stale = kubelet.mount.replaced and kubelet.mount.kind is SocketMount.DIRECTORY
        do = "restart the pod: the directory that is mounted here has been replaced on the node" if stale else ""
        yield Finding(Severity.ERROR, FindingCode.KUBELET_FAILED, _SUBJECT, text, do)
    if kubelet.mount.kind is SocketMount.FILE:
        yield _file_mounted(kubelet)


def _absent(kubelet: KubeletFacts, *, in_kubernetes: bool) -> Finding:
    if not in_kubernetes:
        text = f"no socket at {kubelet.socket}, as on any machine that is no Kubernetes node: {_WITHOUT}"
        return Finding(Severity.NOTE, FindingCode.KUBELET_ABSENT, _SUBJECT, text)
    text = f"no socket at {kubelet.socket}: {_WITHOUT}"
    if kubelet.mount.kind is SocketMount.DIRECTORY:
        do = (
            f"{kubelet.mount.point} is mounted: see that the kubelet runs, and that this is its pod-resources "
            "directory, which some distributions have elsewhere"
        )
    else:
        do = "mount the kubelet's pod-resources directory, read-only, or name its socket by --kubelet.socket"
    return Finding(Severity.ERROR, FindingCode.KUBELET_ABSENT, _SUBJECT, text, do)


def _file_mounted(kubelet: KubeletFacts) -> Finding:
    since = "it has been replaced on the node already" if kubelet.mount.replaced else "the next restart replaces it"
    text = (
        "the socket file alone is mounted, not its directory: the kubelet makes a new file whenever it starts, and "
        f"this container keeps the old one; {since}"
    )
    return Finding(Severity.WARNING, FindingCode.SOCKET_FILE_MOUNTED, _SUBJECT, text, _MOUNT_DIRECTORY)


def _unmatched(facts: NodeFacts, allocations: AllocationFacts) -> Iterator[Finding]:
    """Where the collector is down, ids that match nothing follow from that; else they are a problem of their own."""
    counts = Counter(holding.resource for holding in allocations.unmatched)
    down = (CollectorStatus.FAILED, CollectorStatus.LATE)
    silent = tuple(prefix for c in facts.collectors if c.state in down for prefix in c.resource_prefixes)
    for resource, count in sorted(counts.items()):
        ids = counted(count, "held id means", "held ids mean")
        text = f"{resource}: {ids} no known device: whoever holds that has no series"
        if resource.startswith(silent):
            do = "see to the collector first"
            yield Finding(Severity.NOTE, FindingCode.UNMATCHED_IDS, _SUBJECT, text, do)
        else:
            yield Finding(Severity.ERROR, FindingCode.UNMATCHED_IDS, _SUBJECT, text, _show_all(facts))


def _show_all(facts: NodeFacts) -> str:
    hiding = [v for v in facts.environment.variables if v.value != v.shows_all]
    wanted = ", ".join(f"{variable.name}={variable.shows_all}" for variable in hiding)
    first = f"let the container see every device ({wanted})" if wanted else "see that the container sees every device"
    return f"{first}; if partitions were made or removed, restart the device plugin; the ids are listed above"


def _claims(allocations: AllocationFacts) -> Iterator[Finding]:
    if allocations.claim_devices:
        text = (
            f"resource claims (DRA) hold {counted(allocations.claim_devices, 'device')}, and this version reads no "
            "claims: what they hold is served as free"
        )
        yield Finding(Severity.WARNING, FindingCode.CLAIMS_NOT_READ, _SUBJECT, text)
