"""The report for machines: one JSON object, described in `docs/check.md`."""

import json
from collections.abc import Sequence

from collectors.contract import Device, Unsupported
from exporter.attribution.claim_users import Use
from exporter.attribution.claims import UnresolvedClaim
from exporter.attribution.holding import Holding
from exporter.check.facts import (
    AddressFacts,
    AllocationFacts,
    CollectorFacts,
    KubeletFacts,
    NodeFacts,
    PciFacts,
    family_of,
)
from exporter.check.finding import Finding, worst
from exporter.check.permissions import Permission, permissions
from exporter.check.running_facts import RunningExporter
from exporter.snapshot import Allocation

# Increases when a key is removed or changes its meaning, but not for a new key.
SCHEMA_VERSION = 1

_Json = dict[str, object]


def render(facts: NodeFacts, findings: Sequence[Finding]) -> str:
    """Return the JSON object in ASCII, with a line end."""
    document: _Json = {
        "schema_version": SCHEMA_VERSION,
        "exporter_version": facts.version,
        "node": facts.node,
        "simulated_second": None if facts.simulated is None else round(facts.simulated, 3),
        "verdict": worst(tuple(findings)).value,
        "findings": [_finding(finding) for finding in findings],
        "collectors": [_collector(collector) for collector in facts.collectors],
        "devices": _devices(facts),
        "unsupported": [_unsupported(gap) for gap in facts.unsupported],
        "pci": [_pci(function) for function in facts.pci],
        "kubelet": _kubelet(facts.kubelet),
        "running_exporter": _running(facts.running),
        "listen_address": _address(facts.addresses[0]),
        "listen_addresses": [_address(address) for address in facts.addresses],
        "permissions": [_permission(permission) for permission in permissions(facts)],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _address(address: AddressFacts) -> _Json:
    return {"address": address.address, "state": address.state.value}


def _finding(finding: Finding) -> _Json:
    return {
        "severity": finding.severity.value,
        "code": finding.code.value,
        "subject": finding.subject,
        "text": finding.text,
        "do": finding.do,
    }


def _collector(collector: CollectorFacts) -> _Json:
    return {
        "name": collector.name,
        "state": collector.state.value,
        "reason": None if collector.reason is None else collector.reason.value,
        "text": collector.text,
        "seconds": round(collector.seconds, 3),
    }


def _devices(facts: NodeFacts) -> list[_Json]:
    states = facts.device_states
    conditions = {
        uuid: [condition._asdict() for condition in why]
        for collector in facts.collectors
        if collector.reading
        for uuid, why in collector.reading.conditions.items()
    }
    allocations = facts.kubelet.allocations
    rows = allocations.device_holders if allocations else ()
    holders = {(each.device.uuid, each.partition.uuid if each.partition else ""): each.holders for each in rows}
    return [
        {
            **_device(device),
            "status": states.get(device.uuid),
            "conditions": conditions.get(device.uuid, []),
            "holders": _holders(holders.get((device.uuid, ""))),
            "partitions": [
                {
                    "uuid": part.uuid,
                    "profile": part.profile,
                    "holders": _holders(holders.get((device.uuid, part.uuid))),
                }
                for part in facts.partitions
                if part.device_uuid == device.uuid
            ],
        }
        for device in facts.devices
    ]


def _device(device: Device) -> _Json:
    return {"uuid": device.uuid, "address": device.device, "vendor": device.vendor, "model": device.model}


def _holders(holders: tuple[Allocation, ...] | None) -> list[_Json] | None:
    return None if holders is None else [{**each.container._asdict(), "resource": each.resource} for each in holders]


def _unsupported(gap: Unsupported) -> _Json:
    return {
        "family": family_of(gap),
        "uuid": gap.device_uuid,
        "partition_uuid": gap.partition_uuid,
        "why": gap.detail,
    }


def _pci(function: PciFacts) -> _Json:
    return {
        "address": function.address,
        "ids": function.ids,
        "vendor": function.vendor,
        "driver": function.driver,
        "state": function.state.value,
        "collector": function.collector or None,
    }


def _kubelet(kubelet: KubeletFacts) -> _Json:
    return {
        "socket": kubelet.socket,
        "state": kubelet.state.value,
        "text": kubelet.text,
        "mounted": kubelet.mount.kind.value,
        "mount_point": kubelet.mount.point or None,
        "mount_replaced": kubelet.mount.replaced,
        "answer": _answer(kubelet.allocations),
        "cdi_directories": [
            {"path": each.path, "exists": each.exists} for each in kubelet.claim_sources.cdi_directories
        ],
        "api_server": [
            {"what": each.what, "state": each.state.value, "text": each.text} for each in kubelet.claim_sources.api
        ],
        "own_namespace": kubelet.claim_sources.own_namespace or None,
        "hold_seconds": kubelet.hold_seconds,
    }


def _running(running: RunningExporter | None) -> _Json | None:
    if running is None:
        return None
    age = running.answer_age_seconds
    return {
        "address": running.address,
        "answer_age_seconds": None if age is None else round(age, 3),
        "held": [each._asdict() for each in running.held],
        "states": [{"uuid": uuid, "state": state} for uuid, state in running.states.items()],
        "events": [{**each._asdict(), "age_seconds": round(each.age_seconds, 3)} for each in running.events],
    }


def _answer(allocations: AllocationFacts | None) -> _Json | None:
    if allocations is None:
        return None
    return {
        "pods": allocations.pods,
        "device_ids": allocations.device_ids,
        "claim_devices": allocations.claim_devices,
        "claim_devices_by_driver": dict(allocations.claims.used),
        "claims_found_by": {way.value: count for way, count in allocations.claims.ways.items()},
        "claims_monitoring": allocations.claims.not_counted.get(Use.MONITORED, 0),
        "claims_unresolved": [_unresolved(each) for each in allocations.claims.shown],
        "other_resources": dict(allocations.other_resources),
        "unmatched": [_unmatched(holding) for holding in allocations.unmatched],
    }


def _unmatched(holding: Holding) -> _Json:
    return {
        "resource": holding.resource,
        "id": holding.device_id,
        "namespace": holding.namespace,
        "pod": holding.pod,
        "container": holding.container,
    }


def _unresolved(unresolved: UnresolvedClaim) -> _Json:
    claimed = unresolved.claimed
    return {
        "driver": claimed.driver,
        "pool": claimed.pool,
        "device": claimed.device,
        "share": claimed.share,
        "claim": claimed.claim_name,
        "namespace": claimed.namespace,
        "pod": claimed.pod,
        "why": unresolved.reason,
    }


def _permission(permission: Permission) -> _Json:
    return {
        "name": permission.name,
        "state": permission.state.value,
        "found": permission.found,
        "cost": permission.cost,
    }
