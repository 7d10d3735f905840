"""The committed dashboards: their form, their layout, their links and their tables."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from collectors.metric import Unit
from dashboards.src.status import STATE_LOOKS
from dashboards.src.units import GRAFANA_UNITS
from tests.doubles.dashboard_expressions import labels_of_selected, parsed
from tests.doubles.dashboards import DASHBOARDS, EXPORTERS, FLEET, FOLDER, NODE_AND_DEVICE, WORKLOADS, panel
from tools import gen_dashboards
from tools.dashboard_queries import Json, Target, panels, targets

PAGES = {page.uid: page for page in gen_dashboards.PAGES}
PANELS = {f"{name}: {each['title']}": each for name, dashboard in DASHBOARDS.items() for each in panels(dashboard)}
LEGEND_LABEL = re.compile(r"\{\{(\w+)\}\}")
TABLES = {name: each for name, each in PANELS.items() if each["type"] == "table"}

every_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS)
every_panel = pytest.mark.parametrize("name", PANELS)


def boxes(items: list[Json]) -> list[tuple[int, int, int, int]]:
    return [tuple(item["gridPos"][side] for side in "xywh") for item in items]


@every_dashboard
def test_the_types_of_the_library_read_it_and_write_it_again(dashboard: str) -> None:
    again = gen_dashboards.document(Dashboard.from_json(DASHBOARDS[dashboard]))
    assert again == gen_dashboards.document(PAGES[dashboard].dashboard())


def test_the_files_are_what_the_builders_give() -> None:
    assert gen_dashboards.main(["--check"]) == 0
    assert list(DASHBOARDS) == sorted(path.stem for path in gen_dashboards.documents())


def test_the_builders_give_the_same_every_time() -> None:
    assert gen_dashboards.documents() == gen_dashboards.documents()


def test_the_check_passes_on_what_was_written_and_names_the_file_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gen_dashboards.main(["--check"], tmp_path) == 1
    file = f"dashboards/{FLEET}.json"
    assert f"{file} is out of date: run `make docs`\n" in capsys.readouterr().err
    assert gen_dashboards.main([], tmp_path) == 0
    assert gen_dashboards.main(["--check"], tmp_path) == 0
    (tmp_path / file).write_text((tmp_path / file).read_text() + "\n")
    assert gen_dashboards.main(["--check"], tmp_path) == 1


def test_addresses_do_not_change() -> None:
    """The second one is that of the only dashboard that there was before."""
    assert set(DASHBOARDS) == {
        "accelerators-exporters",
        "accelerators-node-and-pods",
        "accelerators-fleet",
        "accelerators-workloads",
    }
    assert {name: dashboard["uid"] for name, dashboard in DASHBOARDS.items()} == {name: name for name in DASHBOARDS}


@every_dashboard
def test_numbers_of_panels_are_unique(dashboard: str) -> None:
    assert "id" not in DASHBOARDS[dashboard]
    numbers = [each["id"] for each in DASHBOARDS[dashboard]["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))


@every_dashboard
def test_panels_lie_side_by_side_within_the_page(dashboard: str) -> None:
    placed = boxes(DASHBOARDS[dashboard]["panels"])
    for (x, y, w, h), (other_x, other_y, other_w, other_h) in combinations(placed, 2):
        assert x + w <= other_x or other_x + other_w <= x or y + h <= other_y or other_y + other_h <= y
    widths = Counter[int]()
    for _, y, w, _ in placed:
        widths[y] += w
    assert set(widths.values()) == {24}


@every_dashboard
def test_no_two_panels_have_one_title(dashboard: str) -> None:
    titles = Counter(each["title"] for each in panels(DASHBOARDS[dashboard]))
    assert [title for title, count in titles.items() if count > 1] == []


@every_panel
def test_a_panel_says_how_to_read_it_and_what_is_empty(name: str) -> None:
    assert re.fullmatch(r"[A-Z].{40,}\.", PANELS[name]["description"])
    assert PANELS[name]["fieldConfig"]["defaults"]["noValue"].strip()
    assert PANELS[name]["fieldConfig"]["defaults"]["unit"] in GRAFANA_UNITS.values()


@every_panel
def test_a_panel_queries_the_chosen_data_source(name: str) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert PANELS[name]["targets"]
    assert all(item["datasource"] == chosen for item in (PANELS[name], *PANELS[name]["targets"]))


@every_panel
def test_now_means_now(name: str) -> None:
    """Numbers, bars and tables ask for the current value only; a graph asks for the whole range."""
    over_time = PANELS[name]["type"] in ("timeseries", "state-timeline")
    assert {target.instant for target in targets(PANELS[name])} == {not over_time}


GRAPHS = {name: each for name, each in PANELS.items() if each["type"] == "timeseries"}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_legend_is_a_table_of_mean_last_and_maximum(name: str) -> None:
    legend = GRAPHS[name]["options"]["legend"]
    events = "interval" in GRAPHS[name]  # their mean and their last value say nothing
    assert (legend["displayMode"], legend["placement"]) == ("table", "bottom")
    assert legend["calcs"] == (["max"] if events else ["mean", "last", "max"])


# Quotients that can be above 1.
_NOT_TO_ONE = {"Power as a part of the limit", "CPU of collectors", "Exporter CPU"}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_ratio_is_drawn_from_0_to_1(name: str) -> None:
    defaults = GRAPHS[name]["fieldConfig"]["defaults"]
    if defaults["unit"] != GRAFANA_UNITS[Unit.RATIO]:
        return
    if GRAPHS[name]["title"] in _NOT_TO_ONE:
        assert (defaults["min"], defaults["custom"]["axisSoftMax"]) == (0, 1)
    else:
        assert (defaults["min"], defaults["max"]) == (0, 1)


@every_panel
def test_many_series_have_many_names(name: str) -> None:
    one_name_for_all = PANELS[name]["type"] in ("stat", "table") or PANELS[name]["title"] == "Use of the fleet"
    assert {bool(LEGEND_LABEL.search(target.legend)) for target in targets(PANELS[name])} == {not one_name_for_all}


def test_each_dashboard_has_the_variables_of_its_subject() -> None:
    common = ["cluster", "vendor", "model", "node"]
    assert {name: [choice.name for choice in page.choices] for name, page in PAGES.items()} == {
        FLEET: common,
        NODE_AND_DEVICE: [*common, "device"],
        WORKLOADS: [*common, "namespace", "pod"],
        EXPORTERS: ["cluster", "node"],
    }


@every_dashboard
def test_each_dashboard_leads_to_the_others_with_its_variables(dashboard: str) -> None:
    (link,) = DASHBOARDS[dashboard]["links"]
    assert link["tags"] == DASHBOARDS[dashboard]["tags"] == ["accelerator-exporter"]
    assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)


def links(content: object) -> Iterator[str]:
    """The address of every link of a value, at any depth."""
    if isinstance(content, dict):
        if "url" in content and "title" in content:
            yield content["url"]
        for value in content.values():
            yield from links(value)
    elif isinstance(content, list):
        for value in content:
            yield from links(value)


@every_panel
def test_links_of_values_lead_to_a_dashboard_and_choose_what_it_has(name: str) -> None:
    for url in links(PANELS[name]["fieldConfig"]):
        uid, chosen = re.fullmatch(r"/d/([\w-]+)\?(.+)", url).groups()  # type: ignore[union-attr]  # as above
        assert {"${datasource:queryparam}", "${cluster:queryparam}", "${__url_time_range}"} < set(chosen.split("&"))
        assert set(re.findall(r"var-(\w+)=", chosen)) <= {choice.name for choice in PAGES[uid].choices}
        assert set(re.findall(r"__data\.fields\.(\w+)", chosen)) <= set(titles(PANELS[name]).values())
        for target in targets(PANELS[name]):
            assert set(re.findall(r"__field\.labels\.(\w+)", chosen)) <= labels_of_selected(target.expr)


def test_there_are_links_from_tables_and_from_graphs() -> None:
    kinds = Counter(each["type"] for each in PANELS.values() if list(links(each["fieldConfig"])))
    assert set(kinds) == {"table", "timeseries", "state-timeline", "bargauge"}


def titles(of: Json) -> dict[str, str]:
    """The titles of a table's columns by the name of the field; of another panel none."""
    found: dict[str, str] = of["transformations"][1]["options"]["renameByName"] if of["type"] == "table" else {}
    return found


