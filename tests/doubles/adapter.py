"""Evaluates prometheus-adapter rules as the adapter does."""

from pathlib import Path
from typing import Any

import yaml


def rule(path: Path) -> dict[str, Any]:
    """The only rule of a file."""
    (only,) = yaml.safe_load(path.read_text())["rules"]
    found: dict[str, Any] = only
    return found


def expression(path: Path, *group_by: str, matchers: str = "") -> str:
    """The PromQL that the adapter builds from the rule's template.

    Args:
        path: The file with the rule.
        group_by: The labels of the requested resources: namespace and pod.
        matchers: The selector of the requested objects; empty for all.
    """
    query: str = rule(path)["metricsQuery"]
    return query.replace("<<.GroupBy>>", ", ".join(group_by)).replace("<<.LabelMatchers>>", matchers)
