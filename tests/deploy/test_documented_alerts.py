"""The alerts in the documentation, checked by promtool."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from collectors.metric import Subject
from exporter import families
from tests.doubles.prometheus import tool
from tools.queries import QUERIES

_PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
_RULES = re.compile(r"```yaml\n(groups:\n.*?)```", re.DOTALL)


_ALERTS = _RULES.findall(_PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", _ALERTS)
def test_every_alert_is_valid(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(text)
    checked = subprocess.run(
        [tool("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_alerts_are_about_series_that_exist() -> None:
    found = {rule["alert"]: rule["expr"] for text in _ALERTS for rule in yaml.safe_load(text)["groups"][0]["rules"]}

    assert found == {
        "AcceleratorStuck": f"{families.DEVICE_STUCK.name(Subject.EXPORTER)} > 60",
        "AcceleratorExportedTwice": next(
            query.expr for query in QUERIES if query.name == "Devices that two exporters export"
        ),
    }
