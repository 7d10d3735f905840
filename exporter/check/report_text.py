"""The report for people."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from collectors.wording import counted, first_of
from exporter.attribution.claims import ResolvedClaims
from exporter.check.claims import rows_of_ways
from exporter.check.facts import (
    CallOutcome,
    CollectorFacts,
    DeviceHolders,
    KubeletFacts,
    NodeFacts,
    PciFacts,
    PciState,
    SocketMount,
    family_of,
)
from exporter.check.finding import Finding
from exporter.check.permissions import PermissionState, permissions
from exporter.check.text_table import entries, paragraph, table
from exporter.severity import Severity
from exporter.snapshot import Allocation

_SHOWN = 20  # entries of a list that can be long
_HERE = {
    PermissionState.GIVEN: "yes",
    PermissionState.MISSING: "no",
    PermissionState.NOT_NEEDED: "-",
    PermissionState.UNKNOWN: "?",
}
_READ_BY = {
    PciState.LOST: "none: it does not answer",
    PciState.NOT_READ: "none: the collector {} does not list it",
    PciState.NO_COLLECTOR: "none: no collector for it is installed",
    PciState.EXCLUDED: "none: its collector is not in the option collectors",
    PciState.PASSED_THROUGH: "none: reserved for a virtual machine",
    PciState.VIRTUAL: "none: a virtual function",
}
_SIMULATED = "simulated: devices and values are those of second {:.0f} of a scenario, not of this machine"
_COUNTED = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


class _Gap(NamedTuple):
    """A family that is absent, and why."""

    family: str
    why: str


class _GapGroup(NamedTuple):
    """Devices or partitions that lack the same families for the same reasons.

    Attributes:
        of: Their names for people: the address of a device; profile, device and number of partitions.
        gaps: The absent families and the reasons, by family.
    """

    of: tuple[str, ...]
    gaps: tuple[_Gap, ...]


def render(facts: NodeFacts, findings: Sequence[Finding]) -> str:
    """Return the sections with what was found, then the verdict, the most severe finding first."""
    sections = (
        ("COLLECTORS", _collectors(facts)),
        ("DEVICES", _devices(facts)),
        ("UNSUPPORTED METRICS", _unsupported(facts)),
        ("PCI BUS", _pci(facts)),
        ("KUBELET", _kubelet(facts.kubelet)),
        ("RESOURCE CLAIMS", _claims(facts.kubelet)),
        ("ALLOCATIONS", _device_holders(facts)),
        ("STILL HELD BY THE LAST ANSWER OF THE KUBELET", _still_held(facts)),
        ("ALLOCATED IDS THAT MATCH NO DEVICE", _unmatched(facts)),
        ("DEVICES OF CLAIMS THAT ARE NOT RESOLVED", _unresolved(facts.kubelet)),
        ("RIGHTS AND MOUNTS", _permissions(facts)),
        ("VERDICT", list(_verdict(findings))),
    )
    lines = paragraph(f"accelerator-exporter {facts.version} on {facts.node}", "", "")
    if facts.simulated is not None:
        lines += paragraph(_SIMULATED.format(facts.simulated), "", "")
    for title, content in sections:
        if content:
            lines += ["", title, *content]
    return "\n".join((*lines, "", _summary(findings), ""))


def _collectors(facts: NodeFacts) -> list[str]:
    return table(
        ("NAME", "STATE", "DEVICES", "PARTITIONS", "TOOK"), [_collector(collector) for collector in facts.collectors]
    )


def _collector(collector: CollectorFacts) -> tuple[str, ...]:
    reading = collector.reading
    counts = ("-", "-") if reading is None else (str(len(reading.devices)), str(len(reading.partitions)))
    return (collector.name, collector.state.value, *counts, f"{collector.seconds:.2f} s")


def _devices(facts: NodeFacts) -> list[str]:
    """Return a line for each device, followed by one for each of its partitions."""
    if not facts.devices:
        return []
    states = facts.device_states
    rows: list[tuple[str, ...]] = []
    for device in facts.devices:
        rows.append((device.device, device.uuid, states.get(device.uuid, "unknown"), device.model))
        rows += (("", part.uuid, "", part.profile) for part in facts.partitions if part.device_uuid == device.uuid)
    return table(("ADDRESS", "UUID", "STATUS", "MODEL OR PROFILE"), rows)


def _unsupported(facts: NodeFacts) -> list[str]:
    """Return one table for each group of devices that lack the same families."""
    lines: list[str] = []
    for group in _gap_groups(facts):
        whose = paragraph(f"{_shortened(group.of)}:", "  ", "  ")
        lines += [*([""] if lines else []), *whose, *table(("FAMILY", "WHY"), group.gaps)]
    return lines


def _gap_groups(facts: NodeFacts) -> list[_GapGroup]:
    """Return every device and partition that lacks a family, grouped, in the collectors' order."""
    lacking: dict[tuple[str, str], set[_Gap]] = defaultdict(set)
    for gap in facts.unsupported:
        lacking[gap.device_uuid, gap.partition_uuid].add(_Gap(family_of(gap), gap.detail))
    alike: dict[tuple[_Gap, ...], list[tuple[str, str]]] = defaultdict(list)
    for subject, gaps in lacking.items():
        alike[tuple(sorted(gaps))].append(subject)
    return [_GapGroup(_subject_names(subjects, facts), gaps) for gaps, subjects in alike.items()]


def _subject_names(subjects: Sequence[tuple[str, str]], facts: NodeFacts) -> tuple[str, ...]:
    addresses = {device.uuid: device.device for device in facts.devices}
    profiles = {part.uuid: part.profile for part in facts.partitions}
    counts = Counter(
        f"{profiles.get(part, part)} of {addresses.get(device, device)}" if part else addresses.get(device, device)
        for device, part in subjects
    )
    return tuple(name if count == 1 else f"{count} x {name}" for name, count in counts.items())


