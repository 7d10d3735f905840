"""Rights and mounts: which are present, and the consequence of each missing one. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from exporter.attribution.api_health import ApiState
from exporter.attribution.claim_resolution import Way
from exporter.check.facts import ClaimSources, Environment, IdentitySource, KubeletFacts, NodeFacts, SocketMount

_SHOWN_CAPABILITIES = 3
_NO_PODS = "no pod information, device metrics only"


class PermissionState(StrEnum):
    """Whether a right or mount is present."""

    GIVEN = "given"
    MISSING = "missing"
    NOT_NEEDED = "not_needed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Permission:
    """A right or a mount.

    Attributes:
        name: The name, for people.
        state: Whether it is present; not needed if the exporter works in the same way without it.
        found: What is found here.
        cost: The consequence if it is missing.
    """

    name: str
    state: PermissionState
    found: str
    cost: str


def permissions(facts: NodeFacts) -> tuple[Permission, ...]:
    """Return every right and mount, the most important first."""
    here = facts.environment
    rows = (_user(here), _socket(facts.kubelet), _sysfs(here), _node_name(here))
    return (
        *rows,
        *_for_claims(facts.kubelet),
        *_for_api(facts.kubelet.claim_sources),
        *_variables(here),
        _capabilities(here),
        _host_processes(here),
        _read_only_root(here),
    )


def _state(*, given: bool | None) -> PermissionState:
    if given is None:
        return PermissionState.UNKNOWN
    return PermissionState.GIVEN if given else PermissionState.MISSING


def _user(here: Environment) -> Permission:
    given = None if here.uid is None else here.uid == 0 and here.own_user_namespace is not True
    found = "unknown" if here.uid is None else f"uid {here.uid}"
    if here.own_user_namespace:
        found += ", which is another user on the host (hostUsers: false)"
    return Permission("uid 0 of the host", _state(given=given), found, f"no access to the kubelet's socket: {_NO_PODS}")


def _socket(kubelet: KubeletFacts) -> Permission:
    mount = kubelet.mount
    cost = _NO_PODS
    if mount.kind is SocketMount.DIRECTORY:
        state, found = PermissionState.GIVEN, mount.point
    elif mount.kind is SocketMount.FILE:
        state, found = PermissionState.MISSING, "only the socket file"
        cost = f"after the kubelet's next restart: {_NO_PODS}"
    elif mount.kind is SocketMount.NONE:
        present = kubelet.allocations is not None
        state = PermissionState.NOT_NEEDED if present else PermissionState.MISSING
        found = "in the root file system" if present else "not mounted"
    else:
        state, found = PermissionState.UNKNOWN, "unknown"
    return Permission("the kubelet's directory", state, found, cost)


def _sysfs(here: Environment) -> Permission:
    cost = "a node with a missing library or a lost device looks like a node without devices"
    return Permission("/sys", _state(given=here.pci_bus), "PCI bus" if here.pci_bus else "no PCI bus", cost)


def _node_name(here: Environment) -> Permission:
    found = here.node_name or "not set"
    cost = {
        IdentitySource.PRODUCT_UUID: "ids would be generated from the product UUID alone, which cloned machines share",
        IdentitySource.NODE_NAME: "ids would be generated from the host name, which may be the pod's",
        IdentitySource.HOST_NAME: "ids are generated from the host name, which may be the pod's",
    }[here.identity]
    return Permission("NODE_NAME", _state(given=bool(here.node_name)), found, cost)


def _for_claims(kubelet: KubeletFacts) -> Iterator[Permission]:
    """What resource claims need, if there are any."""
    if kubelet.allocations is None or not kubelet.allocations.has_claims:
        return
    sources, unresolved = kubelet.claim_sources, bool(kubelet.allocations.claims.reasons)
    found = [each.path for each in sources.cdi_directories if each.exists]
    needed = unresolved or bool(kubelet.allocations.claims.ways.get(Way.CDI))
    state = PermissionState.GIVEN if found else PermissionState.MISSING if needed else PermissionState.NOT_NEEDED
    cost = "claims of new partitions, virtual machines and unknown drivers are not resolved"
    yield Permission("CDI directories", state, ", ".join(found) or "none", cost)
    own = sources.own_namespace
    cost = "claims of monitors in the exporter's namespace count as users"
    yield Permission("POD_NAMESPACE", _state(given=bool(own)), own or "not set", cost)


def _for_api(sources: ClaimSources) -> Iterator[Permission]:
    """The rights in the API server, where it is read."""
    states = {ApiState.UP: PermissionState.GIVEN, ApiState.FORBIDDEN: PermissionState.MISSING}
    costs = (
        "devices that neither name nor CDI file identifies are not resolved",
        "claims of monitors outside the exporter's namespace count as users",
        "every container of a pod has all devices of the claims that it names",
    )
    for each, cost in zip(sources.api, costs, strict=False):
        yield Permission(f"to {each.right}", states.get(each.state, PermissionState.UNKNOWN), each.state, cost)


def _variables(here: Environment) -> Iterator[Permission]:
    for variable in here.variables:
        if variable.value is not None or here.in_kubernetes:
            given = variable.value == variable.shows_all
            cost = f"the container runtime may hide {variable.shows}"
            yield Permission(variable.name, _state(given=given), variable.value or "not set", cost)


def _capabilities(here: Environment) -> Permission:
    name, cost = "capabilities", "none on most nodes"
    if here.privileged_only:
        cost = f"{', '.join(here.privileged_only)} cannot be read"
    if here.capabilities is None:
        return Permission(name, PermissionState.UNKNOWN, "unknown", cost)
    count = len(here.capabilities)
    found = f"{count} of them" if count > _SHOWN_CAPABILITIES else ", ".join(here.capabilities) or "none"
    state = _state(given=here.is_privileged) if here.privileged_only else PermissionState.NOT_NEEDED
    return Permission(name, state, found, cost)


def _host_processes(here: Environment) -> Permission:
    found = "visible" if here.host_processes else "not visible"
    state = _state(given=here.host_processes) if here.host_processes_only else PermissionState.NOT_NEEDED
    cost = ", ".join(f"no {each}" for each in ("process names", *here.host_processes_only))
    return Permission("hostPID", state, found, cost)


def _read_only_root(here: Environment) -> Permission:
    found = {None: "unknown", True: "read-only", False: "writable"}[here.read_only_root]
    return Permission("writable root", PermissionState.NOT_NEEDED, found, "none: the exporter writes no file")
