"""Renders the Helm chart: the plain manifests in deploy/, and the manifests of the chart's cases for the tests.

It also copies the dashboards into the chart, because a chart contains only files of its own folder.

With --check it only checks whether the files are up to date.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.chart import CHART, NAME, NOTES, ROOT, documents, render
from tools.gen_chart import write

CASES = CHART / "ci"
FAST_AUTOSCALING = CHART / "autoscaling-fast.yaml"
GOLDEN = ROOT / "tests" / "deploy" / "golden"
_KUBERNETES = ROOT / "deploy" / "kubernetes"
_AUTOSCALING = ROOT / "deploy" / "autoscaling"
_DASHBOARDS = ROOT / "dashboards"
_SUFFIX = "-values.yaml"

# Folders with a DaemonSet, each with its node group.
_VARIANTS: Mapping[str, dict[str, Any]] = {
    "base": {"name": "base"},
    "nvidia": {"name": "nvidia", "preset": "nvidia"},
    "nvidia-gke": {"name": "nvidia-gke", "preset": "nvidia-gke"},
    "amd": {"name": "amd", "preset": "amd"},
    "amd-partitions": {"name": "amd-partitions", "preset": "amd-partitions"},
    "simulated": {"name": "simulated", "preset": "simulated"},
}
# The folder of AMD beside another DaemonSet in the same namespace.
_BESIDE = "amd-beside-nvidia"

# Labels that only a release of Helm has. Without them the selectors are those that the plain manifests always had.
_OF_HELM = re.compile(r"^ *(?:app\.kubernetes\.io/(?:instance|managed-by)|helm\.sh/chart): .*\n", re.MULTILINE)
_HOOK = re.compile(r"^ *annotations:\n(?: *helm\.sh/hook.*\n)+", re.MULTILINE)
_GROUP = re.compile(r"^ *node-group: .*\n", re.MULTILINE)


def golden(case: Path) -> str:
    """The manifests of a case. Dashboards are left out: they are long, and in git already."""
    rendered = render(yaml.safe_load(case.read_text()))
    parts = [
        f"# {path}\n{document}"
        for path, text in rendered.items()
        if path not in (NOTES, "dashboards.yaml")
        for document in documents(text)
    ]
    return "---\n".join(parts)


def plain(text: str) -> str:
    """A rendered manifest without what belongs to Helm."""
    return _GROUP.sub("", _HOOK.sub("", _OF_HELM.sub("", text)))


def _daemon_set(group: Mapping[str, Any]) -> str:
    return render({"nodeGroups": [dict(group)]})["daemonset.yaml"].removeprefix("---\n")


def _renamed(text: str, group: str) -> str:
    """The DaemonSet of a group with the name that the plain manifests always had."""
    return text.replace(f"\n  name: {NAME}-{group}\n", f"\n  name: {NAME}\n")


def _beside() -> str:
    """The DaemonSet of AMD with a name and a selector of its own."""
    return _OF_HELM.sub("", _daemon_set(_VARIANTS["amd"])).replace("node-group:", "app.kubernetes.io/instance:")


def _autoscaling(folder: Path, rendered: Mapping[str, str]) -> dict[Path, str]:
    """The manifests in the chart's ConfigMap for autoscaling, as files of a folder."""
    data: dict[str, str] = yaml.safe_load(rendered["autoscaling.yaml"])["data"]
    return {folder / name: text for name, text in data.items()}


def _fast() -> dict[Path, str]:
    """The same manifests for fast decisions, and the monitor that they need."""
    rendered = render(yaml.safe_load(FAST_AUTOSCALING.read_text()))
    folder = _AUTOSCALING / "fast"
    return {**_autoscaling(folder, rendered), folder / "servicemonitor.yaml": plain(rendered["monitor.yaml"])}


def _conformance_job() -> str:
    """The Job without what says how Helm runs it."""
    text = plain(render({"conformance": {"enabled": True}})["tests/conformance.yaml"])
    return text[text.index("apiVersion:") :]


def plain_manifests() -> dict[Path, str]:
    """Every manifest in deploy/ that the chart renders, and its content."""
    shared = render({"features": {"resourceSlices": {"enabled": True}}, "monitor": {"enabled": True}})
    role, binding = documents(shared["resource-slices.yaml"])
    return {
        **{
            _KUBERNETES / name / "daemonset.yaml": plain(_renamed(_daemon_set(group), group["name"]))
            for name, group in _VARIANTS.items()
        },
        _KUBERNETES / _BESIDE / "daemonset.yaml": _beside(),
        _KUBERNETES / "common" / "serviceaccount.yaml": plain(shared["serviceaccount.yaml"]),
        _KUBERNETES / "common" / "service.yaml": plain(shared["service.yaml"]),
        _KUBERNETES / "monitor" / "servicemonitor.yaml": plain(shared["monitor.yaml"]),
        _KUBERNETES / "resource-slices" / "clusterrole.yaml": plain(role),
        _KUBERNETES / "resource-slices" / "clusterrolebinding.yaml": plain(binding),
        _KUBERNETES / "conformance" / "job.yaml": _conformance_job(),
        **_autoscaling(_AUTOSCALING, render({"autoscaling": {"enabled": True}})),
        **_fast(),
    }


def dashboards() -> dict[Path, str]:
    """The chart's copies of the dashboards."""
    return {CHART / "files" / "dashboards" / path.name: path.read_text() for path in sorted(_DASHBOARDS.glob("*.json"))}


def files() -> dict[Path, str]:
    """Every written file and its content. No golden file contains a dashboard, so the order does not matter."""
    cases = {GOLDEN / f"{case.name.removesuffix(_SUFFIX)}.yaml": golden(case) for case in sorted(CASES.iterdir())}
    return {**dashboards(), **cases, **plain_manifests()}


if __name__ == "__main__":
    sys.exit(write(files(), sys.argv[1:], __doc__))
