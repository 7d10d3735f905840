"""The Helm chart's objects, for tests that compare them."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.doubles.kustomize import Manifest, read
from tools.chart import ROOT, manifests

# Of kinds that Kubernetes itself does not have.
SCHEMAS = {
    kind: read(ROOT / "tests" / "deploy" / f"{name}.schema.yaml")[0]
    for kind, name in (
        ("ServiceMonitor", "monitor"),
        ("PodMonitor", "monitor"),
        ("PrometheusRule", "prometheusrule"),
        ("SecurityContextConstraints", "securitycontextconstraints"),
    )
}


def of_kind(found: list[Manifest], kind: str) -> Manifest:
    """The only object of a kind."""
    (only,) = (manifest for manifest in found if manifest["kind"] == kind)
    return only


def pod_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The pod of the only node group."""
    spec: dict[str, Any] = of_kind(manifests(values), "DaemonSet")["spec"]["template"]["spec"]
    return spec


def with_group(**group: object) -> dict[str, Any]:
    """Values with one node group."""
    return {"nodeGroups": [{"name": "one", **group}]}


def with_features(*names: str) -> dict[str, Any]:
    """Values with one node group of no preset, and these features."""
    return {**with_group(), "features": {name: {"enabled": True} for name in names}}


def leaves(content: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value that contains no other, with its path; an element of a list by its name, if it has one."""
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from leaves(value, f"{path}/{key}")
    elif isinstance(content, list) and content:
        for index, value in enumerate(content):
            yield from leaves(value, f"{path}/{value.get('name', index) if isinstance(value, dict) else index}")
    else:
        yield path, content
