"""Every query of every dashboard, asked of a real Prometheus that scrapes simulated nodes."""

from pathlib import Path

import pytest

from tests.doubles.exporter_process import exporter, wait_until
from tests.doubles.prometheus import prometheus
from tools.dashboard_queries import filled_in, panels, read, targets, window_values

_DASHBOARDS = sorted((Path(__file__).parents[2] / "dashboards").glob("*.json"))
# Nothing has failed on these nodes, nothing is throttled long enough, and nothing has been idle for an hour.
_MAY_BE_EMPTY = {"Failed", "Held and idle", "Throttled", "Memory errors", "Critical events"}


@pytest.mark.parametrize("path", _DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_has_an_answer(path: Path, tmp_path: Path) -> None:
    windows = window_values(60, 30)
    for name in ("inference", "mig"):
        (tmp_path / name).mkdir()
    with (
        exporter(tmp_path / "inference", "--simulate=inference") as inference,
        exporter(tmp_path / "mig", "--simulate=mig") as mig,
        prometheus(tmp_path, inference.address, mig.address) as server,
    ):
        wait_until(lambda: (server.value("min(count_over_time(up[1m]))") or 0) >= 10)
        silent = {
            panel["title"]
            for panel in panels(read(path))
            for target in targets(panel)
            if not server.query(filled_in(target.expr, windows))
        }
    assert silent <= _MAY_BE_EMPTY


def test_there_is_a_dashboard() -> None:
    assert _DASHBOARDS
