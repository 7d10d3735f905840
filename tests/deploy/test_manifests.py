"""The manifests: valid for every supported Kubernetes, and consistent with the exporter and with each other."""

import copy
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from exporter.configuration.load import load_settings
from exporter.configuration.settings import OPTIONS, Settings
from exporter.web.handlers import HEALTHY_PATH, READY_PATH
from tests.doubles.chart import leaves, of_kind, pod_of
from tests.doubles.kustomize import Manifest, apply, build, read, refused

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
VARIANTS = ("base", "nvidia", "amd", "amd-beside-nvidia")
PRIVILEGED = ("nvidia-gke", "amd-partitions")
COMMON = KUBERNETES / "common"
SELECTOR = {"app.kubernetes.io/name": "accelerator-exporter", "app.kubernetes.io/component": "exporter"}
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
NAME = "accelerator-exporter"
DEFAULTS = Settings()
PORT = int(DEFAULTS.web.listen_address[0].removeprefix(":"))


def keys_and_values(content: object) -> Iterator[tuple[str, object]]:
    """Every key of every mapping in it, at any depth, with its value."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield key, value
            yield from keys_and_values(value)
    elif isinstance(content, list):
        for element in content:
            yield from keys_and_values(element)


@pytest.fixture(params=VARIANTS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return build(COMMON) + build(KUBERNETES / request.param)


@pytest.fixture
def pod(manifests: list[Manifest]) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(manifests, "DaemonSet")["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    assert not set(pod) & {"initContainers", "ephemeralContainers"}
    found: dict[str, Any] = only
    return found


@pytest.fixture
def monitor() -> Manifest:
    return of_kind(build(KUBERNETES / "monitor"), "ServiceMonitor")


def test_every_object_matches_the_kubernetes_schema(manifests: list[Manifest]) -> None:
    kinds = [manifest["kind"] for manifest in manifests]
    assert kinds == ["Namespace", "ServiceAccount", "Service", "DaemonSet"]
    assert refused(manifests, VERSIONS) == []


@pytest.mark.parametrize("variant", [*PRIVILEGED, "simulated"])
def test_every_other_variant_matches_the_kubernetes_schema(variant: str) -> None:
    found = build(KUBERNETES / variant)
    context = of_kind(found, "DaemonSet")["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    assert context["privileged"] is context["allowPrivilegeEscalation"] is (variant in PRIVILEGED)
    assert refused(found, VERSIONS) == []


def test_misspelt_key_fails_the_schema(manifests: list[Manifest]) -> None:
    wrong = copy.deepcopy(of_kind(manifests, "DaemonSet"))
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContex"] = {}
    (complaint,) = refused([wrong, of_kind(manifests, "Service")], VERSIONS[:1])
    assert complaint.startswith("DaemonSet in 1.29: ")
    assert "securityContex" in complaint


def test_monitor_matches_the_operator_schema(monitor: Manifest) -> None:
    (schema,) = read(Path(__file__).parent / "monitor.schema.yaml")
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(monitor)
    monitor["spec"]["endpoints"][0]["honorLabel"] = True
    assert not validator.is_valid(monitor)


def test_every_file_belongs_to_a_kustomization() -> None:
    for folder in KUBERNETES.iterdir():
        (content,) = read(folder / "kustomization.yaml")
        named = {*content.get("resources", []), *(patch["path"] for patch in content.get("patches", []))}
        assert {path.name for path in folder.iterdir()} == {*named, "kustomization.yaml"}


@pytest.mark.parametrize("variant", [*VARIANTS, *PRIVILEGED, "simulated"])
def test_deleting_a_variant_leaves_what_another_uses(variant: str) -> None:
    assert [m["kind"] for m in build(KUBERNETES / variant)] == ["DaemonSet"]
    assert [m["kind"] for m in build(COMMON)] == ["Namespace", "ServiceAccount", "Service"]


@pytest.mark.parametrize(
    ("variant", "name", "selector"),
    [
        *((variant, "accelerator-exporter", SELECTOR) for variant in ("base", "nvidia", "amd")),
        ("amd-beside-nvidia", "accelerator-exporter-amd", {**SELECTOR, "app.kubernetes.io/instance": "amd"}),
    ],
)
def test_names_and_selectors_are_those_of_every_earlier_version(
    variant: str, name: str, selector: dict[str, str]
) -> None:
    """Kubernetes refuses another selector, and another name would be a second exporter on the node."""
    daemon_set = of_kind(build(KUBERNETES / variant), "DaemonSet")
    assert (daemon_set["metadata"]["name"], daemon_set["metadata"]["namespace"]) == (name, NAME)
    assert daemon_set["spec"]["selector"] == {"matchLabels": selector}
    assert of_kind(build(COMMON), "Service")["spec"]["selector"] == SELECTOR


def test_container_has_uid_0_and_no_privilege(container: dict[str, Any], pod: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}


def test_only_the_socket_directory_of_the_host_is_mounted(container: dict[str, Any], pod: dict[str, Any]) -> None:
    socket_directory = str(DEFAULTS.kubelet.socket.parent)
    (mount,) = container["volumeMounts"]
    (volume,) = pod["volumes"]
    assert mount == {"name": volume["name"], "mountPath": socket_directory, "readOnly": True}
    assert volume["hostPath"] == {"path": socket_directory, "type": "Directory"}
    # Each of these would give it more access to the host; hostUsers false would deny it the socket.
    assert not set(pod) & {"hostPID", "hostIPC", "hostNetwork", "hostUsers", "shareProcessNamespace"}
    assert not [key for key, _ in keys_and_values(pod) if key in {"hostPort", "hostIP", "procMount"}]


def test_pod_has_no_token_and_no_cluster_permission(manifests: list[Manifest], pod: dict[str, Any]) -> None:
    account = of_kind(manifests, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert not [m for m in manifests if "Role" in m["kind"]]


@pytest.fixture(params=VARIANTS)
def with_slices(request: pytest.FixtureRequest) -> list[Manifest]:
    """A variant with the component that reads resource slices."""
    mine = {"resources": ["../common", f"../{request.param}"], "components": ["../resource-slices"]}
    return apply(mine, KUBERNETES / "mine")


def test_resource_slices_add_a_token_and_the_option_to_a_variant(with_slices: list[Manifest]) -> None:
    pod = of_kind(with_slices, "DaemonSet")["spec"]["template"]["spec"]
    environ = {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}
    assert pod["automountServiceAccountToken"] is True
    assert load_settings({}, environ, None).attribution.resource_slices
    assert [kind for kind in (each["kind"] for each in with_slices) if "Role" in kind] == [
        "ClusterRole",
        "ClusterRoleBinding",
    ]
    assert refused(with_slices, VERSIONS) == []


def test_resource_slices_need_only_these_rights(with_slices: list[Manifest]) -> None:
    role, binding = of_kind(with_slices, "ClusterRole"), of_kind(with_slices, "ClusterRoleBinding")
    rights = {(*each["apiGroups"], *each["resources"]): each["verbs"] for each in role["rules"]}
    assert rights == {
        ("resource.k8s.io", "resourceslices"): ["list", "watch"],
        ("resource.k8s.io", "resourceclaims"): ["get"],
    }
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    account = of_kind(with_slices, "ServiceAccount")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", **{k: account["metadata"][k] for k in ("name", "namespace")}}
    ]


def test_right_to_read_pods_is_ready_to_be_added() -> None:
    text = (KUBERNETES / "resource-slices" / "clusterrole.yaml").read_text()
    (role,) = yaml.safe_load_all(re.sub(r"^  # (- |  )", r"  \1", text, flags=re.MULTILINE))
    assert role["rules"][-1] == {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


def test_namespace_admits_the_pod(manifests: list[Manifest]) -> None:
    namespace = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    in_it = [m for m in manifests if m["kind"] != "Namespace"]
    assert {m["metadata"]["namespace"] for m in in_it} == {namespace["metadata"]["name"]} == {NAME}


def test_every_node_runs_exactly_one_exporter(manifests: list[Manifest], pod: dict[str, Any]) -> None:
    strategy = of_kind(manifests, "DaemonSet")["spec"]["updateStrategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%", "maxSurge": 0}}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["priorityClassName"] == "system-node-critical"


def test_ports_and_paths_match_the_exporter(
    manifests: list[Manifest], container: dict[str, Any], monitor: Manifest
) -> None:
    assert container["ports"] == [{"name": "metrics", "containerPort": PORT, "protocol": "TCP"}]
    service = of_kind(manifests, "Service")["spec"]
    assert service["ports"] == [{"name": "metrics", "port": PORT, "targetPort": "metrics", "protocol": "TCP"}]
    assert service["clusterIP"] == "None"
    assert container["livenessProbe"]["httpGet"] == {"path": HEALTHY_PATH, "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": READY_PATH, "port": "metrics"}
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("metrics", DEFAULTS.web.telemetry_path)
    assert f"EXPOSE {PORT}\n" in (ROOT / "Dockerfile").read_text()


def test_selectors_match_their_pods(manifests: list[Manifest], monitor: Manifest) -> None:
    daemon_set = of_kind(manifests, "DaemonSet")
    service = of_kind(manifests, "Service")
    labels = daemon_set["spec"]["template"]["metadata"]["labels"]
    selector = daemon_set["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"] == monitor["spec"]["selector"]["matchLabels"] == SELECTOR
    assert SELECTOR.items() <= selector.items() <= labels.items()
    assert SELECTOR.items() <= service["metadata"]["labels"].items()
    assert "app.kubernetes.io/version" not in selector
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"]
    assert monitor["spec"]["jobLabel"] in service["metadata"]["labels"]


def test_image_and_version_labels_match_the_project(manifests: list[Manifest], container: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"{NAME}:{version}"
    versions = {value for key, value in keys_and_values(manifests) if key == "app.kubernetes.io/version"}
    assert versions == {version}


def test_names_of_node_and_namespace_come_from_the_pod(container: dict[str, Any]) -> None:
    by_name = {variable["name"]: variable for variable in container["env"]}
    variables = {option.key: option.default_variable for option in OPTIONS}
    for key, path in (("node.name", "spec.nodeName"), ("attribution.own_namespace", "metadata.namespace")):
        assert by_name[variables[key]]["valueFrom"] == {"fieldRef": {"fieldPath": path}}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_cdi_directories_are_mounted_by_the_lines_that_are_commented_out(variant: str) -> None:
    text = (KUBERNETES / variant / "kustomization.yaml").read_text()
    content = yaml.safe_load(text.replace("# components:", "components:").replace("#   - ../cdi", "  - ../cdi"))
    manifests = apply(content, KUBERNETES / variant)
    assert refused(manifests, VERSIONS) == []
    pod = of_kind(manifests, "DaemonSet")["spec"]["template"]["spec"]
    paths = {volume["name"]: volume["hostPath"] for volume in pod["volumes"]}
    mounts = {
        each["mountPath"]: (paths[each["name"]]["path"], paths[each["name"]]["type"], each["readOnly"])
        for each in pod["containers"][0]["volumeMounts"]
        if each["name"] != "pod-resources"
    }
    assert mounts == {str(each): (str(each), "DirectoryOrCreate", True) for each in DEFAULTS.attribution.cdi_dirs}


@pytest.mark.parametrize(
    ("component", "feature"), [("cdi", "cdi"), ("resource-slices", "resourceSlices")], ids=["cdi", "resource-slices"]
)
def test_components_change_the_pod_as_the_chart_does(component: str, feature: str) -> None:
    mine = apply({"resources": ["../base"], "components": [f"../{component}"]}, KUBERNETES / "mine")
    values = {"nodeGroups": [{"name": "base"}], "features": {feature: {"enabled": True}}}
    assert dict(leaves(pod_of(values))) == dict(leaves(of_kind(mine, "DaemonSet")["spec"]["template"]["spec"]))


def test_only_the_nvidia_variant_requests_devices() -> None:
    base, nvidia = (
        of_kind(build(KUBERNETES / variant), "DaemonSet")["spec"]["template"]["spec"] for variant in ("base", "nvidia")
    )
    env = {variable["name"]: variable.get("value") for variable in nvidia["containers"][0]["env"]}
    assert env == {
        "NODE_NAME": None,
        "POD_NAMESPACE": None,
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "utility",
    }
    assert nvidia["runtimeClassName"] == "nvidia"
    assert [variable["name"] for variable in base["containers"][0]["env"]] == ["NODE_NAME", "POD_NAMESPACE"]
    assert not {"runtimeClassName", "affinity"} & set(base)
    for each in (base, nvidia):
        requested = {name for kind in each["containers"][0]["resources"].values() for name in kind}
        assert requested == {"cpu", "memory"}


def test_amd_variant_differs_from_the_base_only_in_its_nodes() -> None:
    base, amd = (build(KUBERNETES / variant) for variant in ("base", "amd"))
    affinity = of_kind(amd, "DaemonSet")["spec"]["template"]["spec"].pop("affinity")
    assert amd == base
    terms = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert all(
        "1002" in term["matchExpressions"][0]["key"] or "amd" in term["matchExpressions"][0]["key"] for term in terms
    )