def _pci(facts: NodeFacts) -> list[str]:
    states = {collector.name: collector.state for collector in facts.collectors}
    rows = [
        (
            function.address,
            function.ids,
            function.vendor,
            function.driver or "none",
            _read_by(function, states),
        )
        for function in facts.pci
    ]
    return table(("ADDRESS", "IDS", "VENDOR", "DRIVER", "READ BY"), rows) if rows else []


def _read_by(function: PciFacts, states: Mapping[str, CallOutcome]) -> str:
    state = states.get(function.collector)
    if function.state is PciState.NOT_READ and state in (CallOutcome.FAILED, CallOutcome.LATE):
        return f"none: the collector {function.collector} is {'down' if state is CallOutcome.FAILED else 'late'}"
    return _READ_BY.get(function.state, "{}").format(function.collector)


def _kubelet(kubelet: KubeletFacts) -> list[str]:
    mount = {
        SocketMount.DIRECTORY: f"the directory {kubelet.mount.point}",
        SocketMount.FILE: "only the socket file",
        SocketMount.NONE: "no: the path is in the root file system",
        SocketMount.UNKNOWN: "unknown",
    }[kubelet.mount.kind]
    rows = [("socket", kubelet.socket), ("mounted", mount), ("state", kubelet.state.value)]
    if kubelet.allocations is not None:
        answer = kubelet.allocations
        rows += (
            ("pods", str(answer.pods)),
            ("allocated device ids", str(answer.device_ids)),
            ("ids that match no device", str(len(answer.unmatched))),
            ("ids of other resources", _counts(answer.other_resources)),
            ("devices of resource claims", _counts(answer.claims.used)),
        )
    return entries(rows)


def _counts(by_resource: Mapping[str, int]) -> str:
    return _shortened([f"{count} {name}" for name, count in by_resource.items()]) or "0"


def _shortened(texts: Sequence[str]) -> str:
    return first_of(texts, _SHOWN)


def _long_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; of many rows the first ones."""
    more = len(rows) - _SHOWN
    lines = table(header, rows[:_SHOWN])
    return [*lines, f"  and {more} more; --json lists all"] if more > 0 else lines


def _device_holders(facts: NodeFacts) -> list[str]:
    allocations = facts.kubelet.allocations
    if allocations is None or not allocations.device_holders:
        return []
    partitioned = {each.device.uuid for each in allocations.device_holders if each.partition}
    return table(
        ("DEVICE", "PARTITION", "ALLOCATED TO"), [_holders_row(row, partitioned) for row in allocations.device_holders]
    )


def _holders_row(row: DeviceHolders, partitioned: Collection[str]) -> tuple[str, str, str]:
    """Return one line; a partitioned device points to its partitions, which are usually what is allocated."""
    partition = row.partition.uuid if row.partition else ""
    if row.holders is None:
        return row.device.device, partition, "unknown"
    empty = "see its partitions" if row.partition is None and row.device.uuid in partitioned else "no container"
    return row.device.device, partition, _shortened([_holder(each) for each in row.holders]) or empty


def _still_held(facts: NodeFacts) -> list[str]:
    """Return what an exporter that runs here still shows as allocated while its kubelet does not answer."""
    if facts.running is None or facts.kubelet.allocations is not None or not facts.running.held:
        return []
    rows = [(each.device, each.uuid, f"{each.holder} ({each.resource})") for each in facts.running.held]
    return _long_table(("DEVICE", "UUID", "ALLOCATED TO"), rows)


def _holder(holder: Allocation) -> str:
    return f"{'/'.join(holder.container)} ({holder.resource})"


def _unmatched(facts: NodeFacts) -> list[str]:
    unmatched = facts.kubelet.allocations.unmatched if facts.kubelet.allocations else ()
    if not unmatched:
        return []
    rows = [(each.resource, each.device_id, f"{each.namespace}/{each.pod}/{each.container}") for each in unmatched]
    return _long_table(("RESOURCE", "ID", "ALLOCATED TO"), rows)


def _claims(kubelet: KubeletFacts) -> list[str]:
    """Return what the devices of claims are looked up in, if there are any claims."""
    if kubelet.allocations is None or not kubelet.allocations.has_claims:
        return []
    claims = kubelet.allocations.claims
    rows = tuple(rows_of_ways(kubelet.claim_sources, claims.ways, claims.not_counted))
    return table(("LOOKED UP IN", "HERE", "DEVICES"), rows)


def _unresolved(kubelet: KubeletFacts) -> list[str]:
    claims = kubelet.allocations.claims if kubelet.allocations else ResolvedClaims()
    if not claims.shown:
        return []
    rows = [
        (each.driver, each.device, f"{each.claim_namespace}/{each.claim_name}", each.pod, reason)
        for each, reason in claims.shown
    ]
    more = sum(claims.reasons.values()) - len(rows[:_SHOWN])
    lines = table(("DRIVER", "DEVICE", "CLAIM", "POD", "WHY"), rows[:_SHOWN])
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _permissions(facts: NodeFacts) -> list[str]:
    rows = [(each.name, _HERE[each.state], each.found, each.cost) for each in permissions(facts)]
    return table(("WHAT", "HERE", "FOUND", "IF MISSING"), rows)


def _verdict(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield from paragraph(f"{finding.subject}: {finding.text}", f"  {finding.severity.value:<7}  ", " " * 11)
        if finding.do:
            yield from paragraph(finding.do, f"{' ' * 11}do: ", " " * 15)


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    return ", ".join(counted(counts[severity], severity.value) for severity in _COUNTED)
