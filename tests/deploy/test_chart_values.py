"""What the values of the Helm chart do, and that wrong ones are refused."""

import json
from typing import Any

import pytest
from helm_python.errors import HelmRenderError, HelmValuesError

from exporter.configuration.load import load_settings
from exporter.configuration.settings import OPTIONS
from tests.doubles.chart import of_kind, pod_of, with_features, with_group
from tests.doubles.kustomize import refused
from tools.chart import manifests
from tools.gen_chart import SET_BY_CHART


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"monitr": {"enabled": True}}, "monitr"),
        ({"networkPolicy": {"form": []}}, "form"),
        ({"image": {"tga": "1"}}, "tga"),
        ({"features": {"cid": {"enabled": True}}}, "cid"),
        ({"features": {"cdi": {"enable": True}}}, "enable"),
        ({"options": {"poll": {"fast_intervall": "1s"}}}, "fast_intervall"),
        ({"options": {"web": {"listen_address": ":1"}}}, "listen_address"),
        ({"options": {"log": {"level": "loud"}}}, "level"),
        ({"labels": {"pods": "x"}}, "pods"),
        ({"views": ["dgcm"]}, "views"),
        ({"options": {"metrics": {"views": "dcgm"}}}, "views"),
        ({"labels": {"pod": "k8s.pod"}}, "pod"),
        ({"labels": {"pod": "__pod"}}, "pod"),
        ({"labels": {"pod": "p" * 64}}, "pod"),
        ({"labels": {"pod": "uuid"}}, "pod"),
        ({"labels": {"container": "instance"}}, "container"),
        ({"fullnameOverride": "Accelerators_1"}, "fullnameOverride"),
        ({"nameOverride": "-a"}, "nameOverride"),
        ({"monitor": {"interval": "0s"}}, "interval"),
        ({"monitor": {"scrapeTimeout": "10"}}, "scrapeTimeout"),
        ({"rules": {"enabled": 1}}, "enabled"),
        ({"rules": {"labels": {"team": 5}}}, "team"),
        ({"rules": {"runbookUrl": "wiki"}}, "runbookUrl"),
        ({"dashboards": {"annotations": {"folder": 7}}}, "folder"),
        ({"autoscaling": {"window": "1m30"}}, "window"),
        ({"autoscaling": {"scaleUpStabilizationSeconds": "60"}}, "scaleUpStabilizationSeconds"),
        ({"updateStrategy": {"maxSurge": 1}}, "maxSurge"),
        ({"nodeGroups": []}, "nodeGroups"),
        ({"nodeGroups": [{"preset": "amd"}]}, "name"),
        ({"nodeGroups": [{"name": "a", "prset": "amd"}]}, "prset"),
        ({"nodeGroups": [{"name": "a", "preset": "amdd"}]}, "preset"),
        ({"nodeGroups": [{"name": "A_b"}]}, "name"),
        ({"monitor": {"enabled": "yes"}}, "enabled"),
        ({"podLabels": {"node-group": "x"}}, "node-group"),
        ({"conformance": {"args": []}}, "args"),
        ({"conformance": {"autoscaling": "inference"}}, "autoscaling"),
    ],
    ids=json.dumps,
)
def test_a_wrong_value_is_refused_and_its_key_named(values: dict[str, Any], key: str) -> None:
    with pytest.raises(HelmValuesError, match=rf"\b{key}\b"):
        manifests(values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"nodeGroups": [{"name": "a"}, {"name": "a", "preset": "amd"}]}, "two groups have the name a"),
        (with_features("processesAmdFdinfo"), "processesAmdFdinfo needs features.processes"),
        ({"monitor": {"enabled": True}, "service": {"enabled": False}}, "use the kind PodMonitor"),
        (
            {"conformance": {"enabled": True}, "service": {"enabled": False}},
            "conformance.enabled needs service.enabled",
        ),
        ({"conformance": {"enabled": True}, "web": {"tls": "server"}}, "the official test speaks plain HTTP"),
        ({"dcgmService": {"enabled": True}}, "needs dcgm in views"),
        ({"rules": {"enabled": True}, "views": ["dcgm"]}, "rules.enabled needs native in views"),
        ({"dashboards": {"enabled": True}, "views": ["otel"]}, "dashboards.enabled needs native in views"),
        ({"autoscaling": {"enabled": True}, "views": ["dcgm", "otel"]}, "autoscaling.enabled needs native in views"),
        (
            {"autoscaling": {"enabled": True, "window": "1m"}, "monitor": {"enabled": True, "interval": "31s"}},
            "autoscaling.window must be at least twice monitor.interval",
        ),
        ({"monitor": {"enabled": True, "scrapeTimeout": "1m"}}, "must not be longer than monitor.interval"),
        ({"labels": {"pod": "workload", "container": "workload"}}, "must have different names"),
    ],
    ids=[
        "two groups of one name",
        "fdinfo without processes",
        "monitor without service",
        "conformance without service",
        "conformance with TLS",
        "dcgm's service alone",
        "rules without their view",
        "dashboards without their view",
        "autoscaling without its view",
        "a window of one scrape",
        "a timeout longer than the interval",
        "two labels of one name",
    ],
)
def test_values_that_contradict_each_other_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(HelmRenderError, match=text):
        manifests(values)


def test_every_option_of_the_schema_reaches_the_exporter() -> None:
    options = [option for option in OPTIONS if option.key not in SET_BY_CHART]
    values: dict[str, Any] = {}
    for option in options:
        text = option.default or option.example
        value = {"true": True, "false": False}.get(text, text)
        if option.name:
            values.setdefault(option.section, {})[option.name] = value
        else:
            values[option.section] = value
    (container,) = pod_of({**with_group(), "options": values})["containers"]
    environ = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    assert set(environ) == {option.variable for option in options}
    load_settings({}, environ, None)


