"""What a ResourceClaim allocates, and which of its requests the containers of a pod name. No I/O.

Source: the types ResourceClaim (staging/src/k8s.io/api/resource of Kubernetes, alike in v1, v1beta2 and v1beta1), Pod,
PodSpec and PodStatus (staging/src/k8s.io/api/core/v1).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from exporter.attribution.json_fields import JsonObject, child, children, text

# The name of a request that stands for all requests of a claim.
EVERY_REQUEST = ""


@dataclass(frozen=True, slots=True, order=True)
class AllocatedDevice:
    """One device, or a share of it, that a claim allocates.

    Attributes:
        request: The name of the claim's request, without that of a subrequest.
        driver: The DRA driver.
        pool: The driver's pool.
        device: The driver's name of the device.
        share_id: The id of the share, where the driver allocates parts of a device; else empty.
        admin_access: True if the claim only monitors the device.
    """

    request: str
    driver: str
    pool: str
    device: str
    share_id: str = ""
    admin_access: bool = False


@dataclass(frozen=True, slots=True)
class ClaimAllocation:
    """What a ResourceClaim allocates.

    Attributes:
        results: Its devices, sorted.
    """

    results: tuple[AllocatedDevice, ...]

    @property
    def requests(self) -> frozenset[str]:
        """The names of the requests that have devices."""
        return frozenset(each.request for each in self.results)


# By container and claim: the requests that the container names, or EVERY_REQUEST.
ContainerRequests = Mapping[tuple[str, str], frozenset[str]]


def parse_claim(item: JsonObject) -> ClaimAllocation | None:
    """Return what a ResourceClaim allocates; None while it allocates nothing."""
    results = tuple(sorted(_allocated(each) for each in children(item, "status", "allocation", "devices", "results")))
    return ClaimAllocation(results) if results else None


def _allocated(result: JsonObject) -> AllocatedDevice:
    return AllocatedDevice(
        request=text(result, "request").partition("/")[0],
        driver=text(result, "driver"),
        pool=text(result, "pool"),
        device=text(result, "device"),
        share_id=text(result, "shareID"),
        admin_access=result.get("adminAccess") is True,
    )


def parse_requests(pod: JsonObject) -> ContainerRequests:
    """Return the requests that the containers of a pod name. Nothing else of the pod is read.

    As the kubelet resolves them (pkg/kubelet/cm/dra/manager.go, GetResources): a container that names a claim without a
    request gets all of it; extended resources that a claim stands for are mapped in the pod's status.
    """
    claims = dict(_claim_names(pod))
    requests: dict[tuple[str, str], set[str]] = defaultdict(set)
    for kind in ("containers", "initContainers"):
        for container in children(pod, "spec", kind):
            for reference in children(container, "resources", "claims"):
                claim = claims.get(text(reference, "name"))
                if claim:
                    requests[text(container, "name"), claim].add(text(reference, "request"))
    extended = child(pod, "status", "extendedResourceClaimStatus")
    for mapping in children(extended, "requestMappings"):
        claim = text(extended, "resourceClaimName")
        requests[text(mapping, "containerName"), claim].add(text(mapping, "requestName"))
    return {key: frozenset(names) for key, names in requests.items()}


def _claim_names(pod: JsonObject) -> Iterator[tuple[str, str]]:
    """The pod's own name of each claim, and the name of the ResourceClaim; those of templates are in the status."""
    for reference in children(pod, "spec", "resourceClaims"):
        yield text(reference, "name"), text(reference, "resourceClaimName")
    for status in children(pod, "status", "resourceClaimStatuses"):
        yield text(status, "name"), text(status, "resourceClaimName")
