"""Sets the kubelet's answer against the devices: who holds what, and which ids mean no device. No I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from collectors.contract import Device, Partition, SubjectKey
from exporter.attribution.device_ids import AliasTable, only_monitors
from exporter.attribution.holding import Holding, PodResourcesList
from exporter.check.facts import AllocationFacts, CollectorFacts, DeviceHolders, Holder


def match(answer: PodResourcesList, claim_devices: int | None, collectors: Sequence[CollectorFacts]) -> AllocationFacts:
    """Look every id up.

    Args:
        answer: Of the kubelet.
        claim_devices: Passed on.
        collectors: All that are installed; those that failed know no device.
    """
    readings = [collector.reading for collector in collectors if collector.reading]
    devices = [device for reading in readings for device in reading.devices]
    partitions = [part for reading in readings for part in reading.partitions]
    prefixes = tuple(prefix for collector in collectors for prefix in collector.resource_prefixes)
    table = AliasTable(devices, partitions)
    holders: defaultdict[SubjectKey, set[Holder]] = defaultdict(set)
    unmatched: list[Holding] = []
    others: Counter[str] = Counter()
    for holding in answer.holdings:
        found = table.resolve(holding.resource, holding.device_id)
        if found is not None:
            holders[SubjectKey(*found)].add(Holder(holding.namespace, holding.pod, holding.container, holding.resource))
        elif holding.resource.startswith(prefixes) and not only_monitors(holding.resource):
            unmatched.append(holding)
        else:
            others[holding.resource] += 1
    return AllocationFacts(
        pods=len(answer.pods),
        device_ids=len(answer.holdings),
        device_holders=tuple(_device_holders(devices, partitions, holders, some_unmatched=bool(unmatched))),
        unmatched=tuple(unmatched),
        other_resources=dict(sorted(others.items())),
        claim_devices=claim_devices,
    )


def _device_holders(
    devices: Sequence[Device],
    partitions: Sequence[Partition],
    holders: Mapping[SubjectKey, set[Holder]],
    *,
    some_unmatched: bool,
) -> Iterator[DeviceHolders]:
    """Each device, and after it its partitions."""
    for device in devices:
        found = tuple(sorted(holders.get(SubjectKey(device.uuid), ())))
        # Of a lost device the names by which it is held may not be known: it may be what an unmatched id means.
        yield DeviceHolders(device, None, None if device.lost and some_unmatched and not found else found)
        for part in partitions:
            if part.device_uuid == device.uuid:
                yield DeviceHolders(device, part, tuple(sorted(holders.get(SubjectKey(device.uuid, part.uuid), ()))))
