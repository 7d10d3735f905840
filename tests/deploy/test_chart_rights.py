"""Which rights the pods of the Helm chart have: none beyond the socket's directory, and one for each feature."""

from typing import Any

import pytest

from tests.doubles.chart import leaves, of_kind, with_features, with_group
from tools.chart import NAME, manifests

_CONTAINER = "/containers/exporter"
_CDI = [
    *(
        f"/volumes/cdi-{name}{leaf}"
        for name in ("run", "etc")
        for leaf in ("/name", "/hostPath/path", "/hostPath/type")
    ),
    *(
        f"{_CONTAINER}/volumeMounts/cdi-{name}/{leaf}"
        for name in ("run", "etc")
        for leaf in ("name", "mountPath", "readOnly")
    ),
]


def test_with_everything_off_the_pod_has_no_token_host_namespace_or_capability() -> None:
    found = manifests(with_group())
    pod = of_kind(found, "DaemonSet")["spec"]["template"]["spec"]
    assert not set(pod) & {
        "hostPID",
        "hostIPC",
        "hostNetwork",
        "hostUsers",
        "shareProcessNamespace",
        "runtimeClassName",
    }
    assert pod["automountServiceAccountToken"] is False
    assert of_kind(found, "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod["containers"][0]["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [volume["hostPath"]["path"] for volume in pod["volumes"]] == ["/var/lib/kubelet/pod-resources"]
    assert not [m for m in found if "Role" in m["kind"] or m["kind"] == "SecurityContextConstraints"]


@pytest.mark.parametrize(
    ("features", "changed", "kinds"),
    [
        (("processes",), ["/hostPID"], []),
        (
            ("processes", "processesAmdFdinfo"),
            ["/hostPID", *(f"{_CONTAINER}/securityContext/capabilities/add/{index}" for index in (0, 1))],
            [],
        ),
        (("cdi",), _CDI, []),
        (
            ("resourceSlices",),
            [
                "/automountServiceAccountToken",
                f"{_CONTAINER}/env/ACCELERATOR_EXPORTER_ATTRIBUTION_RESOURCE_SLICES/name",
                f"{_CONTAINER}/env/ACCELERATOR_EXPORTER_ATTRIBUTION_RESOURCE_SLICES/value",
            ],
            ["ClusterRole", "ClusterRoleBinding"],
        ),
        (
            ("amdPartitions",),
            [
                f"{_CONTAINER}/securityContext/{name}"
                for name in ("privileged", "allowPrivilegeEscalation", "capabilities/drop/0")
            ],
            [],
        ),
        (("openshiftScc",), [], ["SecurityContextConstraints"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_each_feature_adds_only_its_own(features: tuple[str, ...], changed: list[str], kinds: list[str]) -> None:
    before, after = manifests(with_group()), manifests(with_features(*features))
    pods = [of_kind(found, "DaemonSet")["spec"]["template"]["spec"] for found in (before, after)]
    assert {path for path, _ in set(leaves(pods[0])) ^ set(leaves(pods[1]))} == set(changed)
    assert [m["kind"] for m in after if m not in before and m["kind"] != "DaemonSet"] == kinds


@pytest.mark.parametrize(
    ("features", "granted"),
    [
        ((), {"allowHostPID": False, "allowedCapabilities": [], "allowPrivilegedContainer": False}),
        (
            ("processes", "processesAmdFdinfo"),
            {
                "allowHostPID": True,
                "allowedCapabilities": ["SYS_PTRACE", "DAC_READ_SEARCH"],
                "allowPrivilegedContainer": False,
            },
        ),
        (
            ("amdPartitions",),
            {"allowPrivilegedContainer": True, "allowPrivilegeEscalation": True, "allowHostPID": False},
        ),
        (("resourceSlices",), {"volumes": ["hostPath", "projected"]}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_openshift_grants_what_the_pods_ask_for(features: tuple[str, ...], granted: dict[str, Any]) -> None:
    found = manifests(with_features("openshiftScc", *features))
    constraints = of_kind(found, "SecurityContextConstraints")
    assert granted.items() <= constraints.items()
    account = of_kind(found, "DaemonSet")["spec"]["template"]["spec"]["serviceAccountName"]
    assert constraints["users"] == [f"system:serviceaccount:{NAME}:{account}"]
