from dataclasses import replace

import pytest

from exporter.check.facts import KubeletState, MountFacts, NodeFacts, SocketMount
from exporter.check.permissions import Permission, PermissionState, permissions
from tests.doubles.check_facts import ENVIRONMENT, HEALTHY, NOT_MOUNTED, SOCKET, kubelet, silent_kubelet


def permission(name: str, facts: NodeFacts) -> Permission:
    (found,) = [each for each in permissions(facts) if each.name == name]
    return found


@pytest.mark.parametrize(
    ("uid", "own_namespace", "state"),
    [
        (0, False, PermissionState.GIVEN),
        (0, True, PermissionState.MISSING),
        (1000, False, PermissionState.MISSING),
        (None, None, PermissionState.UNKNOWN),
    ],
)
def test_uid_0_must_be_the_hosts(uid: int | None, state: PermissionState, *, own_namespace: bool | None) -> None:
    here = replace(ENVIRONMENT, uid=uid, own_user_namespace=own_namespace)
    assert permission("uid 0 of the host", replace(HEALTHY, environment=here)).state is state


@pytest.mark.parametrize(
    ("kind", "answers", "state"),
    [
        (SocketMount.DIRECTORY, True, PermissionState.GIVEN),
        (SocketMount.FILE, True, PermissionState.MISSING),
        (SocketMount.NONE, True, PermissionState.NOT_NEEDED),
        (SocketMount.NONE, False, PermissionState.MISSING),
        (SocketMount.UNKNOWN, True, PermissionState.UNKNOWN),
    ],
)
def test_the_directory_must_be_mounted(kind: SocketMount, state: PermissionState, *, answers: bool) -> None:
    mount = MountFacts(kind, SOCKET)
    here = kubelet(mount=mount) if answers else silent_kubelet(KubeletState.ABSENT, NOT_MOUNTED)
    assert permission("the kubelet's directory", replace(HEALTHY, kubelet=here)).state is state


@pytest.mark.parametrize(
    ("capabilities", "found"),
    [((), "none"), (("SYS_ADMIN",), "SYS_ADMIN"), (("A", "B", "C", "D"), "4 of them"), (None, "unknown")],
)
def test_capabilities_are_named_or_counted(capabilities: tuple[str, ...] | None, found: str) -> None:
    here = replace(ENVIRONMENT, capabilities=capabilities)
    assert permission("capabilities", replace(HEALTHY, environment=here)).found == found


@pytest.mark.parametrize(
    ("capabilities", "state"),
    [
        (None, PermissionState.UNKNOWN),
        ((), PermissionState.MISSING),
        (("SYS_PTRACE",), PermissionState.MISSING),
        (tuple(map(str, range(37))), PermissionState.MISSING),
        (tuple(map(str, range(38))), PermissionState.GIVEN),
    ],
)
def test_privileges_are_given_or_missing_if_a_vendor_needs_them(
    capabilities: tuple[str, ...] | None, state: PermissionState
) -> None:
    here = replace(ENVIRONMENT, capabilities=capabilities, privileged_only=("AMD partitions",))
    found = permission("capabilities", replace(HEALTHY, environment=here))
    assert (found.state, found.cost) == (state, "AMD partitions cannot be read")


@pytest.mark.parametrize(("visible", "state"), [(False, PermissionState.MISSING), (True, PermissionState.GIVEN)])
def test_host_processes_are_given_or_missing_if_a_vendor_needs_them(state: PermissionState, *, visible: bool) -> None:
    here = replace(ENVIRONMENT, host_processes=visible, host_processes_only=("numbers of processes",))
    found = permission("hostPID", replace(HEALTHY, environment=here))
    assert (found.state, found.cost) == (state, "no process names, no numbers of processes")


def test_a_variable_that_is_not_set_matters_in_pods_only() -> None:
    unset = replace(ENVIRONMENT, variables=(replace(ENVIRONMENT.variables[0], value=None),))
    assert permission("NVIDIA_VISIBLE_DEVICES", replace(HEALTHY, environment=unset)).state is PermissionState.MISSING
    bare = replace(HEALTHY, environment=replace(unset, in_kubernetes=False))
    assert "NVIDIA_VISIBLE_DEVICES" not in [each.name for each in permissions(bare)]
