"""Findings about the kubelet's socket and its answer. No I/O."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from collectors.wording import counted, first_of, shortened
from exporter.advice import FOR_KUBELET
from exporter.attribution.device_ids import without_replica
from exporter.check.claims import api_findings, claim_findings
from exporter.check.facts import (
    AllocationFacts,
    CallOutcome,
    KubeletFacts,
    KubeletState,
    NodeFacts,
    PciState,
    SocketMount,
    VariableFacts,
)
from exporter.check.finding import Finding, FindingCode
from exporter.durations import spell_duration
from exporter.few_names import counted_by_few
from exporter.severity import Severity

_SUBJECT = "kubelet"
_WITHOUT = "no pod information, device metrics only"
_SHOWN_IDS = 3
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
        yield _absent(facts)
    else:
        text = f"{kubelet.text or 'no answer in time'}; {_meanwhile(facts)}"
        stale = kubelet.mount.replaced and kubelet.mount.kind is SocketMount.DIRECTORY
        do = "restart the pod: the mounted directory has been replaced on the node" if stale else FOR_KUBELET
        yield Finding(Severity.ERROR, FindingCode.KUBELET_FAILED, _SUBJECT, text, do)
    if kubelet.mount.kind is SocketMount.FILE:
        yield _file_mounted(kubelet)
    yield from api_findings(kubelet.claim_sources)


def _absent(facts: NodeFacts) -> Finding:
    kubelet = facts.kubelet
    if not facts.environment.in_kubernetes:
        text = f"no socket at {kubelet.socket}, which is normal outside Kubernetes: {_WITHOUT}"
        return Finding(Severity.NOTE, FindingCode.KUBELET_ABSENT, _SUBJECT, text)
    text = f"no socket at {kubelet.socket}; {_meanwhile(facts)}"
    if kubelet.mount.kind is SocketMount.DIRECTORY:
        do = (
            f"{kubelet.mount.point} is mounted: check that the kubelet runs, and that this is its pod-resources "
            "directory, which has another path in some distributions"
        )
    else:
        do = "mount the kubelet's pod-resources directory, read-only, or set --kubelet.socket to its socket"
    return Finding(Severity.ERROR, FindingCode.KUBELET_ABSENT, _SUBJECT, text, do)


def _meanwhile(facts: NodeFacts) -> str:
    """What is known without the kubelet, and for how long."""
    running, hold_seconds = facts.running, facts.kubelet.hold_seconds
    if running is None or running.answer_age_seconds is None:
        return f"until the kubelet answers: {_WITHOUT}"
    age, hold = spell_duration(round(running.answer_age_seconds)), spell_duration(hold_seconds)
    left = hold_seconds - running.answer_age_seconds
    last = f"its last answer to the exporter at {running.address} came {age} ago"
    if left <= 0 or not running.held:
        return f"{last} and is used for {hold}: {_WITHOUT}"
    devices = counted(len({each.uuid for each in running.held}), "device or partition", "devices or partitions")
    pods = counted(len({each.holder.rpartition("/")[0] for each in running.held}), "pod")
    return f"{last} and is used for {spell_duration(round(left))} more: {devices} still held by {pods}"


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
    """Report ids that match no device: a note if the collector of the resource is down, else a warning."""
    counts = counted_by_few(Counter(holding.resource for holding in allocations.unmatched))
    down = (CallOutcome.FAILED, CallOutcome.LATE)
    prefixes_down = tuple(prefix for c in facts.collectors if c.state in down for prefix in c.resource_prefixes)
    unread = _unread(facts)
    for resource, count in sorted(counts.items()):
        ids = [each.device_id for each in allocations.unmatched if each.resource == resource]
        down_now = resource.startswith(prefixes_down)
        of_unread = {}
        if not down_now:
            of_unread = {each: unread[without_replica(each)] for each in ids if without_replica(each) in unread}
        ids = [each for each in ids if each not in of_unread]
        if of_unread:
            yield _of_unread(resource, of_unread)
        if count == len(of_unread):
            continue
        named = counted(
            count - len(of_unread),
            "allocated id matches no device; its pod has no series",
            "allocated ids match no device; their pods have no series",
        )
        text = f"{resource}: {named}{_shown(ids)}"
        if down_now:
            do = "fix the collector first"
            yield Finding(Severity.NOTE, FindingCode.UNMATCHED_IDS, _SUBJECT, text, do)
        else:
            yield Finding(Severity.WARNING, FindingCode.UNMATCHED_IDS, _SUBJECT, text, _remedy(facts, ids))


def _unread(facts: NodeFacts) -> Mapping[str, str]:
    """The addresses of the devices of this node that cannot be read, by what their ids may be: address and uuids."""
    known, held = (facts.running.devices, facts.running.held) if facts.running else ({}, ())
    addresses = {device.device for device in facts.devices if device.lost}
    addresses |= {each.address for each in facts.pci if each.state is PciState.NOT_READ}
    names = {each: each for each in addresses}
    names |= {known[each][0]: each for each in addresses if each in known}
    return names | {each.uuid: each.device for each in held if each.device in addresses}


def _of_unread(resource: str, addresses: Mapping[str, str]) -> Finding:
    """Report ids whose device is on the node: it has a finding of its own, which has what to do."""
    named = counted(
        len(addresses),
        "allocated id is that of a device that cannot be read now",
        "allocated ids are those of devices that cannot be read now",
    )
    devices = ", ".join(dict.fromkeys(addresses.values()))
    text = f"{resource}: {named}{_shown(list(addresses))}"
    return Finding(Severity.NOTE, FindingCode.UNMATCHED_IDS, _SUBJECT, text, f"repair the device first ({devices})")


def _shown(ids: Sequence[str]) -> str:
    return f" ({first_of([*map(shortened, ids)], _SHOWN_IDS)})" if ids else ""


def _remedy(facts: NodeFacts, ids: Sequence[str]) -> str:
    """What to do about ids that match no device, by what they may mean."""
    hiding = [each for each in facts.environment.variables if _may_hide(each, facts, ids)]
    steps = []
    if hiding:
        settings = ", ".join(f"{variable.name}={variable.shows_all}" for variable in hiding)
        steps.append(f"make every device visible to the container ({settings})")
    explained = tuple(begin for each in hiding for begin in each.hidden_ids)
    foreign = [each for each in ids if not (explained and each.upper().startswith(explained))]
    lost = [device.device for device in facts.devices if device.lost]
    if foreign and lost:
        steps.append(f"{shortened(foreign[0])} may be the id of a device that does not answer ({', '.join(lost)})")
    elif foreign:
        steps.append(
            f"this node has no device with the id {shortened(foreign[0])}: if a device was replaced, or partitions "
            "were created or removed, restart the device plugin, then the pod"
        )
    return "; ".join(steps)


def _may_hide(variable: VariableFacts, facts: NodeFacts, ids: Sequence[str]) -> bool:
    """Whether the value of a variable can be why ids match no device.

    It hides no whole device if the collector of its vendor lists all devices that are on the PCI bus.
    """
    if variable.value == variable.shows_all or not variable.hidden_ids:
        return False
    if variable.hides_devices and facts.environment.pci_bus:
        unlisted = any(each.state is PciState.NOT_READ and each.collector == variable.vendor for each in facts.pci)
        if not unlisted:
            return False
    return any(each.upper().startswith(variable.hidden_ids) for each in ids)