def test_every_state_of_a_device_has_its_own_colour() -> None:
    assert len({look.color for look in STATE_LOOKS.values()}) == len(STATE_LOOKS)
    mapped = panel(NODE_AND_DEVICE, "Status history")["fieldConfig"]["defaults"]["mappings"][0]["options"]
    assert {int(value): look["text"] for value, look in mapped.items()} == {
        rank: look.text for rank, look in STATE_LOOKS.items()
    }


@pytest.mark.parametrize("name", TABLES)
def test_a_table_names_what_its_queries_give(name: str) -> None:
    merge, organize = TABLES[name]["transformations"]
    assert (merge["id"], organize["id"]) == ("merge", "organize")
    options = organize["options"]
    queried = list(targets(TABLES[name]))
    values = {f"Value #{target.letter}" for target in queried} if len(queried) > 1 else {"Value"}
    labels = {label for target in queried for label in labels_of_result(target)}
    shown = set(options["renameByName"]) - set(options["excludeByName"])
    assert values <= shown | set(options["excludeByName"])
    assert shown | set(options["excludeByName"]) - {"Time"} == values | labels
    named = {options["renameByName"][field] for field in shown}
    assert {override["matcher"]["options"] for override in TABLES[name]["fieldConfig"]["overrides"]} <= named


