"""The queries of the committed dashboards: names, labels, units, and the variables that they follow."""

import re
from collections import Counter

import promql_parser
import pytest

from collectors import catalog
from collectors.metric import Kind, Subject, Unit
from dashboards.src import promql
from dashboards.src.scope import CLUSTERS, NODES, Scope
from dashboards.src.units import GRAFANA_UNITS
from exporter import families
from tests.doubles.dashboard_expressions import FAMILIES, labels_of, labels_of_selected, parsed, selectors
from tests.doubles.dashboards import DASHBOARDS, FOLDER, WORKLOADS, queries
from tests.doubles.promql import ambiguous_joins, nodes
from tools import gen_dashboards
from tools.dashboard_queries import panels

PAGES = {page.uid: page for page in gen_dashboards.PAGES}
PANELS = {f"{name}: {each['title']}": each for name, dashboard in DASHBOARDS.items() for each in panels(dashboard)}
TARGETS = queries()
BUILDERS = sorted((FOLDER / "src").glob("*.py"))
LEGEND_LABEL = re.compile(r"\{\{(\w+)\}\}")

every_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS)
every_query = pytest.mark.parametrize("name", TARGETS)

# Families of the default sets that are on no panel, with the reason.
ON_NO_PANEL = {
    "accelerator_container_energy_joules_total": "only of sole holders: the panels divide the devices' energy",
    "accelerator_partition_host_memory_usage_bytes": "no driver reports it of a partition; the panel has the devices'",
    "process_virtual_memory_bytes": "address space, not memory: it says nothing about what the exporter costs",
}


@every_query
def test_a_series_is_named_by_labels_it_has(name: str) -> None:
    assert set(LEGEND_LABEL.findall(TARGETS[name].legend)) <= labels_of_selected(TARGETS[name].expr)


@every_query
def test_a_query_uses_known_families_and_their_labels(name: str) -> None:
    found = selectors(TARGETS[name].expr)
    assert found
    for selector in found:
        assert selector.name in FAMILIES
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels_of(str(selector.name))


@every_query
def test_a_query_follows_the_variables_of_its_dashboard(name: str) -> None:
    choices = PAGES[name.partition(":")[0]].choices
    names = {choice.label: choice.name for choice in choices}
    for selector in selectors(TARGETS[name].expr):
        _, subject = FAMILIES[str(selector.name)]
        chosen = {
            f'{m.name}=~"${names[m.name]}"' for m in selector.matchers.matchers if m.op == _MATCHES and m.name in names
        }
        assert chosen == set(Scope(choices).matchers(subject))


_MATCHES = promql_parser.MatchOp.Re


def test_every_family_of_the_default_sets_is_on_a_panel() -> None:
    used = {str(selector.name) for target in TARGETS.values() for selector in selectors(target.expr)}
    default = {name for name, (row, subject) in FAMILIES.items() if not row.opt_in(subject)}
    assert default - used == set(ON_NO_PANEL)


# This counter starts with the container's allocation: its value is the time for which the container has been observed.
READ_AS_A_TIME = (
    families.CONTAINER_OBSERVED_SECONDS.name(Subject.CONTAINER),
    (f"{WORKLOADS}: Allocations-F", f"{WORKLOADS}: Longest idle now-A"),
)


@every_query
def test_rate_and_increase_are_used_for_counters_and_only_for_them(name: str) -> None:
    """Panels of events take the difference of two values of a counter instead."""
    raised = Counter(
        str(argument.vector_selector.name)
        for node in nodes(parsed(TARGETS[name].expr))
        if isinstance(node, promql_parser.Call) and node.func.name in ("rate", "increase")
        for argument in node.args
    )
    counters = Counter(
        str(selector.name) for selector in selectors(TARGETS[name].expr) if _kind(selector) is Kind.COUNTER
    )
    assert raised <= counters
    plain = set(counters - raised)
    if name in READ_AS_A_TIME[1]:
        assert plain == {READ_AS_A_TIME[0]}
    else:
        assert not plain or TARGETS[name].step_seconds


def _kind(selector: promql_parser.VectorSelector) -> Kind:
    return FAMILIES[str(selector.name)][0].kind


@every_query
def test_what_is_read_as_it_is_has_the_unit_of_the_catalogue(name: str) -> None:
    expr = parsed(TARGETS[name].expr)
    if isinstance(expr, promql_parser.VectorSelector):
        unit = PANELS[name.rpartition("-")[0]]["fieldConfig"]["defaults"]["unit"]
        assert unit == GRAFANA_UNITS[FAMILIES[str(expr.name)][0].unit]


@every_query
def test_one_device_with_several_series_makes_no_query_an_error(name: str) -> None:
    assert ambiguous_joins(parsed(TARGETS[name].expr)) == []


def test_units_follow_from_what_is_done_with_them() -> None:
    scope = Scope((CLUSTERS, NODES))
    energy = scope.series(catalog.ENERGY, Subject.DEVICE)
    usage = scope.series(catalog.MEMORY_USAGE, Subject.DEVICE)
    share = scope.series(families.ALLOCATION_SHARE, Subject.ALLOCATION)
    info = scope.series(catalog.INFO, Subject.DEVICE)
    power = promql.rate(energy, promql.POINT)
    assert power.unit is Unit.WATTS
    assert promql.increase(energy, promql.RANGE).unit is Unit.JOULES
    assert promql.energy_in_range(power).unit is Unit.JOULES
    assert usage.over(usage).unit is Unit.RATIO
    assert share.times_one_of(power, "uuid").unit is Unit.WATTS
    assert power.times_one_of(info, "uuid").unit is Unit.WATTS
    assert promql.since(scope.series(families.CONTAINER_LAST_ACTIVE, Subject.CONTAINER)).unit is Unit.SECONDS


def test_grafana_knows_every_unit() -> None:
    assert set(GRAFANA_UNITS) == set(Unit)


def test_what_is_put_together_means_what_it_says() -> None:
    one = promql.Expression("a", Unit.NONE)
    both = promql.complement(one).over(promql.complement(one))
    assert both.text == "(1 - a)\n/ (1 - a)"
    assert both.where("> 0").text == f"({both.text}) > 0"
    assert promql.total(both, "pod").text == f"sum by (cluster, pod) ({both.text})"
    assert promql.largest(one, "pod").text == "max by (cluster, pod) (a)"
    either = one.or_else(one)
    assert either.or_else(one).text == "a\nor\na\nor\na"
    assert either.those_not_in(either).text == "(a\nor\na)\nunless\n(a\nor\na)"


@every_dashboard
def test_variables_narrow_each_other_in_order(dashboard: str) -> None:
    first, *others = DASHBOARDS[dashboard]["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert [variable["name"] for variable in others] == [choice.name for choice in PAGES[dashboard].choices]
    before: set[str] = set()
    for variable in others:
        inner, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"], re.DOTALL).groups()  # type: ignore[union-attr]  # an AttributeError fails the test as well
        (selector,) = selectors(inner)
        assert label in labels_of(str(selector.name))
        assert set(re.findall(r"\$(\w+)", inner)) <= before
        assert variable["allValue"] == ".*"  # fits series without the label, too
        assert variable["current"]["value"] == ["$__all"]
        before.add(variable["name"])


def test_builders_take_names_from_the_catalogue() -> None:
    name = re.compile(r"\b(?:accelerator|process)_\w+")
    assert [(path.name, found) for path in BUILDERS for found in name.findall(path.read_text())] == []
    assert FOLDER / "src" / "fleet.py" in BUILDERS
