import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from collectors import catalog
from collectors.labels import STATUS
from collectors.metric import Kind, Metric, Subject, Unit
from dashboards.src import devices, node_and_pods, promql
from dashboards.src.units import GRAFANA_UNITS
from dashboards.src.variables import CHOICES, SCOPES
from exporter import families
from tools import gen_dashboards
from tools.dashboard_queries import Json, filled_in, panels, read, targets, window_values

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "dashboards"
DASHBOARD = read(FOLDER / "accelerators-node-and-pods.json")
PANELS = panels(DASHBOARD)
BUILDERS = sorted((FOLDER / "src").glob("*.py"))
TARGETS = [target for panel in PANELS for target in targets(panel)]
FAMILIES: dict[str, tuple[Metric, Subject]] = {
    row.name(subject): (row, subject) for row in (*catalog.ROWS, *families.ROWS) for subject in row.subjects
}
ADDED_BY_PROMETHEUS = {"instance", "job", "cluster"}
LEGEND_LABEL = re.compile(r"\{\{(\w+)\}\}")


def parsed(expr: str) -> promql_parser.Expr:
    return promql_parser.parse(filled_in(expr, window_values(3600, 60)))


def nodes(expr: promql_parser.Expr) -> list[promql_parser.Expr]:
    found: list[promql_parser.Expr] = []
    promql_parser.walk(expr, found.append)
    return found


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    return [node for node in nodes(parsed(expr)) if isinstance(node, promql_parser.VectorSelector)]


def labels_of(name: str) -> set[str]:
    row, subject = FAMILIES[name]
    return {*families.SUBJECT_LABELS[subject], *(label.name for label in row.labels), *ADDED_BY_PROMETHEUS}


def boxes(items: list[Json]) -> list[tuple[int, int, int, int]]:
    return [tuple(item["gridPos"][side] for side in "xywh") for item in items]


def test_the_file_is_what_the_builders_give() -> None:
    assert gen_dashboards.main(["--check"]) == 0
    assert sorted(path.name for path in FOLDER.glob("*.json")) == sorted(p.name for p in gen_dashboards.documents())


def test_the_builders_give_the_same_every_time() -> None:
    assert gen_dashboards.documents() == gen_dashboards.documents()


def test_the_check_passes_on_what_was_written_and_names_the_file_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gen_dashboards.main(["--check"], tmp_path) == 1
    file = "dashboards/accelerators-node-and-pods.json"
    assert capsys.readouterr().err == f"{file} is out of date: run `make docs`\n"
    assert gen_dashboards.main([], tmp_path) == 0
    assert gen_dashboards.main(["--check"], tmp_path) == 0
    (tmp_path / file).write_text((tmp_path / file).read_text() + "\n")
    assert gen_dashboards.main(["--check"], tmp_path) == 1


def test_the_types_of_the_library_read_it_and_write_it_again() -> None:
    assert gen_dashboards.document(Dashboard.from_json(DASHBOARD)) == gen_dashboards.document(node_and_pods.dashboard())


def test_it_keeps_its_address_and_its_numbers_are_unique() -> None:
    assert DASHBOARD["uid"] == "accelerators-node-and-pods"
    assert "id" not in DASHBOARD
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_rows_are_those_of_the_design() -> None:
    heads = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert heads == ["Overview", "Devices", "Pods", "Partitions", "Health"]


def test_panels_lie_side_by_side_within_the_page() -> None:
    for (x, y, w, h), (other_x, other_y, other_w, other_h) in combinations(boxes(DASHBOARD["panels"]), 2):
        assert x + w <= other_x or other_x + other_w <= x or y + h <= other_y or other_y + other_h <= y
    assert all(x + w <= 24 for x, _, w, _ in boxes(DASHBOARD["panels"]))
    widths = Counter({y: 0 for _, y, _, _ in boxes(DASHBOARD["panels"])})
    for _, y, w, _ in boxes(DASHBOARD["panels"]):
        widths[y] += w
    assert set(widths.values()) == {24}


def test_no_two_panels_have_one_title() -> None:
    assert [title for title, count in Counter(panel["title"] for panel in PANELS).items() if count > 1] == []


