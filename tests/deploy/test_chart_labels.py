"""The names of the container's labels in the Helm chart: one value for exporter, rules, dashboards and autoscaling."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
import yaml

from exporter.configuration.load import load_settings
from tests.doubles.chart import of_kind, with_group
from tests.doubles.kustomize import read
from tools.chart import CHART, NAME, ROOT, manifests
from tools.dashboard_queries import filled_in, window_values

RENAMED = {"namespace": "k8s_namespace_name", "pod": "k8s_pod_name", "container": "k8s_container_name"}
SWAPPED = {"namespace": "pod", "pod": "container", "container": "namespace"}


@pytest.mark.parametrize("labels", [RENAMED, SWAPPED], ids=["renamed", "swapped"])
def test_one_value_renames_the_labels_everywhere(labels: Mapping[str, str]) -> None:
    found = manifests({**with_group(), "labels": labels, "autoscaling": {"enabled": True}})
    (container,) = of_kind(found, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    environ = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    assert load_settings({}, environ, None).labels.ordered == tuple(
        labels[name] for name in ("namespace", "pod", "container")
    )
    data = of_kind(found, "ConfigMap")["data"]
    (rule,) = yaml.safe_load(data["prometheus-adapter-rule.yaml"])["rules"]
    assert rule["resources"]["overrides"] == {
        labels["namespace"]: {"resource": "namespace"},
        labels["pod"]: {"resource": "pod"},
    }
    assert rule["seriesQuery"].endswith(f'{{{labels["namespace"]}!="",{labels["pod"]}!=""}}')
    (trigger,) = yaml.safe_load(data["scaledobject.yaml"])["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    promql_parser.parse(query)
    assert f"avg by ({labels['namespace']}, {labels['pod']})" in query
    assert set(re.findall(r"(\w+)=~?\"", query)) == {labels["namespace"], labels["pod"]}


def dashboards(labels: Mapping[str, str] | None = None) -> dict[str, str]:
    values = {**with_group(), "dashboards": {"enabled": True}, **({"labels": labels} if labels else {})}
    return {name: text for m in manifests(values) if m["kind"] == "ConfigMap" for name, text in m["data"].items()}


def test_dashboards_are_those_of_the_project() -> None:
    found = dashboards()
    assert found
    for name, text in found.items():
        assert json.loads(text) == json.loads((ROOT / "dashboards" / name).read_text())


# In a variable, a legend, the address of a link, from the series of a graph, and as the column of a table.
_USES = (r"\$\{?LABEL\b", r"\{\{LABEL\}\}", r"var-LABEL=", r"__field\.labels\.LABEL\b", r'"LABEL": "[A-Z]')


def test_dashboards_use_the_renamed_labels() -> None:
    """In queries, legends, variables, columns of tables and the addresses of links."""
    for name, text in dashboards(RENAMED).items():
        before = (ROOT / "dashboards" / name).read_text()
        old, new = (json.dumps([each["expr"] for each in targets(json.loads(t))]) for t in (before, text))
        for label, renamed in RENAMED.items():
            assert len(re.findall(rf"\b{renamed}\b", new)) == len(re.findall(rf"\b{label}\b", old))
            assert not re.search(rf"\b{label}\b", new)
            for use in _USES:
                found, expected = (
                    re.findall(use.replace("LABEL", each), t) for each, t in ((renamed, text), (label, before))
                )
                assert len(found) == len(expected)
        variables = [each["name"] for each in json.loads(before)["templating"]["list"]]
        renamed_variables = [each["name"] for each in json.loads(text)["templating"]["list"]]
        assert renamed_variables == [RENAMED.get(variable, variable) for variable in variables]
        for target in targets(json.loads(text)):
            promql_parser.parse(filled_in(target["expr"], window_values(600, 60, 5)))


def targets(content: object) -> Iterator[dict[str, Any]]:
    """Everything with an expression, at any depth."""
    if isinstance(content, dict):
        if "expr" in content:
            yield content
        for value in content.values():
            yield from targets(value)
    elif isinstance(content, list):
        for value in content:
            yield from targets(value)


_RULES = """\
groups:
  - name: example
    rules:
      - alert: Example
        expr: sum by (namespace, pod) (accelerator_container_busy_seconds_total{container!=""}) > 0
        for: 5m
        annotations:
          summary: The pod {{ $labels.namespace }}/{{ $labels.pod }} is busy
      - record: example:count
        expr: count(accelerator_device_info)
