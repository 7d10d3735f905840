"""Queries the kubelet once, and joins its answer with the devices."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from collectors.contract import Device, Partition
from exporter.attribution.grpc_unary import UnaryChannel
from exporter.attribution.holding import PodResourcesList
from exporter.attribution.join import JoinResult, join
from exporter.attribution.podresources import KubeletError, PodResourcesClient, SocketAbsentError
from exporter.attribution.proto.podresources_pb2 import ListPodResourcesRequest, ListPodResourcesResponse
from exporter.attribution.rpc_error import RpcError
from exporter.check.facts import AllocationFacts, CollectorFacts, DeviceHolders, KubeletState

_LIST = "/v1.PodResourcesLister/List"


@dataclass(frozen=True, slots=True)
class KubeletReply:
    """How the call ended.

    Attributes:
        state: Answered, no socket, failed.
        text: Why it failed.
        answer: What device plugins gave to whom; None unless it answered.
        claim_devices: How many devices of resource claims are listed; None where that could not be counted.
    """

    state: KubeletState
    text: str = ""
    answer: PodResourcesList | None = None
    claim_devices: int | None = None


def query_kubelet(socket: Path, timeout_seconds: float) -> KubeletReply:
    """List the allocations, within the time that the daemon allows for a call."""
    ends = time.monotonic() + timeout_seconds
    client = PodResourcesClient(socket, timeout_seconds)
    try:
        answer = client.list()
    except SocketAbsentError as error:
        return KubeletReply(KubeletState.ABSENT, str(error))
    except KubeletError as error:
        return KubeletReply(KubeletState.FAILED, str(error))
    finally:
        client.close()
    return KubeletReply(
        KubeletState.ANSWERS, answer=answer, claim_devices=_count_claim_devices(socket, ends - time.monotonic())
    )


def _count_claim_devices(socket: Path, timeout_seconds: float) -> int | None:
    """Devices of resource claims, once for each container that has one. `PodResourcesList` leaves them out."""
    channel = UnaryChannel(socket)
    try:
        message = channel.call(_LIST, ListPodResourcesRequest().SerializeToString(), timeout_seconds)
        response = ListPodResourcesResponse.FromString(message)
    except (RpcError, DecodeError):
        return None
    finally:
        channel.close()
    return sum(
        len(claim.claim_resources)
        for pod in response.pod_resources
        for container in pod.containers
        for claim in container.dynamic_resources
    )


def allocation_facts(
    answer: PodResourcesList, claim_devices: int | None, collectors: Sequence[CollectorFacts]
) -> AllocationFacts:
    """Join the kubelet's answer with the devices of all collectors, as the daemon does.

    Args:
        answer: Of the kubelet.
        claim_devices: How many devices of resource claims it lists.
        collectors: All that are installed; those that failed know no device.
    """
    readings = [collector.reading for collector in collectors if collector.reading]
    devices = [device for reading in readings for device in reading.devices]
    partitions = [part for reading in readings for part in reading.partitions]
    prefixes = tuple(prefix for collector in collectors for prefix in collector.resource_prefixes)
    joined = join(answer.holdings, devices, partitions, prefixes)
    return AllocationFacts(
        pods=len(answer.pods),
        device_ids=len(answer.holdings),
        device_holders=tuple(_device_holders(devices, partitions, joined)),
        unmatched=joined.unmatched,
        other_resources=joined.other_resources,
        claim_devices=claim_devices,
    )


def _device_holders(
    devices: Sequence[Device], partitions: Sequence[Partition], joined: JoinResult
) -> Iterator[DeviceHolders]:
    """Each device, and after it its partitions."""
    for device in devices:
        yield DeviceHolders(device, None, joined.holders(device))
        for part in partitions:
            if part.device_uuid == device.uuid:
                yield DeviceHolders(device, part, joined.holders(part))
