"""Which nodes get an exporter: one pod on each node with devices, none elsewhere, whatever labels its node."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles.kustomize import build
from tests.doubles.scheduling import Labels, runs_on
from tools.chart import ROOT, manifests

LINUX = {"kubernetes.io/os": "linux"}
OPERATOR = {"nvidia.com/gpu.present": "true", "nvidia.com/gpu.deploy.dcgm-exporter": "true"}
CLIENT = {**OPERATOR, "nvidia.com/gpu.deploy.client": "true"}
NO_LONGER_NVIDIA = {"nvidia.com/gpu.present": "false"}
NFD = "feature.node.kubernetes.io/pci-{}.present"
GKE = {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}
AMD = {"feature.node.kubernetes.io/amd-gpu": "true"}
LABELLER = {"amd.com/gpu.device-id": "74a1"}


def nfd(*devices: str) -> Labels:
    return {NFD.format(device): "true" for device in devices}


# Labels of a node, and the node group that has its pod; None for no pod.
NODES: Mapping[str, tuple[Labels, str | None]] = {
    "no device": ({}, None),
    "only a network card": (nfd("0200_15b3"), None),
    "NVIDIA, GPU operator": (OPERATOR, "nvidia"),
    "NVIDIA, GPU operator 26.7": (CLIENT, "nvidia"),
    "NVIDIA, node feature discovery by vendor": (nfd("10de"), "nvidia"),
    "NVIDIA, node feature discovery, data center": (nfd("0302_10de"), "nvidia"),
    "NVIDIA, node feature discovery, workstation": (nfd("0300_10de"), "nvidia"),
    "NVIDIA, removed": (NO_LONGER_NVIDIA, None),
    "GKE": (GKE, "nvidia-gke"),
    "GKE, node feature discovery": ({**GKE, **nfd("0302_10de")}, "nvidia-gke"),
    "GKE, GPU operator": ({**GKE, **OPERATOR, **nfd("0302_10de")}, "nvidia"),
    "AMD, GPU operator": (AMD, "amd"),
    "AMD, node labeller": (LABELLER, "amd"),
    "AMD, all of them": ({**AMD, **LABELLER, **nfd("1002", "1200_1002")}, "amd"),
    "AMD, node feature discovery, MI300": (nfd("1200_1002"), "amd"),
    "AMD, node feature discovery, Radeon": (nfd("0300_1002"), "amd"),
    "AMD, node feature discovery, MI200": (nfd("0380_1002"), "amd"),
    "AMD, NVIDIA removed": ({**AMD, **NO_LONGER_NVIDIA}, "amd"),
    "both vendors, operators": ({**OPERATOR, **AMD}, "nvidia"),
    "both vendors, node feature discovery": (nfd("0300_10de", "1200_1002"), "nvidia"),
    "Windows": ({**OPERATOR, "kubernetes.io/os": "windows"}, None),
}


def released(*presets: str) -> dict[str, Mapping[str, Any]]:
    """The DaemonSets of a release with these presets, by node group."""
    found = manifests({"nodeGroups": [{"name": preset, "preset": preset} for preset in presets]})
    return {m["metadata"]["labels"]["node-group"]: m for m in found if m["kind"] == "DaemonSet"}


ALL = released("nvidia", "nvidia-gke", "amd", "simulated")
PARTITIONED = released("nvidia", "nvidia-gke", "amd-partitions", "simulated")


def groups_on(labels: Labels, of: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [name for name, daemon_set in of.items() if runs_on(daemon_set, {**LINUX, **labels})]


@pytest.mark.parametrize(("labels", "group"), NODES.values(), ids=NODES)
def test_each_node_with_devices_has_one_pod_and_no_other_node_has_any(labels: Labels, group: str | None) -> None:
    hardware = {name: each for name, each in ALL.items() if name != "simulated"}
    assert groups_on(labels, hardware) == ([group] if group else [])


@pytest.mark.parametrize(("labels", "group"), NODES.values(), ids=NODES)
def test_simulated_devices_are_only_where_there_are_no_others(labels: Labels, group: str | None) -> None:
    expected = group or ("simulated" if "kubernetes.io/os" not in labels else None)
    assert groups_on(labels, ALL) == ([expected] if expected else [])


@pytest.mark.parametrize(("labels", "group"), NODES.values(), ids=NODES)
def test_plain_manifests_of_two_vendors_exclude_each_other(labels: Labels, group: str | None) -> None:
    folders = ROOT / "deploy" / "kubernetes"
    plain = {"nvidia": build(folders / "nvidia")[0], "amd": build(folders / "amd-beside-nvidia")[0]}
    assert groups_on(labels, plain) == ([group] if group in plain else [])


@pytest.mark.parametrize("label", ["nvidia.com/gpu.deploy.client", "nvidia.com/gpu.deploy.dcgm-exporter"])
@pytest.mark.parametrize("value", ["paused-for-driver-upgrade", "paused-for-mig-change"])
@pytest.mark.parametrize("node", [OPERATOR, CLIENT, {**OPERATOR, **AMD}], ids=["operator", "26.7", "both vendors"])
def test_the_pod_leaves_while_the_operator_needs_the_devices(node: Labels, label: str, value: str) -> None:
    assert groups_on(node, ALL) == ["nvidia"]
    assert groups_on({**node, label: value}, ALL) == []


@pytest.mark.parametrize("value", ["true", "false"])
def test_the_pod_stays_whether_or_not_the_operator_deploys_its_own_exporter(value: str) -> None:
    assert groups_on({**OPERATOR, "nvidia.com/gpu.deploy.dcgm-exporter": value}, ALL) == ["nvidia"]


_LABELS = {
    **{key: st.sampled_from(["true", "false"]) for key in (*OPERATOR, *CLIENT, *AMD, *NODES["AMD, all of them"][0])},
    **{NFD.format(device): st.just("true") for device in ("10de", "0302_10de", "0300_10de", "1002", "0380_1002")},
    **{key: st.just("x") for key in (*GKE, *LABELLER)},
}


@given(st.fixed_dictionaries({}, optional=_LABELS))
def test_no_node_has_two_pods_and_none_with_devices_is_without(labels: Labels) -> None:
    assert len(groups_on(labels, ALL)) == 1
    assert len(groups_on(labels, PARTITIONED)) == 1


def test_every_taint_is_tolerated() -> None:
    for daemon_set in ALL.values():
        assert daemon_set["spec"]["template"]["spec"]["tolerations"] == [{"operator": "Exists"}]
