"""Pods with resource claims, listed as a real kubelet lists them.

    part = Claim("part", [Result(NVIDIA, "gpu-0-mig-1g10gb-19-0")])
    kubelet.pods = [claim_pod("ml", "train", using("main", part), using("warm-up", part, kind=Kind.INIT))]

What a kubelet does with claims, v1.36 (`GetDynamicResources` of its container manager):

- every container that names a claim is listed with all devices of the claim, whichever request it names;
- the list of CDI devices of each device begins with those of the earlier devices of the same claim and driver;
- ordinary init containers are not listed, sidecars are, before the main containers;
- while one claim of a pod is not prepared, none of its containers has claims;
- two pods that prepare a claim at the same moment can have its devices listed twice.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from tests.doubles.proto.podresources_pb2 import (
    CDIDevice,
    ClaimResource,
    ContainerDevices,
    ContainerResources,
    DynamicResource,
    PodResources,
)

POOL = "worker-1"


class Driver(NamedTuple):
    """A DRA driver.

    Attributes:
        name: Its name.
        kind: Vendor and class of its CDI devices.
        with_claim: True if the name of its CDI devices begins with the uid of the claim.
        always: CDI devices that it adds to each device.
    """

    name: str
    kind: str
    with_claim: bool = True
    always: tuple[str, ...] = ()


NVIDIA = Driver("gpu.nvidia.com", "k8s.gpu.nvidia.com/claim")
AMD = Driver("gpu.amd.com", "k8s.gpu.amd.com/gpu", always=("common",))
INTEL = Driver("gpu.intel.com", "intel.com/gpu", with_claim=False)
INVENTED = Driver("dream.example.com", "k8s.dream.example.com/dream")


class Result(NamedTuple):
    """One device that is allocated to a claim.

    Attributes:
        driver: Its driver.
        device: The driver's name of it.
        share: The id of the share; empty for the whole device.
        request: The request of the claim that it satisfies. The kubelet does not list it.
    """

    driver: Driver
    device: str
    share: str = ""
    request: str = "gpu"


@dataclass
class Claim:
    """A claim. Its uid is made from its namespace and name, and from `born`.

    Attributes:
        name: Its name.
        results: What is allocated to it.
        namespace: Its namespace.
        born: Differs between two claims that have had the same name.
        prepared: False while its driver has not prepared it.
        twice: True if its devices are listed twice.
    """

    name: str
    results: Sequence[Result]
    namespace: str = "ml"
    born: int = 0
    prepared: bool = True
    twice: bool = False

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.namespace}/{self.name}/{self.born}"))

    def cdi_name(self, result: Result) -> str:
        """The name of a CDI device, without its vendor and class."""
        return f"{self.uid}-{result.device}" if result.driver.with_claim else result.device

    def cdi_devices(self, result: Result) -> list[str]:
        """The qualified names of the CDI devices that its driver returned for a device."""
        return [f"{result.driver.kind}={name}" for name in (*result.driver.always, self.cdi_name(result))]


class Kind(Enum):
    """The kinds of container."""

    MAIN = auto()
    SIDECAR = auto()
    INIT = auto()


@dataclass(frozen=True)
class ClaimingContainer:
    """A container of a pod, with its claims.

    Attributes:
        name: Its name.
        claims: Its claims.
        kind: Its kind.
        devices: Devices of device plugins that it has besides.
    """

    name: str
    claims: tuple[Claim, ...]
    kind: Kind = Kind.MAIN
    devices: Sequence[ContainerDevices] = field(default=())


def using(
    name: str, *claims: Claim, kind: Kind = Kind.MAIN, devices: Sequence[ContainerDevices] = ()
) -> ClaimingContainer:
    """A container that names claims."""
    return ClaimingContainer(name, claims, kind, devices)


def claim_pod(namespace: str, name: str, *containers: ClaimingContainer) -> PodResources:
    """A pod as the kubelet lists it."""
    ready = all(claim.prepared for container in containers for claim in container.claims)
    shown = sorted((each for each in containers if each.kind is not Kind.INIT), key=lambda each: each.kind is Kind.MAIN)
    return PodResources(
        namespace=namespace,
        name=name,
        containers=[
            ContainerResources(
                name=each.name,
                devices=each.devices,
                dynamic_resources=[_listed(claim) for claim in each.claims] if ready else (),
            )
            for each in shown
        ],
    )


def _listed(claim: Claim) -> DynamicResource:
    drivers = dict.fromkeys(result.driver for result in claim.results)
    entries = [entry for driver in drivers for entry in _of_driver(claim, driver)]
    return DynamicResource(
        claim_name=claim.name, claim_namespace=claim.namespace, claim_resources=entries * (2 if claim.twice else 1)
    )


def _of_driver(claim: Claim, driver: Driver) -> Iterator[ClaimResource]:
    so_far: list[str] = []
    for result in claim.results:
        if result.driver is driver:
            so_far += claim.cdi_devices(result)
            yield ClaimResource(
                cdi_devices=[CDIDevice(name=name) for name in so_far],
                driver_name=driver.name,
                pool_name=POOL,
                device_name=result.device,
                share_id=result.share or None,
            )
