import re

import pytest

from tests.doubles.dashboards import DASHBOARDS, FLEET, NODE_AND_DEVICE, panel
from tools import preview_drawing as drawing
from tools.dashboard_queries import Target, filled_in, panels, window_values
from tools.preview_dashboard import Answers, page, page_height
from tools.preview_drawing import Series, Span
from tools.preview_graph import graph
from tools.preview_table import Element, lines, table

DASHBOARD = DASHBOARDS[NODE_AND_DEVICE]
POWER = panel(NODE_AND_DEVICE, "Device power")
PARTITIONS = panel(FLEET, "Partitions by profile")
SPAN = Span(1000.0, 1600.0, 5.0)
ATTACK = '<script>alert("&")</script>'


class Canned(Answers):
    """Every query has one element, or none."""

    def __init__(self, *elements: Element) -> None:
        super().__init__("http://127.0.0.1:9", SPAN)
        self._elements = list(elements)

    def now(self, target: Target) -> list[Element]:  # noqa: ARG002 - the same for all
        return self._elements

    def course(self, target: Target) -> list[Series]:  # noqa: ARG002 - the same for all
        return [Series(labels["pod"], ((1100.0, value), (1105.0, value))) for labels, value in self._elements]


def polylines(svg: str) -> list[int]:
    """The number of points of each line."""
    return [len(points.split()) for points in re.findall(r'<polyline points="([^"]+)"', svg)]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_and_row_is_drawn_and_the_page_says_what_it_is(name: str) -> None:
    html = page(DASHBOARDS[name], Canned(({"pod": "ana"}, 1.0)))
    assert html.count("<section") == len(panels(DASHBOARDS[name]))
    assert html.count("<h2") + html.count("<section") == len(DASHBOARDS[name]["panels"])
    assert "Preview rendered without Grafana" in html
    assert "Nothing reported" not in html
    assert not re.search(r"https?://|<img|<link|@import|url\(", html)
    assert page_height(DASHBOARDS[name]) > 1000


def test_panels_without_data_say_so() -> None:
    html = page(DASHBOARD, Canned())
    tables = [panel for panel in panels(DASHBOARD) if panel["type"] == "table"]
    assert html.count("Nothing reported") == len(panels(DASHBOARD)) - len(tables)


def test_names_are_shown_and_do_not_run() -> None:
    html = page(DASHBOARD, Canned(({"pod": ATTACK, "profile": ATTACK}, 1.0)))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_kind_of_panel_that_cannot_be_drawn_is_named() -> None:
    unknown = {**POWER, "type": "heatmap"}
    with pytest.raises(ValueError, match=r"^panel 'Device power': cannot draw the type 'heatmap'$"):
        page({**DASHBOARD, "panels": [unknown]}, Canned())


def test_variables_are_filled_in() -> None:
    windows = window_values(600, 60, 5)
    assert filled_in('rate(x{a=~"$node"}[$__rate_interval]) > $__range_s', windows) == 'rate(x{a=~".*"}[60s]) > 600'
    assert filled_in("x[${__range}]", windows) == "x[600s]"
    assert filled_in('x{a=~"$node"}', windows, {"node": "one"}) == 'x{a=~"one"}'


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    points = [(1000.0, 1.0), (1005.0, 2.0), (1010.0, 1.0), (1100.0, 1.0), (1105.0, 1.0), (1300.0, 1.0)]
    svg = graph(POWER, [Series("one", points)], SPAN, (400, 200))
    assert polylines(svg) == [3, 2]
    assert svg.count("<circle") == 1


def test_events_are_sticks() -> None:
    svg = graph(
        panel(NODE_AND_DEVICE, "Critical events"), [Series("one", [(1000.0, 1.0), (1005.0, 2.0)])], SPAN, (400, 200)
    )
    assert (svg.count("<rect"), polylines(svg)) == (2, [])


def test_a_course_of_zeros_has_an_axis() -> None:
    svg = graph(POWER, [Series("one", [(1000.0, 0.0), (1005.0, 0.0)])], SPAN, (400, 200))
    assert ">1 W<" in svg


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.4321, "percentunit", "43.2%"),
        (3 * 1024**3, "bytes", "3 GiB"),
        (12, "bytes", "12 B"),
        (0, "watt", "0 W"),
        (1770, "watt", "1.77 kW"),
        (45.4, "celsius", "45.4 °C"),
        (90, "s", "1.5 min"),
        (7, "none", "7"),
    ],
)
def test_values_have_their_unit(value: float, unit: str, text: str) -> None:
    assert drawing.value_text(value, unit) == text


