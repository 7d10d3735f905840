"""Queries the kubelet once: the allocations of device plugins, and how many devices of resource claims."""

import time
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from exporter.attribution.grpc_unary import UnaryChannel
from exporter.attribution.holding import PodResourcesList
from exporter.attribution.podresources import KubeletError, PodResourcesClient, SocketAbsentError
from exporter.attribution.proto.podresources_pb2 import ListPodResourcesRequest, ListPodResourcesResponse
from exporter.attribution.rpc_error import RpcError
from exporter.check.facts import KubeletState

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