def labels_of_result(target: Target) -> set[str]:
    """The labels that the outermost aggregations of a query leave, and those that joins add."""
    return {
        label
        for expr in outermost(parsed(target.expr))
        for label in (expr.modifier.labels if isinstance(expr, promql_parser.AggregateExpr) and expr.modifier else ())
    }


def outermost(expr: promql_parser.Expr) -> Iterator[promql_parser.Expr]:
    """The aggregations that give the labels of the result."""
    match expr:
        case promql_parser.AggregateExpr():
            yield expr
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from outermost(expr.expr)
        case promql_parser.Call():
            for argument in expr.args:
                yield from outermost(argument)
        case promql_parser.BinaryExpr():
            yield from outermost(expr.lhs)
            yield from outermost(expr.rhs)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_worst_first(name: str) -> None:
    """Query and table are sorted by the same column: by the state, wherever the table is about devices or pods."""
    table = TABLES[name]
    first = next(targets(table))
    (order,) = table["options"]["sortBy"]
    value = f"Value #{first.letter}" if len(table["targets"]) > 1 else "Value"
    assert (titles(table)[value], True) == (order["displayName"], order["desc"])
    assert first.expr.startswith("sort_desc(")
    by_use = {f"{WORKLOADS}: Allocated but idle", f"{FLEET}: Energy by model"}
    expected = "Problems" if name.startswith(EXPORTERS) else "State"
    assert name in by_use or order["displayName"] == expected


def test_the_guide_names_every_variable_and_every_file() -> None:
    guide = (FOLDER / "README.md").read_text()
    for name in ("datasource", *(choice.name for page in PAGES.values() for choice in page.choices)):
        assert f"`{name}`" in guide
    for name, dashboard in DASHBOARDS.items():
        assert f"`{name}.json`" in guide
        assert dashboard["title"].removeprefix("Accelerators: ") in guide.lower()


@every_dashboard
def test_json_is_written_for_people_to_compare(dashboard: str) -> None:
    text = (FOLDER / f"{dashboard}.json").read_text()
    content: dict[str, Any] = json.loads(text)
    assert text == json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