def test_a_panel_says_how_to_read_it() -> None:
    defaults = [panel["fieldConfig"]["defaults"] for panel in PANELS]
    assert [panel["title"] for panel in PANELS if not re.fullmatch(r"[A-Z].{40,}\.", panel["description"])] == []
    assert [
        panel["title"] for panel, default in zip(PANELS, defaults, strict=True) if not default["noValue"].strip()
    ] == []


def test_a_panel_queries_the_chosen_data_source() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert [panel["title"] for panel in PANELS if not panel["targets"]] == []
    assert [
        panel["title"] for panel in PANELS for item in (panel, *panel["targets"]) if item["datasource"] != chosen
    ] == []


def test_a_panel_has_a_unit() -> None:
    units = {panel["title"]: panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS}
    assert {title: unit for title, unit in units.items() if unit not in GRAFANA_UNITS.values()} == {}


def test_a_series_is_named_by_labels_it_has() -> None:
    known = {t: set.union(*(labels_of(str(s.name)) for s in selectors(t.expr))) for t in TARGETS}
    assert [(t.title, name) for t in TARGETS for name in LEGEND_LABEL.findall(t.legend) if name not in known[t]] == []


def test_many_series_have_many_names() -> None:
    one_name_for_all = ("stat", "table")
    assert [
        (panel["title"], target.legend)
        for panel in PANELS
        for target in targets(panel)
        if bool(LEGEND_LABEL.search(target.legend)) == (panel["type"] in one_name_for_all)
    ] == []


def test_a_query_uses_known_families_and_their_labels() -> None:
    queries = [(target.title, selectors(target.expr)) for target in TARGETS]
    assert [title for title, found in queries if not found] == []
    assert [(title, s.name) for title, found in queries for s in found if s.name not in FAMILIES] == []
    assert [
        (title, matcher.name)
        for title, found in queries
        for selector in found
        for matcher in selector.matchers.matchers
        if matcher.name not in labels_of(str(selector.name))
    ] == []


def test_a_query_follows_the_variables_of_its_subject() -> None:
    names = {choice.label: choice.name for choice in CHOICES}
    wrong = []
    for target in TARGETS:
        for selector in selectors(target.expr):
            _, subject = FAMILIES[str(selector.name)]
            followed = {str(matcher) for matcher in SCOPES[subject]}
            chosen = {f'{m.name}=~"${names[m.name]}"' for m in selector.matchers.matchers if m.name in names}
            if chosen != followed:
                wrong.append((target.title, chosen, followed))
    assert wrong == []


# This counter starts with the container's allocation: its value is the time for which the container has been observed.
READ_AS_A_TIME = {
    (families.CONTAINER_OBSERVED_SECONDS.name(Subject.CONTAINER), title)
    for title in ("Allocations", "Time since last active")
}


def test_rate_and_increase_are_used_for_counters_and_only_for_them() -> None:
    wrong = []
    for target in TARGETS:
        raised = [
            str(argument.vector_selector.name)
            for node in nodes(parsed(target.expr))
            if isinstance(node, promql_parser.Call) and node.func.name in ("rate", "increase")
            for argument in node.args
        ]
        counters = [str(s.name) for s in selectors(target.expr) if FAMILIES[str(s.name)][0].kind is Kind.COUNTER]
        plain = Counter(counters) - Counter(raised)
        if Counter(raised) - Counter(counters) or {(name, target.title) for name in plain} - READ_AS_A_TIME:
            wrong.append((target.title, raised, counters))
    assert wrong == []


def test_what_is_read_as_it_is_has_the_unit_of_the_catalogue() -> None:
    units = {panel["id"]: panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS}
    plain = [(target, parsed(target.expr)) for target in TARGETS]
    assert [
        (target.title, units[target.panel])
        for target, expr in plain
        if isinstance(expr, promql_parser.VectorSelector)
        and units[target.panel] != GRAFANA_UNITS[FAMILIES[str(expr.name)][0].unit]
    ] == []


