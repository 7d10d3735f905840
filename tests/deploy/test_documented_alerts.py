"""The alerts in the documentation, checked by promtool."""

import re
import subprocess
from pathlib import Path

import yaml

from tests.doubles.prometheus import tool
from tools.queries import QUERIES

_PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
_RULES = re.compile(r"```yaml\n(groups:\n.*?)```", re.DOTALL)


def test_the_alert_about_two_exporters_is_valid_and_has_the_expression_of_the_documented_query(tmp_path: Path) -> None:
    (text,) = _RULES.findall(_PAGE.read_text(encoding="utf-8"))
    file = tmp_path / "rules.yml"
    file.write_text(text)
    checked = subprocess.run(
        [tool("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (alert,) = yaml.safe_load(text)["groups"][0]["rules"]
    assert alert["expr"] in [query.expr for query in QUERIES if query.name == "Devices that two exporters export"]
