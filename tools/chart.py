"""Renders the Helm chart without a cluster and without the command `helm`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from helm_python.chart import Chart

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "accelerator-exporter"
NAME = "accelerator-exporter"
NOTES = "NOTES.txt"


def render(
    values: Mapping[str, Any], chart: Path = CHART, *, release: str = NAME, namespace: str = NAME
) -> dict[str, str]:
    """What each template gives, by its path below `templates`, the notes included. Empty ones are left out.

    Raises:
        helm_python.HelmValuesError: The schema refuses the values.
        helm_python.HelmRenderError: A template refuses them.
    """
    with Chart.load(chart) as loaded:
        rendered = loaded.render(dict(values), name=release, namespace=namespace)
    texts = {path.split("/templates/", 1)[1]: text.strip("\n") for path, text in rendered.items()}
    return {path: text + "\n" for path, text in sorted(texts.items()) if text.strip()}


def documents(text: str) -> list[str]:
    """The YAML documents of a text, without what separates them."""
    return [each.strip("\n") + "\n" for each in f"\n{text}".split("\n---\n") if each.strip()]


def manifests(
    values: Mapping[str, Any], chart: Path = CHART, *, release: str = NAME, namespace: str = NAME
) -> list[dict[str, Any]]:
    """The objects that the chart creates; see `render`."""
    rendered = render(values, chart, release=release, namespace=namespace)
    return [yaml.safe_load(each) for path, text in rendered.items() if path != NOTES for each in documents(text)]
