"""Rules as records: the one source of the rule files, of the chart's copies and of docs/runbooks.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# The place of the page about the alerts. The chart replaces it by the address that its users give.
RUNBOOKS = "docs/runbooks.md"


class Severity(StrEnum):
    """Who must act, and when."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that somebody must know.

    Attributes:
        name: The alert's name; its section in the page has it too.
        expr: PromQL. One element for each subject, not for each series of it.
        hold: For how long the condition must be true; empty for at once.
        severity: Who must act, and when.
        summary: One line, with label names in template actions.
        description: More of it, as a template too; it names the pods.
        meaning: What has happened, for the page.
        look: Where to look, as Markdown, each an item of a list.
        action: What to do, as Markdown, each an item of a list.
        external: Families of other exporters that the expression needs.
    """

    name: str
    expr: str
    hold: str
    severity: Severity
    summary: str
    description: str
    meaning: str
    look: tuple[str, ...]
    action: tuple[str, ...]
    external: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The alert as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": self.hold} if self.hold else {}),
            "labels": {"severity": self.severity.value},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOKS}#{self.name.lower()}",
            },
        }


@dataclass(frozen=True, slots=True)
class Record:
    """A query whose result is stored as a series.

    Attributes:
        name: The new series: `level:metric:operations`, or a name that others have chosen.
        expr: PromQL.
    """

    name: str
    expr: str

    def document(self) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {"record": self.name, "expr": self.expr}


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another."""

    name: str
    rules: tuple[Alert | Record, ...]


def document(groups: tuple[Group, ...]) -> Mapping[str, Any]:
    """A file of rules as Prometheus reads it."""
    return {"groups": [{"name": group.name, "rules": [rule.document() for rule in group.rules]} for group in groups]}
