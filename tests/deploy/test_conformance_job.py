"""The Job that judges the exporters: off by default, with few rights, admitted, and run with flags that exist."""

from typing import Any

import pytest

from exporter.configuration.flags import Action, parse_command_line
from exporter.conformance.arguments import Arguments, parse_arguments
from exporter.conformance.autoscaling import Autoscaler
from tests.doubles.chart import of_kind
from tests.doubles.kustomize import Manifest, build, refused
from tools.chart import NAME, ROOT, manifests

PLAIN = ROOT / "deploy" / "kubernetes" / "conformance"
RIGHTS = ("Role", "RoleBinding")


def rendered(**conformance: object) -> list[Manifest]:
    return manifests({"conformance": {"enabled": True, **conformance}})


def pod_of(job: Manifest) -> dict[str, Any]:
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def arguments_of(job: Manifest) -> Arguments:
    [container] = pod_of(job)["containers"]
    line = parse_command_line(container["args"])
    assert line.action is Action.CONFORMANCE
    parsed = parse_arguments(line.rest)
    assert parsed is not None
    return parsed


def test_it_is_off_by_default() -> None:
    assert [each["kind"] for each in manifests({}) if each["kind"] == "Job"] == []


@pytest.mark.parametrize("source", ["chart", "plain"])
def test_it_reads_the_service_by_its_name(source: str) -> None:
    found = rendered() if source == "chart" else [*build(PLAIN), *build(PLAIN.parent / "common")]
    service = of_kind(found, "Service")["metadata"]
    target = arguments_of(of_kind(found, "Job")).target
    assert target.service == (service["name"], service["namespace"])
    [port] = of_kind(found, "Service")["spec"]["ports"]
    assert (target.scheme, target.port, target.path) == ("http", port["port"], "/metrics")


def test_its_pods_are_admitted_and_are_no_exporters() -> None:
    found = rendered()
    labels = of_kind(found, "Job")["spec"]["template"]["metadata"]["labels"]
    admitted = of_kind(found, "NetworkPolicy")["spec"]["ingress"][0]["from"][-1]["podSelector"]["matchLabels"]
    assert admitted.items() <= labels.items()
    assert not of_kind(found, "Service")["spec"]["selector"].items() <= labels.items()


def test_it_has_no_rights_without_an_autoscaler() -> None:
    found = rendered()
    pod = pod_of(of_kind(found, "Job"))
    assert pod["automountServiceAccountToken"] is False
    assert [each["kind"] for each in found if each["kind"] in RIGHTS] == []
    assert pod["securityContext"]["runAsNonRoot"] is True
    [container] = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "volumes" not in pod


def test_with_an_autoscaler_it_may_read_that_one_and_metrics() -> None:
    found = rendered(autoscaling="serving/inference", extraArgs=["--watch=15m", "--json"])
    parsed = arguments_of(of_kind(found, "Job"))
    assert (parsed.autoscaler, parsed.watch_seconds, parsed.as_json) == (Autoscaler("serving", "inference"), 900, True)
    role, binding = (of_kind(found, kind) for kind in RIGHTS)
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "serving"
    assert role["rules"] == [
        {
            "apiGroups": ["autoscaling"],
            "resources": ["horizontalpodautoscalers"],
            "resourceNames": ["inference"],
            "verbs": ["get"],
        },
        {"apiGroups": ["custom.metrics.k8s.io"], "resources": ["*"], "verbs": ["get"]},
    ]
    account = f"{NAME}-conformance"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": NAME}]
    assert pod_of(of_kind(found, "Job"))["serviceAccountName"] == account


def test_another_path_of_the_metrics_is_read() -> None:
    found = manifests({"conformance": {"enabled": True}, "options": {"web": {"telemetry_path": "/m"}}})
    assert arguments_of(of_kind(found, "Job")).target.path == "/m"


def test_helm_runs_it_when_asked_and_keeps_its_log() -> None:
    annotations = of_kind(rendered(), "Job")["metadata"]["annotations"]
    assert annotations == {"helm.sh/hook": "test", "helm.sh/hook-delete-policy": "before-hook-creation"}


def test_the_plain_manifest_is_valid_and_knows_nothing_of_helm() -> None:
    assert refused(build(PLAIN), [f"1.{minor}" for minor in range(29, 38)]) == []
    assert "helm" not in (PLAIN / "job.yaml").read_text()
