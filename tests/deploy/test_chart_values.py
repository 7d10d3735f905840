"""What the values of the Helm chart do."""

from typing import Any

import pytest

from exporter.configuration.load import load_settings
from exporter.configuration.settings import OPTIONS
from tests.doubles.chart import of_kind, pod_of, with_group
from tools.chart import manifests
from tools.gen_chart import SET_BY_CHART


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
    monitor = {"enabled": True, "tlsConfig": {"serverName": "exporter"}}
    found = manifests({"web": {"configSecret": "web", "tls": tls}, "monitor": monitor})
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