def test_units_follow_from_what_is_done_with_them() -> None:
    energy = promql.series(catalog.ENERGY, Subject.DEVICE)
    usage = promql.series(catalog.MEMORY_USAGE, Subject.DEVICE)
    share = promql.series(families.ALLOCATION_SHARE, Subject.ALLOCATION)
    info = promql.series(catalog.INFO, Subject.DEVICE)
    power = promql.rate(energy, promql.POINT)
    assert power.unit is Unit.WATTS
    assert promql.increase(energy, promql.RANGE).unit is Unit.JOULES
    assert usage.over(usage).unit is Unit.RATIO
    assert share.times_one_of(power, "uuid").unit is Unit.WATTS
    assert power.times_one_of(info, "uuid").unit is Unit.WATTS
    assert promql.since(promql.series(families.CONTAINER_LAST_ACTIVE, Subject.CONTAINER)).unit is Unit.SECONDS


def test_grafana_knows_every_unit() -> None:
    assert set(GRAFANA_UNITS) == set(Unit)


def test_what_is_put_together_means_what_it_says() -> None:
    one = promql.Expression("a", Unit.NONE)
    both = promql.complement(one).over(promql.complement(one))
    assert both.text == "(1 - a)\n/ (1 - a)"
    assert both.where("> 0").text == f"({both.text}) > 0"
    assert promql.total(both, "pod").text == f"sum by (cluster, pod) ({both.text})"
    assert promql.largest(one, "pod").text == "max by (cluster, pod) (a)"


def test_variables_narrow_each_other_in_order() -> None:
    first, *others = DASHBOARD["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert [variable["name"] for variable in others] == ["cluster", "node", "namespace", "pod", "device"]
    before: set[str] = set()
    for variable in others:
        inner, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"], re.DOTALL).groups()  # type: ignore[union-attr]  # an AttributeError fails the test as well
        (selector,) = selectors(inner)
        assert label in labels_of(str(selector.name))
        assert set(re.findall(r"\$(\w+)", inner)) <= before
        assert variable["allValue"] == ".*"  # fits series without the label, too
        assert variable["current"]["value"] == ["$__all"]
        before.add(variable["name"])


def test_every_state_of_a_device_has_a_colour() -> None:
    assert set(devices.STATUS_COLORS) == set(STATUS.values)


TABLES = [panel for panel in PANELS if panel["type"] == "table"]


@pytest.mark.parametrize("panel", TABLES, ids=lambda panel: panel["title"])
def test_a_table_names_what_its_queries_give(panel: Json) -> None:
    merge, organize = panel["transformations"]
    assert (merge["id"], organize["id"]) == ("merge", "organize")
    queries = list(targets(panel))
    given = {f"Value #{t.letter}" for t in queries} if len(queries) > 1 else {"Value"}
    for target in queries:
        for node in nodes(parsed(target.expr)):
            if isinstance(node, promql_parser.AggregateExpr):
                assert node.modifier is not None
                given |= set(node.modifier.labels)
    options = organize["options"]
    shown = set(options["renameByName"]) - set(options["excludeByName"])
    assert set(options["excludeByName"]) - {"Time"} < given
    assert given == shown | set(options["excludeByName"]) - {"Time"}
    titles = {options["renameByName"][name] for name in shown}
    assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} <= titles


def test_there_are_four_tables() -> None:
    assert len(TABLES) == 4


def test_builders_take_names_from_the_catalogue() -> None:
    name = re.compile(r"\b(?:accelerator|process)_\w+")
    assert [(path.name, found) for path in BUILDERS for found in name.findall(path.read_text())] == []
    assert FOLDER / "src" / "node_and_pods.py" in BUILDERS


def test_the_guide_names_every_variable_and_the_file() -> None:
    guide = (FOLDER / "README.md").read_text()
    for name in ("datasource", *(choice.name for choice in CHOICES), "accelerators-node-and-pods.json"):
        assert f"`{name}`" in guide


def test_json_is_written_for_people_to_compare() -> None:
    text = (FOLDER / "accelerators-node-and-pods.json").read_text()
    content: dict[str, Any] = json.loads(text)
    assert text == json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