def test_a_limit_is_dashed_and_a_margin_has_its_steps_behind_it() -> None:
    points = ((1000.0, 1.0), (1005.0, 2.0))
    svg = graph(POWER, [Series("one", points), Series("limit", points, limit=True)], SPAN, (400, 200))
    assert svg.count("stroke-dasharray") == 1
    margin = graph(panel(NODE_AND_DEVICE, "Temperature margin"), [Series("one", [(1000.0, 40.0)])], SPAN, (400, 200))
    assert margin.count('opacity="0.13"') == 3


def test_a_legend_has_mean_last_and_maximum_of_the_largest_series() -> None:
    ended = Series("ended", ((1000.0, 5.0), (1005.0, 7.0)))
    others = [Series(f"other {number}", ((1595.0, 1.0), (1600.0, 3.0))) for number in range(4)]
    svg = graph(POWER, [*others, ended], SPAN, (400, 200))
    head, first, second, *_ = re.findall(r"<tr>(.*?)</tr>", svg)
    assert re.findall(r"<th>(.*?)</th>", head) == ["Name, and 1 more below", "Mean", "Last", "Max"]
    assert re.findall(r">([^<>]*)</td>", first) == ["ended", "6 W", "", "7 W"]
    assert re.findall(r">([^<>]*)</td>", second) == ["other 0", "2 W", "3 W", "3 W"]


def test_a_band_has_the_colour_of_each_state() -> None:
    history = panel(NODE_AND_DEVICE, "Status history")
    points = ((1000.0, 0.0), (1005.0, 4.0), (1010.0, 1.0))
    html = drawing.bands(history, [Series(f"device {number}", points) for number in range(10)], SPAN)
    for color in ("green", "red", "purple"):
        assert html.count(drawing.NAMED[color]) == 8
    assert html.count(">unknown<") == 8
    assert "2 more on the next pages" in html


ONE, OTHER = ({"model": "H100", "profile": name} for name in ("1g.10gb", "3g.40gb"))


def test_a_table_joins_its_queries_by_what_they_have_in_common() -> None:
    html = table(PARTITIONS, [[(ONE, 0.0)], [(ONE, 1.0)], [(ONE, 2.0)]])
    assert re.findall(r"<th>(.*?)</th>", html) == ["State", "Model", "Profile", "Free", "Allocated"]
    assert [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", html)] == [
        "ok",
        "H100",
        "1g.10gb",
        "1",
        "2",
    ]


def test_a_table_says_where_a_reading_is_missing() -> None:
    html = table(PARTITIONS, [[(ONE, 0.0), (OTHER, 0.0)], [(ONE, 2.0)], [(ONE, 5.0), (OTHER, 1.0)]])
    cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", html)]
    assert cells == ["ok", "H100", "1g.10gb", "2", "5", "ok", "H100", "3g.40gb", "-", "1"]


def test_a_table_is_sorted_and_the_values_of_a_device_are_in_the_lines_of_all_its_pods() -> None:
    """As in Grafana: an element completes every line with the same common labels, unless it contradicts it."""
    devices = panel(FLEET, "Devices and their pods")
    good, bad = ({"instance": "n", "device": name, "model": "m", "uuid": name} for name in ("good", "bad"))
    states = [({**good, "pod": "a"}, 0.0), ({**bad, "pod": "b"}, 4.0), ({**bad, "pod": "c"}, 4.0)]
    action = [({**bad, "action": "reset"}, 1.0)]
    utilization = [(good, 0.5), (bad, 0.7)]
    found = lines(devices, [states, action, utilization, *([] for _ in devices["targets"][3:])])
    shown = [[line.get(title) for title in ("State", "Pod", "Action", "Utilization")] for line in found]
    assert shown == [[4, "b", "reset", 0.7], [4, "c", "reset", 0.7], [0, "a", None, 0.5]]


def test_a_state_has_its_colour() -> None:
    html = table(PARTITIONS, [[(ONE, 4.0)], [(ONE, 1.0)], []])
    assert f'style="background:{drawing.NAMED["red"]}">failed<' in html
    assert html.count("<tr>") == 2
