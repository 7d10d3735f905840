"""Evaluates prometheus-adapter rules as the adapter does.

Source: `pkg/naming/metrics_query.go` of kubernetes-sigs/prometheus-adapter. It asks for the pods of an autoscaler by
name, with `=` for one and `=~` for several, and groups by the label of the pod only.
"""

from pathlib import Path
from typing import Any

import yaml


def rule(path: Path) -> dict[str, Any]:
    """The only rule of a file."""
    return rule_in(path.read_text())


def rule_in(text: str) -> dict[str, Any]:
    """The only rule of a file's text."""
    (only,) = yaml.safe_load(text)["rules"]
    found: dict[str, Any] = only
    return found


def expression(given: dict[str, Any], *group_by: str, matchers: str = "") -> str:
    """The PromQL that the adapter builds from the rule's template.

    Args:
        given: The rule.
        group_by: The labels of the requested resources: namespace and pod.
        matchers: The selector of the requested objects; empty for all.
    """
    query: str = given["metricsQuery"]
    for field, value in (
        ("Series", given["seriesQuery"].partition("{")[0]),
        ("GroupBy", ",".join(group_by)),
        ("LabelMatchers", matchers),
    ):
        query = query.replace(f"<<.{field}>>", value)
    assert "<<" not in query
    return query


def of_pods(given: dict[str, Any], namespace: str, *pods: str) -> str:
    """The PromQL that the adapter builds when an autoscaler asks for the metric of pods."""
    labels = {kind["resource"]: label for label, kind in given["resources"]["overrides"].items()}
    names, operator = "|".join(pods), "=" if len(pods) == 1 else "=~"
    matchers = f'{labels["namespace"]}="{namespace}",{labels["pod"]}{operator}"{names}"'
    return expression(given, labels["pod"], matchers=matchers)
