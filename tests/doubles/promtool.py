"""Unit tests of rules, run by `promtool test rules`: series in its short form, and what queries answer."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.doubles.prometheus import tool

# The alerts that fire, by the labels that distinguish their subjects.
FIRING = 'count by (alertname, cluster, node, uuid) (ALERTS{alertstate="firing"})'


@dataclass(frozen=True, slots=True)
class RuleTest:
    """Series, and what the rules give of them.

    Attributes:
        name: What happens.
        series: Values by series, in promtool's short form: `0+5x20` rises 20 times by 5, `_x3` is absent for 3 scrapes.
        firing: By minute, the alerts that fire, as labels such as `alertname="AcceleratorIdle",uuid="GPU-1"`.
        recorded: By query, its elements at `at_minute`: values by labels.
        step_seconds: The time between two values of a series.
        at_minute: When the queries are evaluated.
    """

    name: str
    series: Mapping[str, str]
    firing: Mapping[int, Sequence[str]] = field(default_factory=dict)
    recorded: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    step_seconds: int = 15
    at_minute: int = 10

    def document(self) -> dict[str, Any]:
        """The test in promtool's form."""
        expected = [
            *((FIRING, minute, {f"{{{labels}}}": 1.0 for labels in alerts}) for minute, alerts in self.firing.items()),
            *((query, self.at_minute, elements) for query, elements in self.recorded.items()),
        ]
        return {
            "name": self.name,
            "interval": f"{self.step_seconds}s",
            "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
            "promql_expr_test": [
                {
                    "expr": query,
                    "eval_time": f"{minute}m",
                    "exp_samples": [{"labels": labels, "value": value} for labels, value in elements.items()],
                }
                for query, minute, elements in expected
            ],
        }


def failures(rules: Sequence[Path], tests: Sequence[RuleTest], folder: Path) -> str:
    """What promtool complains about; empty if every test passes. The rules are evaluated every 30 seconds."""
    return complaints(rules, [test.document() for test in tests], folder)


def complaints(rules: Sequence[Path], documents: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """The same for tests that have promtool's form already."""
    file = folder / "tests.yaml"
    content = {
        "rule_files": [str(path) for path in rules],
        "evaluation_interval": "30s",
        "tests": list(documents),
    }
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    command = [tool("promtool"), "test", "rules", str(file)]
    tested = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return "" if tested.returncode == 0 else tested.stdout + tested.stderr
