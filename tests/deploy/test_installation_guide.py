"""The installation guide: its examples work, and the names it uses exist."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from collectors.metric import DEFAULT_SETS, MetricSet
from exporter.attribution.grpc_unary import MAX_MESSAGE_BYTES
from exporter.attribution.podresources import OBJECTS_OF_ANSWER, PODS_OF_ANSWER
from exporter.configuration.load import load_settings
from exporter.configuration.settings import KubeletSettings
from tests.doubles.kubelet import container, device, pod
from tests.doubles.kustomize import Manifest, apply, read, refused
from tests.doubles.proto.podresources_pb2 import ContainerDevices, ListPodResourcesResponse
from tests.doubles.scheduling import runs_on
from tools.chart import manifests

ROOT = Path(__file__).parents[2]
GUIDES = (ROOT / "docs" / "installation.md", ROOT / "deploy" / "autoscaling" / "README.md")
TEXT = GUIDES[0].read_text()
HERE = ROOT / "deploy" / "kubernetes" / "mine"  # the folder of the reader
KIB, MIB = 1024, 1024 * 1024
OLDEST, NEWEST = "1.29", "1.37"


def blocks() -> list[Manifest]:
    """The YAML blocks of the guide, also those inside lists."""
    found = re.findall(r"^( *)```yaml\n(.*?)^\1```$", TEXT, re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(text) for _, text in found]


KUSTOMIZATIONS = [block for block in blocks() if block.get("kind") == "Kustomization"]
OTHERS = [block for block in blocks() if block.get("kind") not in (None, "Kustomization")]
VALUES = [block for block in blocks() if "kind" not in block]


def test_code_blocks_are_found() -> None:
    assert len(KUSTOMIZATIONS) == 6
    assert [list(block) for block in VALUES] == [["nodeGroups"]]
    assert [block["kind"] for block in OTHERS] == ["RuntimeClass", "ResourceQuota", "SecurityContextConstraints"]


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS, ids=lambda k: "+".join(k["resources"]))
def test_each_kustomization_builds_valid_manifests(kustomization: Manifest) -> None:
    manifests = apply(kustomization, HERE)
    assert refused([m for m in manifests if m["kind"] != "ServiceMonitor"], [OLDEST, NEWEST]) == []
    assert manifests != apply({"resources": kustomization["resources"]}, HERE)


def test_each_other_object_is_valid() -> None:
    known = [block for block in OTHERS if block["kind"] != "SecurityContextConstraints"]
    assert refused(known, [OLDEST, NEWEST]) == []


def daemon_sets(kustomization: Manifest) -> list[Manifest]:
    return [m for m in apply(kustomization, HERE) if m["kind"] == "DaemonSet"]


def daemon_set(kustomization: Manifest) -> Manifest:
    (found,) = daemon_sets(kustomization)
    return found


def test_kustomization_sets_the_image_of_the_reader() -> None:
    with_pods = [k for k in KUSTOMIZATIONS if k["resources"] != ["../monitor"]]
    assert len(with_pods) == 5
    for kustomization in with_pods:
        for each in daemon_sets(kustomization):
            (container,) = each["spec"]["template"]["spec"]["containers"]
            assert container["image"] == "registry.example/platform/accelerator-exporter:0.1.0"


def test_options_in_the_environment_are_accepted() -> None:
    (options,) = (k for k in KUSTOMIZATIONS if "METRICS_SETS" in str(k))
    (container,) = daemon_set(options)["spec"]["template"]["spec"]["containers"]
    environ = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    settings = load_settings({}, environ, None)
    assert settings.collectors == ("nvidia",)
    assert settings.metrics.exported == DEFAULT_SETS | {MetricSet.BILLING}


def test_values_of_node_groups_give_one_pod_on_each_node() -> None:
    (values,) = VALUES
    groups = [m for m in manifests(values) if m["kind"] == "DaemonSet"]
    nvidia, amd = {"nvidia.com/gpu.present": "true"}, {"feature.node.kubernetes.io/amd-gpu": "true"}
    for labels, expected in (
        ({**nvidia, "pool": "training"}, "accelerator-exporter-nvidia"),
        ({**nvidia, "pool": "inference"}, "accelerator-exporter-nvidia-inference"),
        (amd, "accelerator-exporter-amd"),
    ):
        node = {"kubernetes.io/os": "linux", **labels}
        assert [each["metadata"]["name"] for each in groups if runs_on(each, node)] == [expected]


def test_nothing_of_the_plain_manifests_is_in_the_way_of_helm() -> None:
    section = TEXT.partition("### Upgrading from the plain manifests")[2].partition("### ")[0]
    deleted = re.findall(r"delete ([a-z,]+) (-l )?(\S+)", section)
    plain = [m for path in (ROOT / "deploy" / "kubernetes").rglob("*.yaml") for m in read(path) if "metadata" in m]
    features = {"resourceSlices": {"enabled": True}}
    values = {"features": features, "monitor": {"enabled": True}, "conformance": {"enabled": True}, **VALUES[0]}
    taken = {(m["kind"], m["metadata"]["name"]) for m in (*manifests(values), *manifests({}))}
    in_the_way = [m for m in plain if m["kind"] == "DaemonSet" or (m["kind"], m["metadata"]["name"]) in taken]
    assert {m["kind"] for m in in_the_way} >= {
        "DaemonSet",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "ClusterRole",
    }
    for manifest in in_the_way:
        (selected,) = (each for each in deleted if manifest["kind"].lower() in each[0].split(","))
        metadata = manifest["metadata"]
        label, _, value = selected[2].partition("=")
        assert metadata["labels"][label] == value if selected[1] else metadata["name"] == selected[2]


def test_two_releases_have_nothing_in_common() -> None:
    """In one namespace; also with objects that have none."""
    values = {"features": {"resourceSlices": {"enabled": True}, "openshiftScc": {"enabled": True}}, **VALUES[0]}
    first, second = (manifests(values, release=release) for release in ("accelerator-exporter", "simulated"))
    named = [{(m["kind"], m["metadata"]["name"]) for m in found} for found in (first, second)]
    assert not named[0] & named[1]
    pods = [m["spec"]["template"]["metadata"]["labels"] for m in first if m["kind"] == "DaemonSet"]
    for manifest in second:
        spec = manifest.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector"))
        if selector is not None:
            assert not [pod for pod in pods if selector.get("matchLabels", selector).items() <= pod.items()]


def test_two_variants_have_different_names_and_selectors() -> None:
    (both,) = (k for k in KUSTOMIZATIONS if "../amd-beside-nvidia" in k["resources"])
    first, second = daemon_sets(both)
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["spec"]["selector"] != second["spec"]["selector"]


def test_every_value_in_the_text_exists() -> None:
    page = (ROOT / "docs" / "helm-values.md").read_text()
    values = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))
    features = re.findall(r"`(features\.\w+\.enabled)`", TEXT)
    assert len(set(features)) == 6
    for value in (*features, *re.findall(r"--set ([\w.]+)=", TEXT), "networkPolicy.allowAll", "kubelet.rootDir"):
        assert value in values


def test_security_constraints_allow_what_the_manifest_requests() -> None:
    (constraints,) = (block for block in OTHERS if block["kind"] == "SecurityContextConstraints")
    pod = daemon_set({"resources": ["../common", "../base"]})["spec"]["template"]["spec"]
    context = pod["containers"][0]["securityContext"]
    assert constraints["requiredDropCapabilities"] == context["capabilities"]["drop"]
    assert constraints["readOnlyRootFilesystem"] == context["readOnlyRootFilesystem"]
    assert constraints["allowPrivilegedContainer"] == context["privileged"]
    assert [set(volume) - {"name"} for volume in pod["volumes"]] == [set(constraints["volumes"])]
    assert constraints["users"] == [f"system:serviceaccount:accelerator-exporter:{pod['serviceAccountName']}"]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_links_have_a_target(guide: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(#[^)]+)?\)", guide.read_text())
    assert links
    for path, anchor in links:
        if path.startswith("https://"):
            continue
        target = (guide.parent / path).resolve()
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor[1:] in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_resources_match_the_manifest() -> None:
    pod = daemon_set({"resources": ["../common", "../base"]})["spec"]["template"]["spec"]
    resources = pod["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "192Mi"}}
    assert "The request is 64 MiB and 50 millicores, the limit 192 MiB of memory." in TEXT


def test_the_memory_limit_has_room_for_two_of_the_largest_answers() -> None:
    assert KubeletSettings().max_answer_size == MAX_MESSAGE_BYTES == 16 * MIB
    of_one, rest = MAX_MESSAGE_BYTES + OBJECTS_OF_ANSWER * MAX_MESSAGE_BYTES, 50 * 10**6
    assert 2 * of_one + rest < 192 * MIB
    assert (PODS_OF_ANSWER, OBJECTS_OF_ANSWER) == (4, 3)
    for stated in (
        "one pod may have a\nquarter of that",
        "three times as much beside the text",
        "`kubelet.max_answer_size`",
    ):
        assert stated in TEXT


def test_sizes_of_ordinary_answers_are_as_stated() -> None:
    def size(devices: Callable[[int], list[ContainerDevices]]) -> int:
        names = (f"trainer-7d9c5b8f4c-{number:05x}" for number in range(110))
        pods = [pod("team-research", name, container("main", devices(k))) for k, name in enumerate(names)]
        return len(ListPodResourcesResponse(pod_resources=pods).SerializeToString())

    def functions(of_pod: int) -> list[str]:
        return [f"0000:{of_pod:02x}:{number >> 3:02x}.{number & 7}" for number in range(100)]

    with_gpu = size(lambda k: device("nvidia.com/gpu", f"GPU-{k:08x}-1234-5678-9abc-{k:012x}"))
    with_functions = size(lambda k: device("intel.com/intel_sriov_netdevice", *functions(k)))
    assert (round(with_gpu / KIB), round(with_functions / KIB)) == (12, 575)
    assert "12 KiB for 110 pods with a GPU each, 575 KiB for 110\npods with 100 virtual functions" in TEXT
