"""Queries the kubelet once, and joins its answer with the devices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collectors.contract import Device, Partition
from exporter.attribution.claims import Claims
from exporter.attribution.holding import PodResourcesList
from exporter.attribution.inventory import Inventory
from exporter.attribution.join import JoinResult, join
from exporter.attribution.podresources import KubeletError, PodResourcesClient, SocketAbsentError
from exporter.check.facts import AllocationFacts, CollectorFacts, DeviceHolders, KubeletState
from exporter.configuration.settings import KubeletSettings
from exporter.precedence import Listing, with_exported_uuids, without_duplicates


@dataclass(frozen=True, slots=True)
class KubeletReply:
    """How the call to the kubelet ended.

    Attributes:
        state: Whether it answered, has no socket, or failed.
        text: Why it failed.
        answer: The allocations; None if it did not answer.
    """

    state: KubeletState
    text: str = ""
    answer: PodResourcesList | None = None


def query_kubelet(kubelet: KubeletSettings) -> KubeletReply:
    """List the allocations once, with the daemon's limits for a call."""
    client = PodResourcesClient(kubelet.socket, kubelet.timeout, max_answer_bytes=kubelet.max_answer_size)
    try:
        answer = client.list()
    except SocketAbsentError as error:
        return KubeletReply(KubeletState.ABSENT, str(error))
    except KubeletError as error:
        return KubeletReply(KubeletState.FAILED, str(error))
    finally:
        client.close()
    return KubeletReply(KubeletState.ANSWERS, answer=answer)


def allocation_facts(
    answer: PodResourcesList, collectors: Sequence[CollectorFacts], claims: Claims | None = None
) -> AllocationFacts:
    """Join the kubelet's answer with the devices of all collectors, as the daemon does.

    Args:
        answer: The kubelet's answer.
        collectors: All installed collectors; one that failed has no devices.
        claims: Resolves the devices of resource claims; without it, only by their names.
    """
    listed = [_listing(each) for each in collectors]
    exported = without_duplicates(listed)
    inventories = [
        Inventory(each.devices, each.partitions, collector.resource_prefixes, collector.dra_drivers)
        for collector, each in zip(collectors, with_exported_uuids(listed, exported), strict=True)
    ]
    devices = [device for each in exported for device in each.devices]
    partitions = [part for each in exported for part in each.partitions]
    resolved = (claims or Claims()).resolve(answer.claim_devices, inventories, 0.0)
    joined = join(answer.holdings, resolved, inventories)
    return AllocationFacts(
        pods=len(answer.pods),
        device_ids=len(answer.holdings),
        device_holders=tuple(_device_holders(devices, partitions, joined)),
        unmatched=joined.unmatched,
        other_resources=joined.other_resources,
        claims=joined.claims,
    )


def _listing(collector: CollectorFacts) -> Listing:
    reading = collector.reading
    return Listing(reading.devices, reading.partitions) if reading else Listing()


def _device_holders(
    devices: Sequence[Device], partitions: Sequence[Partition], joined: JoinResult
) -> Iterator[DeviceHolders]:
    """Yield each device, then its partitions."""
    for device in devices:
        yield DeviceHolders(device, None, joined.holders(device))
        for part in partitions:
            if part.device_uuid == device.uuid:
                yield DeviceHolders(device, part, joined.holders(part))
