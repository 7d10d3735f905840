"""Values of the Helm chart that are refused, and names that are not."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from helm_python.errors import HelmRenderError, HelmValuesError

from exporter.configuration.flags import parse_command_line
from exporter.configuration.load import load_settings
from exporter.configuration.options import Option
from exporter.configuration.settings import OPTIONS
from tests.doubles.chart import SCHEMAS, of_kind, with_features, with_group
from tests.doubles.kustomize import Manifest, refused
from tools.chart import CHART, manifests

# Every object that the chart can create, but for a PodMonitor.
EVERYTHING: dict[str, Any] = {
    "features": {"resourceSlices": {"enabled": True}, "openshiftScc": {"enabled": True}},
    "monitor": {"enabled": True},
    "rules": {"enabled": True},
    "dashboards": {"enabled": True},
    "autoscaling": {"enabled": True},
    "conformance": {"enabled": True, "autoscaling": "12/34"},
    "views": ["native", "dcgm"],
    "dcgmService": {"enabled": True},
}


@cache
def check_object(text: str) -> None:
    """An object in JSON is valid. Most are the same in many tests."""
    manifest = json.loads(text)
    schema = SCHEMAS.get(manifest["kind"])
    if schema is None:
        assert refused([manifest], ["1.29"]) == []
    else:
        jsonschema.Draft202012Validator(schema).validate(manifest)


def check(found: list[Manifest]) -> None:
    """Every object is valid, and the exporter accepts its arguments and its environment."""
    for manifest in found:
        check_object(json.dumps(manifest))
    for each in found:
        if each["kind"] == "DaemonSet":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            environ = {each["name"]: each["value"] for each in container["env"] if "value" in each}
            load_settings(parse_command_line(container.get("args", [])).flags, environ, None)


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
        ({"image": {"tag": 1.0}}, "tag"),
        ({"image": {"repository": "registry.example/exporter:1.0"}}, "repository"),
        ({"image": {"repository": "https://registry.example/exporter"}}, "repository"),
        ({"nameOverride": "a/b"}, "nameOverride"),
        ({"fullnameOverride": "GPU"}, "fullnameOverride"),
        ({"kubelet": {"rootDir": "/var\nx: y"}}, "rootDir"),
        ({"priorityClassName": "{{ x }}"}, "priorityClassName"),
        ({"tolerations": [{"operatr": "Exists"}]}, "operatr"),
        ({"tolerations": [{"operator": "Exist"}]}, "operator"),
        ({"updateStrategy": {"maxUnavailable": 0}}, "maxUnavailable"),
        ({"updateStrategy": {"maxUnavailable": "3"}}, "maxUnavailable"),
        ({"monitor": {"interval": "15"}}, "interval"),
        ({"monitor": {"interval": "0s"}}, "interval"),
        ({"rules": {"enabled": 1}}, "enabled"),
        ({"rules": {"runbookUrl": "wiki"}}, "runbookUrl"),
        ({"dashboards": {"annotations": {"folder": 7}}}, "folder"),
        ({"autoscaling": {"window": "1m30"}}, "window"),
        ({"autoscaling": {"scaleUpStabilizationSeconds": "60"}}, "scaleUpStabilizationSeconds"),
        ({"monitor": {"labels": {"app.kubernetes.io/name": "x"}}}, "app.kubernetes.io/name"),
        ({"rules": {"labels": {"helm.sh/chart": "x"}}}, "helm.sh/chart"),
        ({"dashboards": {"labels": {"app.kubernetes.io/instance": "x"}}}, "app.kubernetes.io/instance"),
        ({"podLabels": {"team": "a/b"}}, "team"),
        ({"networkPolicy": {"prometheusNamespace": ""}}, "prometheusNamespace"),
        ({"networkPolicy": {"from": [{}]}}, "from"),
        ({"extraEnv": [{"name": "A", "value": 1}]}, "value"),
        ({"extraEnv": [{"name": "A B"}]}, "name"),
        ({"labels": {"pod": "uuid"}}, "pod"),
        ({"labels": {"pod": "__name__"}}, "pod"),
        ({"options": {"poll": {"fast_interval": "1 s"}}}, "fast_interval"),
        ({"options": {"poll": {"fast_interval": 1}}}, "fast_interval"),
        ({"options": {"kubelet": {"max_answer_size": "32MB"}}}, "max_answer_size"),
        ({"options": {"web": {"telemetry_path": "metrics"}}}, "telemetry_path"),
        ({"options": {"collectors": []}}, "collectors"),
        ({"options": {"metrics": {"sets": ""}}}, "sets"),
    ],
    ids=json.dumps,
)
def test_a_wrong_value_is_refused_and_its_key_named(values: dict[str, Any], key: str) -> None:
    with pytest.raises(HelmValuesError, match=rf"\b{re.escape(key)}\b"):
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
        ({"web": {"tls": "server"}}, "web.tls server needs web.configSecret"),
        ({"web": {"tls": "mutual", "configSecret": "x"}, "monitor": {"enabled": True}}, "needs monitor.tlsConfig"),
        ({"monitor": {"enabled": True, "interval": "5s"}}, "found 10s, expected at most monitor.interval, which is 5s"),
        ({"labels": {"pod": "x", "container": "x"}}, "labels: two of them have the same name"),
        ({"nodeGroups": [{"name": n, "preset": "nvidia"} for n in "ab"]}, "a and b have the same nodes"),
        ({"nodeGroups": [{"name": n, "preset": n} for n in ("amd", "amd-partitions")]}, "have the same nodes"),
        ({"extraEnv": [{"name": "NODE_NAME", "value": "x"}]}, "NODE_NAME is set already"),
        (
            {"options": {"log": {"level": "debug"}}, "extraEnv": [{"name": "ACCELERATOR_EXPORTER_LOG_LEVEL"}]},
            "ACCELERATOR_EXPORTER_LOG_LEVEL is set already",
        ),
        ({**with_group(env=[{"name": "A"}]), "extraEnv": [{"name": "A"}]}, "A is set already"),
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
        "TLS without its files",
        "monitor without what TLS needs",
        "deadline after the next scrape",
        "two labels of one name",
        "two groups of one preset",
        "two groups with the same nodes",
        "a variable of the chart",
        "a variable of an option",
        "a variable twice",
    ],
)
def test_values_that_contradict_each_other_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(HelmRenderError, match=text):
        manifests(values)


def paths(values: Mapping[str, Any], *before: str) -> Iterator[tuple[str, ...]]:
    """The path of every value."""
    for name, value in values.items():
        yield (*before, name)
        if isinstance(value, dict):
            yield from paths(value, *before, name)


# They take long to render, and have few values. The Job contradicts the absence of others.
SLOW = {"dashboards", "rules", "conformance"}
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("path", list(paths(DEFAULTS)), ids=".".join)
def test_a_default_that_is_removed_is_none_or_its_key_named(path: tuple[str, ...]) -> None:
    """Helm removes a default where somebody writes null."""
    values = json.loads(json.dumps({key: value for key, value in EVERYTHING.items() if key not in SLOW - {path[0]}}))
    owner = values
    for name in path[:-1]:
        owner = owner.setdefault(name, {})
    owner[path[-1]] = None
    try:
        found = manifests(values)
    except HelmValuesError as error:
        assert f"missing property '{path[-1]}'" in str(error)  # noqa: PT017 - both outcomes are right
    except HelmRenderError as error:
        assert "nil pointer" not in str(error)  # noqa: PT017 - as above
        assert re.search(rf"needs (service\.{path[-1]}|dcgm in {path[-1]})", str(error))  # noqa: PT017 - as above
    else:
        check(found)


@pytest.mark.parametrize("word", ["1234", "true", "null", "1e3"])
def test_names_that_yaml_reads_as_something_else_are_text(word: str) -> None:
    values = {
        **EVERYTHING,
        **with_group(
            name="1",
            runtimeClassName=word,
            nodeSelectorTerms=[{"matchExpressions": [{"key": word, "operator": "In", "values": [word]}]}],
        ),
        "nameOverride": word,
        "priorityClassName": word,
        "web": {"configSecret": word},
        "networkPolicy": {"prometheusNamespace": word},
        "monitor": {"enabled": True, "cluster": word},
    }
    found = manifests(values, namespace=word)
    check(found)
    (endpoint,) = of_kind(found, "ServiceMonitor")["spec"]["endpoints"]
    assert {"action": "replace", "replacement": word, "targetLabel": "cluster"} in endpoint["relabelings"]


@pytest.mark.parametrize("release", ["gpu.prod", f"{'a' * 38}--c", "a" * 53, f"{'a' * 20}.{'b' * 32}"])
def test_every_name_of_a_release_gives_names_of_objects(release: str) -> None:
    found = manifests({**EVERYTHING, **with_group(name="g" * 20)}, release=release)
    check(found)
    for manifest in found:
        name = manifest["metadata"]["name"]
        if manifest["kind"] in ("Service", "DaemonSet", "Job", "Pod"):  # also values of labels, or names in the DNS
            assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name)
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,251}[a-z0-9]", name)


@pytest.mark.parametrize(("values", "release"), [({}, "1gpu"), ({"fullnameOverride": "null"}, "x")])
def test_a_name_that_no_service_can_have_is_refused(values: dict[str, Any], release: str) -> None:
    with pytest.raises(HelmRenderError, match=r"fullnameOverride: found the name (1gpu-accelerator-exporter|null),"):
        manifests(values, release=release)


OWN = ("web.listen_address", "web.plain_listen_address", "web.config_file", "web.telemetry_path", "metrics.views")


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.key in OWN or o.section == "labels"], ids=lambda o: o.key)
def test_what_other_objects_depend_on_is_set_by_its_value_only(option: Option) -> None:
    for values in (
        {"extraArgs": [f"{option.flag}=x"]},
        {"extraArgs": [option.flag, "x"]},
        {"extraEnv": [{"name": option.variable, "value": "x"}]},
        with_group(args=[f"{option.flag}=x"]),
        with_group(env=[{"name": option.variable, "value": "x"}]),
    ):
        with pytest.raises(HelmRenderError, match=rf"found ({option.flag}|{option.variable})\b.*; (set|leave)"):
            manifests(values)


@pytest.mark.parametrize("alias", ["accelerator-exporter", "gpu"])
def test_the_chart_can_be_a_part_of_another_one(tmp_path: Path, alias: str) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / "accelerator-exporter")
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    dependency = {"name": "accelerator-exporter", "version": version, "alias": alias, "condition": f"{alias}.enabled"}
    parent = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(json.dumps(parent))
    values = {**EVERYTHING, "enabled": True, "nodeGroups": [{"name": "a", "preset": "amd"}]}
    manifests(values)  # Helm checks the values of a part too, with the key that is the condition
    found = manifests({alias: values, "global": {"registry": "x"}}, tmp_path, release="r")
    check(found)
    assert {each["metadata"]["labels"]["app.kubernetes.io/name"] for each in found} == {alias}
    assert of_kind(found, "DaemonSet")["metadata"]["name"] == f"r-{alias}-a"
