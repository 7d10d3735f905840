"""Objects of the Kubernetes API, as JSON."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

NODE = "worker-1"


def device(
    name: str, attributes: Mapping[str, str] | None = None, *, several_at_once: bool = False, **own: str
) -> Json:
    """A device of a ResourceSlice, v1.

    Args:
        name: Its name.
        attributes: Attributes whose names have a domain.
        several_at_once: Whether several claims can hold it.
        **own: Attributes of the driver; `pci_bus_id` is the standard one.
    """
    standard = {"pci_bus_id": "resource.kubernetes.io/pciBusID"}
    named = {**(attributes or {}), **{standard.get(key, key): value for key, value in own.items()}}
    values = {key: {"string": value} for key, value in named.items()}
    return {"name": name, "attributes": values} | ({"allowMultipleAllocations": True} if several_at_once else {})


def resource_slice(
    name: str,
    *devices: Json,
    driver: str = "gpu.nvidia.com",
    pool: str = NODE,
    generation: int = 1,
    count: int = 1,
    node: str = NODE,
) -> Json:
    """A ResourceSlice of v1 or v1beta2."""
    spec = {
        "driver": driver,
        "nodeName": node,
        "pool": {"name": pool, "generation": generation, "resourceSliceCount": count},
        "devices": list(devices),
    }
    return {"metadata": {"name": name}, "spec": spec}


def as_v1beta1(item: Json) -> Json:
    """The same slice in v1beta1."""
    devices = [{"name": each["name"], "basic": {**each, "name": None}} for each in item["spec"]["devices"]]
    return {**item, "spec": {**item["spec"], "devices": devices}}


def result(
    device_name: str,
    *,
    request: str = "gpu",
    driver: str = "gpu.nvidia.com",
    pool: str = NODE,
    share: str = "",
    admin: bool | None = None,
) -> Json:
    """One device that a claim allocates."""
    fields = {"request": request, "driver": driver, "pool": pool, "device": device_name}
    return fields | ({"shareID": share} if share else {}) | ({} if admin is None else {"adminAccess": admin})


def claim(*results: Json) -> Json:
    """A ResourceClaim."""
    return {"status": {"allocation": {"devices": {"results": list(results)}}}}


def container(name: str, *claims: tuple[str, str]) -> Json:
    """A container that names claims by the pod's own name and a request, which may be empty."""
    references = [{"name": own} | ({"request": request} if request else {}) for own, request in claims]
    secret = {"name": "PASSWORD", "value": "not to be read"}
    return {"name": name, "env": [secret], "resources": {"claims": references}}


def pod(*containers: Json, claims: dict[str, str] | None = None, templates: dict[str, str] | None = None) -> Json:
    """A pod with claims, by the pod's own name: the names of claims, and of claims made from templates."""
    named = [{"name": own, "resourceClaimName": name} for own, name in (claims or {}).items()]
    made = [{"name": own, "resourceClaimTemplateName": "any"} for own in templates or {}]
    statuses = [{"name": own, "resourceClaimName": name} for own, name in (templates or {}).items()]
    return {
        "spec": {"containers": list(containers), "resourceClaims": named + made},
        "status": {"resourceClaimStatuses": statuses},
    }
