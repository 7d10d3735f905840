"""The exposition of each view on small simulated nodes, through the real join and renderer on a manual clock.

`pytest tests/golden/test_views.py --update-golden` rewrites the files.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from bench.played import Played
from collectors.contract import CollectOptions
from collectors.metric import DEFAULT_SETS
from collectors.simulated.parse import parse_scenario
from exporter.exposition import render
from exporter.kept_text import KeptText
from exporter.series import Shown
from exporter.text_format import Format
from exporter.views import NAMES, NATIVE, ViewOptions, load_views, sets_read_for
from tests.doubles.expositions import parse
from tests.doubles.prometheus import promtool_check

_FOLDER = Path(__file__).parent / "views"
_SECOND = 30
_MOST_LINES = 250
_H100 = """\
devices:
  - { profile: h100, count: 2 }
pods:
  - { namespace: ml, name: train, containers: [{ name: main, devices: [0], load: 0.5 }] }
  - { namespace: ml, name: serve, containers: [{ name: a, devices: [1] }] }
  - { namespace: ml, name: other, containers: [{ name: b, devices: [1] }] }
faults:
  - { kind: critical_error, at: 10, devices: [0], code: "31" }
"""
_MIG = """\
devices:
  - { profile: h100, partitions: [{ profile: 1g.10gb, count: 1, memory: 9856MiB, compute: 1/7 },
                                  { profile: 2g.20gb, count: 1, memory: 19968MiB, compute: 2/7 }] }
pods:
  - { namespace: ml, name: notebook, containers: [{ name: main, partitions: [0/1], load: 0.25 }] }
"""
_A100 = """\
devices:
  - profile: a100
pods:
  - { namespace: ml, name: train, containers: [{ name: main, devices: [0], load: 0.75 }] }
"""
_MI300X = """\
devices:
  - profile: mi300x
pods:
  - { namespace: ml, name: train, containers: [{ name: main, devices: [0], load: 0.75 }] }
"""


class Case(NamedTuple):
    """A node, and what is shown of it."""

    node: str
    views: tuple[str, ...]
    vendors: tuple[str, ...] = ("nvidia",)


_CASES = {
    "dcgm-h100": Case(_H100, ("dcgm",)),
    "dcgm-mig": Case(_MIG, ("dcgm",)),
    "dcgm-a100": Case(_A100, ("dcgm",)),
    "dcgm-mi300x": Case(_MI300X, ("dcgm",), ("nvidia", "amd")),
    "otel-h100": Case(_H100, ("otel",)),
    "otel-mig": Case(_MIG, ("otel",)),
    "otel-mi300x": Case(_MI300X, ("otel",)),
}


def rendered(case: Case, form: Format) -> str:
    """What a scrape gets after half a minute, which is what the library writes too."""
    options = CollectOptions(DEFAULT_SETS | sets_read_for(case.views))
    played = Played(parse_scenario(f"description: view\n{case.node}", "view", Path()), options)
    for second in range(0, _SECOND + 1, 10):
        snapshot = played.at(second)
    views = load_views(case.views, ViewOptions("node-1", case.vendors))
    shown = Shown(sets=DEFAULT_SETS, native=NATIVE in case.views, views=views)
    text = KeptText(shown)
    text.update(snapshot, ())
    body = text.body(form)
    assert body == render(snapshot, (), form, shown)
    return body.decode()


@pytest.mark.parametrize("name", _CASES)
def test_view(name: str, request: pytest.FixtureRequest) -> None:
    found = rendered(_CASES[name], Format.TEXT)
    golden = _FOLDER / f"{name}.prom"
    if request.config.getoption("--update-golden"):
        golden.write_text(found)
    assert found == golden.read_text()
    assert found.count("\n") <= _MOST_LINES


def test_every_file_belongs_to_a_case() -> None:
    assert {path.stem for path in _FOLDER.glob("*.prom")} == set(_CASES)


@pytest.mark.parametrize("node", [_H100, _MIG, _A100, _MI300X], ids=["h100", "mig", "a100", "mi300x"])
def test_each_view_and_all_together_are_valid(node: str) -> None:
    for views in (*((name,) for name in NAMES), NAMES):
        case = Case(node, views, ())
        text = rendered(case, Format.TEXT)
        families = parse(text.encode(), Format.TEXT)
        strict = parse(rendered(case, Format.OPENMETRICS).encode(), Format.OPENMETRICS)

        assert len(families) == len(strict) == text.count("# TYPE ")
        series = [(sample.name, *sorted(sample.labels.items())) for family in families for sample in family.samples]
        assert len(set(series)) == len(series)
        # The linter dislikes the names of DCGM. What cannot be parsed is another matter.
        complaints = promtool_check(text)
        assert "error while linting" not in complaints
        assert (complaints == "") == ("dcgm" not in views)