"""


@pytest.mark.parametrize(
    ("labels", "expression", "summary"),
    [
        (
            {},
            'sum by (namespace, pod) (accelerator_container_busy_seconds_total{container!=""}) > 0',
            "The pod {{ $labels.namespace }}/{{ $labels.pod }} is busy",
        ),
        (
            RENAMED,
            (
                "sum by (k8s_namespace_name, k8s_pod_name) "
                '(accelerator_container_busy_seconds_total{k8s_container_name!=""}) > 0'
            ),
            "The pod {{ $labels.k8s_namespace_name }}/{{ $labels.k8s_pod_name }} is busy",
        ),
        (
            SWAPPED,
            'sum by (pod, container) (accelerator_container_busy_seconds_total{namespace!=""}) > 0',
            "The pod {{ $labels.pod }}/{{ $labels.container }} is busy",
        ),
    ],
    ids=["default", "renamed", "swapped"],
)
def test_files_of_rules_become_objects(tmp_path: Path, labels: dict[str, str], expression: str, summary: str) -> None:
    chart = shutil.copytree(CHART, tmp_path / "chart")
    (chart / "files" / "rules").mkdir(exist_ok=True)
    (chart / "files" / "rules" / "example.yaml").write_text(_RULES)
    values = {"rules": {"enabled": True, "labels": {"release": "x"}}, **({"labels": labels} if labels else {})}
    found = [m for m in manifests(values, chart) if m["kind"] == "PrometheusRule"]
    (rule,) = (m for m in found if m["metadata"]["name"] == f"{NAME}-example")
    (schema,) = read(Path(__file__).parent / "prometheusrule.schema.yaml")
    jsonschema.Draft202012Validator(schema).validate(rule)
    assert rule["metadata"]["labels"]["release"] == "x"
    alert, record = rule["spec"]["groups"][0]["rules"]
    assert (alert["expr"], alert["annotations"]["summary"]) == (expression, summary)
    assert record == {"record": "example:count", "expr": "count(accelerator_device_info)"}


def rules(labels: Mapping[str, str] | None = None, **values: object) -> dict[str, list[dict[str, Any]]]:
    """The rules of each PrometheusRule by the name of its file."""
    renamed = {"labels": labels} if labels else {}
    found = manifests({**with_group(), **renamed, "rules": {"enabled": True, **values}})
    return {
        m["metadata"]["name"].removeprefix(f"{NAME}-"): [
            each for group in m["spec"]["groups"] for each in group["rules"]
        ]
        for m in found
        if m["kind"] == "PrometheusRule"
    }


def rules_of_the_project() -> dict[str, list[dict[str, Any]]]:
    folder = ROOT / "deploy" / "prometheus" / "rules"
    return {
        path.stem: [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
        for path in sorted(folder.iterdir())
    }


def test_rules_are_those_of_the_project() -> None:
    assert rules(openshiftNames=True) == rules_of_the_project()
    assert rules().keys() == {"alerts", "recording"}


def test_rules_use_the_renamed_labels_in_expressions_and_in_actions_of_texts() -> None:
    for before, after in zip(rules_of_the_project()["alerts"], rules(RENAMED)["alerts"], strict=True):
        old, new = (f"{r['expr']}{''.join(re.findall(r'{{.*?}}', str(r['annotations'])))}" for r in (before, after))
        for label, renamed in RENAMED.items():
            assert len(re.findall(rf"\b{renamed}\b", new)) == len(re.findall(rf"\b{label}\b", old))
            assert not re.search(rf"\b{label}\b", new)
        words = [re.sub(r"{{.*?}}", "", r["annotations"]["description"]) for r in (before, after)]
        assert words[0] == words[1]
    pods = rules(RENAMED)["recording"][0]["expr"]
    assert pods == "sum by (cluster, k8s_namespace_name, k8s_pod_name) (accelerator_allocation_share_ratio)"


def test_address_of_the_runbooks_is_a_value() -> None:
    (url, *_) = (rule["annotations"]["runbook_url"] for rule in rules(runbookUrl="https://wiki.example/run")["alerts"])
    assert url == "https://wiki.example/run#acceleratordevicelost"
