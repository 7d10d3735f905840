"""A kubelet's PodResources socket: a real gRPC server that behaves as a real kubelet does, and with faults on request.

It runs in the test's process, so that a test controls it while the real exporter runs in another:

    with Kubelet(tmp_path / "kubelet.sock") as kubelet:
        kubelet.pods = [pod("ml", "train-0", container("main", device("nvidia.com/gpu", "GPU-1")))]
        ...
        kubelet.kill()              # the file stays without a listener
        kubelet.pods = []           # a real kubelet lists hardly any pod just after a restart
        kubelet.start()             # a new socket, renamed over the old file
"""

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from tests.doubles.proto.podresources_pb2 import (
    CDIDevice,
    ClaimResource,
    ContainerDevices,
    ContainerResources,
    DynamicResource,
    ListPodResourcesRequest,
    ListPodResourcesResponse,
    NUMANode,
    PodResources,
    TopologyInfo,
)

RATE_LIMIT = (grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected by rate limit")

_CALLS_AT_ONCE = 4
_STOP_SECONDS = 10.0


def device(resource: str, *device_ids: str, numa_nodes: Sequence[int] = (0,)) -> list[ContainerDevices]:
    """Devices of one resource: one entry for each device and NUMA node, as current kubelets send them."""
    return [
        ContainerDevices(
            resource_name=resource, device_ids=[device_id], topology=TopologyInfo(nodes=[NUMANode(ID=numa_node)])
        )
        for device_id in device_ids
        for numa_node in numa_nodes
    ]


def grouped(resource: str, *device_ids: str) -> list[ContainerDevices]:
    """Devices of one resource in one entry and without topology, as older kubelets send them."""
    return [ContainerDevices(resource_name=resource, device_ids=device_ids)]


def container(name: str, *devices: list[ContainerDevices]) -> ContainerResources:
    """A container or a sidecar, with its devices; the kubelet also lists those without devices."""
    return ContainerResources(name=name, devices=[entry for entries in devices for entry in entries])


def claim(driver: str, *devices: str, share: str | None = None) -> DynamicResource:
    """A resource claim (DRA) with these devices. The CDI names accumulate from device to device, as a kubelet's do."""
    names = [CDIDevice(name=f"k8s.{driver}/claim=5f0c1b7a-{device}") for device in devices]
    return DynamicResource(
        claim_name=f"claim-{devices[0]}",
        claim_namespace="ml",
        claim_resources=[
            ClaimResource(
                cdi_devices=names[: number + 1],
                driver_name=driver,
                pool_name="worker-1",
                device_name=device,
                share_id=share,
            )
            for number, device in enumerate(devices)
        ],
    )


def claiming(name: str, *claims: DynamicResource, devices: Sequence[ContainerDevices] = ()) -> ContainerResources:
    """A container with resource claims, and with devices of device plugins."""
    return ContainerResources(name=name, devices=devices, dynamic_resources=claims)


def pod(namespace: str, name: str, *containers: ContainerResources) -> PodResources:
    """A pod as the kubelet lists it. A finished pod is one that is no longer listed."""
    return PodResources(namespace=namespace, name=name, containers=containers)


def crowd(count: int, devices_per_pod: int = 24) -> list[PodResources]:
    """Many pods with many devices of another resource: 1,500 pods make an answer of more than 4 MiB."""
    return [
        pod(
            "crowd",
            f"crowd-{number:05d}",
            container(
                "main",
                device("example.com/dongle", *(f"DONGLE-{number:05d}-{'0' * 100}-{k}" for k in range(devices_per_pod))),
            ),
        )
        for number in range(count)
    ]


class Kubelet:
    """The server. Public attributes may be changed while it runs.

    Args:
        socket_path: The path of the socket. The folder must exist.

    Attributes:
        pods: The answer of `List`. The order of the pods, and of the devices and claims of a container, changes at
            each call.
        delay_seconds: How long each call takes.
        status: (code, text) with which every call fails; None to answer.
        reject_next: The number of next calls that the rate limit refuses.
        calls: The number of calls so far, including refused ones.
    """

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self.pods: Sequence[PodResources] = ()
        self.delay_seconds = 0.0
        self.status: tuple[grpc.StatusCode, str] | None = None
        self.reject_next = 0
        self.calls = 0
        self._lock = threading.Lock()
        self._random = random.Random(1)  # noqa: S311 - an order that differs, not a secret
        self._server: grpc.Server | None = None
        self._workers: ThreadPoolExecutor | None = None
        self._starts = 0

    def start(self) -> None:
        """Listen on a temporary name, then rename it over the socket's path, as the kubelet does at its start."""
        self._starts += 1
        temporary = self.socket_path.with_name(f"{self._starts}.tmp")
        self._workers = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="kubelet-double")
        self._server = grpc.server(self._workers)
        handler = grpc.unary_unary_rpc_method_handler(
            self._list,
            request_deserializer=ListPodResourcesRequest.FromString,
            response_serializer=ListPodResourcesResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": handler}),)
        )
        self._server.add_insecure_port(f"unix:{temporary}")
        self._server.start()
        temporary.rename(self.socket_path)

    def kill(self) -> None:
        """End as a killed process does: connections break, calls in progress get no answer, the file stays."""
        if self._server is None or self._workers is None:
            return
        self._server.stop(grace=None).wait(_STOP_SECONDS)
        self._workers.shutdown()
        self._server = self._workers = None

    def stop(self) -> None:
        """End, and delete the socket file."""
        self.kill()
        self.socket_path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _list(self, _request: ListPodResourcesRequest, context: grpc.ServicerContext) -> ListPodResourcesResponse:
        with self._lock:
            self.calls += 1
            rejected = self.reject_next > 0
            self.reject_next -= rejected
        if rejected:
            context.abort(*RATE_LIMIT)
        over = threading.Event()
        if context.add_callback(over.set):  # a call stops waiting when its client disconnects or its server is killed
            over.wait(self.delay_seconds)
        if self.status is not None:
            context.abort(*self.status)
        return ListPodResourcesResponse(pod_resources=self._shuffled())

    def _shuffled(self) -> list[PodResources]:
        """The pods in map order, which differs at each call."""
        shuffled = []
        with self._lock:
            for listed in self._random.sample(self.pods, len(self.pods)):
                copy = PodResources()
                copy.CopyFrom(listed)
                for resources in copy.containers:
                    entries = list(resources.devices)
                    self._random.shuffle(entries)
                    del resources.devices[:]
                    resources.devices.extend(entries)
                    claims = self._random.sample(resources.dynamic_resources, len(resources.dynamic_resources))
                    del resources.dynamic_resources[:]
                    resources.dynamic_resources.extend(claims)
                shuffled.append(copy)
        return shuffled
