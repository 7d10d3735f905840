"""Writes the alerts and recording rules for Prometheus, their copies in the Helm chart, and the page about the alerts.

With --check it only checks whether the files are up to date.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.prometheus.src.files import FILES, alerts
from deploy.prometheus.src.rule import RUNBOOKS, document
from deploy.prometheus.src.runbooks import page
from tools.chart import CHART, ROOT
from tools.gen_chart import write

RULES = ROOT / "deploy" / "prometheus" / "rules"
CHART_RULES = CHART / "files" / "rules"
_HEAD = "# Written by tools/gen_alerts.py from deploy/prometheus/src. Change it there, then run `make docs`.\n"


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def dump(content: Mapping[str, Any]) -> str:
    """A file of rules as YAML."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10_000)


def files() -> dict[Path, str]:
    """Every written file and its content."""
    rules = {name: _HEAD + dump(document(groups)) for name, groups in FILES.items()}
    return {
        **{folder / name: text for folder in (RULES, CHART_RULES) for name, text in rules.items()},
        ROOT / RUNBOOKS: page(alerts()),
    }


if __name__ == "__main__":
    sys.exit(write(files(), sys.argv[1:], __doc__))