@pytest.mark.parametrize(
    ("policy", "admitted"),
    [
        ({}, {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}),
        (
            {"prometheusNamespace": "observability"},
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}},
        ),
        ({"from": [{"namespaceSelector": {}}]}, {"namespaceSelector": {}}),
    ],
    ids=["default", "another namespace", "peers"],
)
def test_network_policy_admits_prometheus(policy: dict[str, Any], admitted: dict[str, Any]) -> None:
    (rule,) = of_kind(manifests({"networkPolicy": policy}), "NetworkPolicy")["spec"]["ingress"]
    assert rule["from"][0] == admitted
    assert rule["ports"] == [{"port": "metrics", "protocol": "TCP"}]


def test_network_policy_admits_everything_if_it_must() -> None:
    (rule,) = of_kind(manifests({"networkPolicy": {"allowAll": True}}), "NetworkPolicy")["spec"]["ingress"]
    assert rule == {"ports": [{"port": "metrics", "protocol": "TCP"}]}


@pytest.mark.parametrize(
    ("tls", "port", "scheme", "of_monitor"),
    [("none", "metrics", None, None), ("server", "metrics", "HTTPS", "https"), ("mutual", "probes", None, "https")],
)
def test_probes_reach_the_exporter_without_a_certificate(
    tls: str, port: str, scheme: str | None, of_monitor: str | None
) -> None:
    found = manifests({"web": {"configSecret": "web", "tls": tls}, "monitor": {"enabled": True}})
    (container,) = of_kind(found, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        get = container[probe]["httpGet"]
        assert (get["port"], get.get("scheme")) == (port, scheme)
    assert port in {each["name"] for each in container["ports"]}
    (admitted,) = of_kind(found, "NetworkPolicy")["spec"]["ingress"]
    assert [each["port"] for each in admitted["ports"]] == ["metrics"]  # the kubelet is always admitted
    (endpoint,) = of_kind(found, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint.get("scheme") == of_monitor


@pytest.mark.parametrize("root", ["/var/lib/k0s/kubelet", "/var/snap/microk8s/common/var/lib/kubelet/"])
def test_another_root_directory_of_the_kubelet_has_the_same_place_in_the_container(root: str) -> None:
    pod = pod_of({"kubelet": {"rootDir": root}})
    assert pod["volumes"][0]["hostPath"]["path"] == f"{root.rstrip('/')}/pod-resources"
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/var/lib/kubelet/pod-resources"


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_monitors_set_node_instance_and_cluster(kind: str) -> None:
    monitor = of_kind(manifests({"monitor": {"enabled": True, "kind": kind, "cluster": "east-1"}}), kind)
    (endpoint,) = monitor["spec"]["endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True
    set_by = {r["targetLabel"]: r.get("sourceLabels", r.get("replacement")) for r in endpoint["relabelings"][:-1]}
    node = ["__meta_kubernetes_pod_node_name"]
    assert set_by == {"instance": node, "node": node, "cluster": "east-1"}
    assert endpoint["relabelings"][-1] == {"action": "labeldrop", "regex": "(pod|service|endpoint|namespace|container)"}


def test_names_that_look_like_numbers_are_text() -> None:
    values = {
        "nodeGroups": [{"name": "1"}],
        "web": {"configSecret": "2"},
        "networkPolicy": {"prometheusNamespace": "3"},
        "monitor": {"enabled": True, "cluster": "4"},
    }
    found = manifests(values)
    assert refused([m for m in found if m["kind"] != "ServiceMonitor"], ["1.29"]) == []
    (endpoint,) = of_kind(found, "ServiceMonitor")["spec"]["endpoints"]
    assert {"action": "replace", "replacement": "4", "targetLabel": "cluster"} in endpoint["relabelings"]


def test_a_feature_that_is_removed_is_off() -> None:
    found = manifests({"features": dict.fromkeys(("resourceSlices", "processes"), None)})
    assert of_kind(found, "DaemonSet")["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_views_reach_the_exporter() -> None:
    def environ(views: list[str]) -> list[dict[str, Any]]:
        (container,) = pod_of({**with_group(), "views": views})["containers"]
        return [each for each in container["env"] if each["name"].endswith("_VIEWS")]

    assert environ(["native"]) == []
    assert environ(["native", "dcgm"]) == [{"name": "ACCELERATOR_EXPORTER_METRICS_VIEWS", "value": "native,dcgm"}]


def test_the_service_of_dcgm_selects_the_exporters_and_no_monitor_selects_it() -> None:
    found = manifests(
        {**with_group(), "views": ["dcgm"], "dcgmService": {"enabled": True}, "monitor": {"enabled": True}}
    )
    services = {each["metadata"]["name"]: each for each in found if each["kind"] == "Service"}
    ours, theirs = services["accelerator-exporter"], services["nvidia-dcgm-exporter"]
    monitor = of_kind(found, "ServiceMonitor")

    assert theirs["spec"]["selector"] == ours["spec"]["selector"]
    # An address of its own: behind a headless Service, port 9400 would be that of the pod.
    assert "clusterIP" not in theirs["spec"]
    assert [(port["port"], port["targetPort"]) for port in theirs["spec"]["ports"]] == [(9400, "metrics")]
    selected = monitor["spec"]["selector"]["matchLabels"].items()
    assert selected <= ours["metadata"]["labels"].items()
    assert not selected <= theirs["metadata"]["labels"].items()
