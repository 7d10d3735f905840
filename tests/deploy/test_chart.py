"""The Helm chart: every case renders what is in git, and is valid for every supported Kubernetes."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from helm_python.chart import Chart, lint, package

from exporter.configuration.flags import parse_command_line
from exporter.configuration.load import load_settings
from exporter.web.handlers import HEALTHY_PATH, READY_PATH
from tests.doubles.chart import SCHEMAS
from tests.doubles.kustomize import Manifest, refused
from tools import gen_chart, gen_manifests
from tools.chart import CHART, NAME, NOTES, ROOT, manifests, render
from tools.gen_manifests import CASES, GOLDEN

VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
VALUES: dict[str, dict[str, Any]] = {
    path.name.removesuffix("-values.yaml"): yaml.safe_load(path.read_text()) for path in sorted(CASES.iterdir())
}
RENDERED = {case: manifests(values) for case, values in VALUES.items()}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def of_kind(found: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in found if manifest["kind"] == kind]


def containers(found: list[Manifest]) -> list[dict[str, Any]]:
    return [each["spec"]["template"]["spec"]["containers"][0] for each in of_kind(found, "DaemonSet")]


@pytest.mark.parametrize("case", VALUES)
def test_case_gives_the_manifests_in_git(case: str) -> None:
    assert gen_manifests.golden(CASES / f"{case}-values.yaml") == (GOLDEN / f"{case}.yaml").read_text()


def test_every_golden_file_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(VALUES)


def test_every_object_matches_the_schema_of_every_kubernetes() -> None:
    distinct = {json.dumps(m): m for found in RENDERED.values() for m in found if m["kind"] not in SCHEMAS}
    assert {m["kind"] for m in distinct.values()} == {
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "DaemonSet",
        "Job",
        "NetworkPolicy",
        "Pod",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    }
    assert refused(list(distinct.values()), VERSIONS) == []


def test_every_other_object_matches_its_schema() -> None:
    others = [m for found in RENDERED.values() for m in found if m["kind"] in SCHEMAS]
    assert {m["kind"] for m in others} == set(SCHEMAS)
    for manifest in others:
        jsonschema.Draft202012Validator(SCHEMAS[manifest["kind"]]).validate(manifest)


def test_helm_has_no_warning() -> None:
    report = lint(CHART, {}, strict=True, namespace=NAME)
    assert [m["error"] for m in report["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize("case", VALUES)
def test_the_exporter_accepts_its_arguments_and_environment(case: str) -> None:
    for container in containers(RENDERED[case]):
        line = parse_command_line(container.get("args", []))
        environ = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        load_settings(line.flags, environ, None)


@pytest.mark.parametrize("case", VALUES)
def test_objects_of_a_release_have_different_names_and_its_labels(case: str) -> None:
    found = RENDERED[case]
    names = [(m["kind"], m["metadata"]["name"]) for m in found]
    assert len(set(names)) == len(names)
    for manifest in found:
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == NAME


@pytest.mark.parametrize("case", VALUES)
def test_selectors_match_their_pods_and_no_others(case: str) -> None:
    found = RENDERED[case]
    daemon_sets = of_kind(found, "DaemonSet")
    selectors = [each["spec"]["selector"]["matchLabels"] for each in daemon_sets]
    for index, each in enumerate(daemon_sets):
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert [selector.items() <= labels.items() for selector in selectors].index(True) == index
        assert sum(selector.items() <= labels.items() for selector in selectors) == 1
        for policy in of_kind(found, "NetworkPolicy"):
            assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        for service in of_kind(found, "Service"):
            assert service["spec"]["selector"].items() <= labels.items()
        for monitor in of_kind(found, "PodMonitor"):
            assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for service in of_kind(found, "Service"):
        for test in of_kind(found, "Pod"):
            assert not service["spec"]["selector"].items() <= test["metadata"]["labels"].items()
        for monitor in of_kind(found, "ServiceMonitor"):
            assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


def test_no_probe_can_fail_before_the_process_listens() -> None:
    """Kubernetes makes a Warning event of each failed probe. The startup probe is the only one until it succeeds."""
    (container,) = containers(RENDERED["default"])
    assert container["startupProbe"]["initialDelaySeconds"] == 3
    assert container["startupProbe"]["httpGet"]["path"] == HEALTHY_PATH  # readiness may need a device
    assert container["livenessProbe"]["httpGet"]["path"] == HEALTHY_PATH
    assert container["readinessProbe"]["httpGet"]["path"] == READY_PATH


@pytest.mark.parametrize("case", VALUES)
def test_notes_name_a_daemon_set_that_exists(case: str) -> None:
    notes = render(VALUES[case])[NOTES]
    first = of_kind(RENDERED[case], "DaemonSet")[0]["metadata"]
    port = 9411 if VALUES[case].get("web", {}).get("tls") == "mutual" else 9410
    assert f"port-forward daemonset/{first['name']} {port}" in notes
    path = VALUES[case].get("options", {}).get("web", {}).get("telemetry_path", "/metrics")
    assert f"://localhost:{port}{path} |" in notes


def test_pod_of_helm_test_is_admitted_and_asks_for_readiness() -> None:
    (pod,) = of_kind(RENDERED["default"], "Pod")
    (policy,) = of_kind(RENDERED["default"], "NetworkPolicy")
    admitted = policy["spec"]["ingress"][0]["from"][-1]["podSelector"]["matchLabels"]
    assert admitted.items() <= pod["metadata"]["labels"].items()
    (script,) = pod["spec"]["containers"][0]["args"]
    compile(script, "test", "exec")
    (service,) = of_kind(RENDERED["default"], "Service")
    assert f'"http://{service["metadata"]["name"]}:9410{READY_PATH}"' in script


def test_packaged_chart_has_the_version_and_the_image_of_the_project(tmp_path: Path) -> None:
    archive = package(CHART, destination=tmp_path)
    with Chart.load_archive(Path(archive).read_bytes()) as chart:
        assert (chart.version, chart.metadata["appVersion"]) == (VERSION, VERSION)
        rendered = chart.render({}, name=NAME, namespace=NAME)
        assert not [each["name"] for each in chart.files if each["name"].startswith("ci/")]
    (daemon_set,) = yaml.safe_load_all(rendered[f"{NAME}/templates/daemonset.yaml"].strip().removeprefix("---"))
    assert containers([daemon_set])[0]["image"] == f"{NAME}:{VERSION}"


def test_check_names_an_outdated_file_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    golden = GOLDEN / "default.yaml"
    before = golden.read_text()
    assert gen_chart.write({golden: before}, ["--check"], None) == 0
    assert gen_chart.write({golden: "other"}, ["--check"], None) == 1
    assert capsys.readouterr().err == "tests/deploy/golden/default.yaml is out of date: run `make docs`\n"
    assert golden.read_text() == before
