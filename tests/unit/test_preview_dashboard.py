import re
from pathlib import Path

import pytest

from tools import preview_drawing as drawing
from tools.dashboard_queries import Json, Target, filled_in, panels, read, window_values
from tools.preview_dashboard import Answers, page, page_height
from tools.preview_drawing import Series, Span
from tools.preview_table import Element, table

DASHBOARD = read(Path(__file__).parents[2] / "dashboards" / "accelerators-node-and-pods.json")
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


def panel(title: str) -> Json:
    (found,) = (panel for panel in panels(DASHBOARD) if panel["title"] == title)
    return found


def polylines(svg: str) -> list[int]:
    """The number of points of each line."""
    return [len(points.split()) for points in re.findall(r'<polyline points="([^"]+)"', svg)]


def test_every_panel_and_row_is_drawn_and_the_page_says_what_it_is() -> None:
    html = page(DASHBOARD, Canned(({"pod": "ana"}, 1.0)))
    assert html.count("<section") == len(panels(DASHBOARD))
    assert html.count("<h2") + html.count("<section") == len(DASHBOARD["panels"])
    assert "Preview rendered without Grafana" in html
    assert "Nothing reported" not in html
    assert not re.search(r"https?://|<img|<link|@import|url\(", html)
    assert page_height(DASHBOARD) > 1000


def test_panels_without_data_say_so() -> None:
    html = page(DASHBOARD, Canned())
    tables = [panel for panel in panels(DASHBOARD) if panel["type"] == "table"]
    assert html.count("Nothing reported") == len(panels(DASHBOARD)) - len(tables)


def test_names_are_shown_and_do_not_run() -> None:
    html = page(DASHBOARD, Canned(({"pod": ATTACK, "profile": ATTACK}, 1.0)))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_kind_of_panel_that_cannot_be_drawn_is_named() -> None:
    unknown = {**panel("Device power"), "type": "heatmap"}
    with pytest.raises(ValueError, match=r"^panel 'Device power': cannot draw the type 'heatmap'$"):
        page({**DASHBOARD, "panels": [unknown]}, Canned())


def test_variables_are_filled_in() -> None:
    windows = window_values(600, 60)
    assert filled_in('rate(x{a=~"$node"}[$__rate_interval]) > $__range_s', windows) == 'rate(x{a=~".*"}[60s]) > 600'
    assert filled_in("x[${__range}]", windows) == "x[600s]"
    assert filled_in('x{a=~"$node"}', windows, {"node": "one"}) == 'x{a=~"one"}'


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    points = [(1000.0, 1.0), (1005.0, 2.0), (1010.0, 1.0), (1100.0, 1.0), (1105.0, 1.0), (1300.0, 1.0)]
    svg = drawing.lines(panel("Device power"), [Series("one", points)], SPAN, (400, 200))
    assert polylines(svg) == [3, 2]
    assert svg.count("<circle") == 1


def test_events_are_sticks() -> None:
    svg = drawing.lines(panel("Critical events"), [Series("one", [(1000.0, 1.0), (1005.0, 2.0)])], SPAN, (400, 200))
    assert (svg.count("<rect"), polylines(svg)) == (2, [])


def test_a_course_of_zeros_has_an_axis() -> None:
    svg = drawing.lines(panel("Device power"), [Series("one", [(1000.0, 0.0), (1005.0, 0.0)])], SPAN, (400, 200))
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


def test_a_table_joins_its_queries_by_what_they_have_in_common() -> None:
    model = {"model": "H100", "profile": "1g.10gb"}
    html = table(panel("Partitions by profile"), [[(model, 2.0)], [(model, 1.0)]])
    assert re.findall(r"<th>(.*?)</th>", html) == ["Model", "Profile", "Allocated", "Free"]
    assert re.findall(r"<td.*?>(.*?)</td>", html) == ["H100", "1g.10gb", "2", "1"]


def test_a_table_says_where_a_reading_is_missing() -> None:
    one, other = ({"model": "H100", "profile": name} for name in ("1g.10gb", "3g.40gb"))
    html = table(panel("Partitions by profile"), [[(one, 2.0), (other, 1.0)], [(one, 5.0)]])
    assert re.findall(r"<td.*?>(.*?)</td>", html) == ["H100", "1g.10gb", "2", "5", "H100", "3g.40gb", "1", "-"]


def test_a_state_has_its_colour() -> None:
    labels = {"instance": "worker-1", "device": "0000:04:00.0", "model": "H100"}
    states = [({**labels, "state": "failed"}, 1.0)]
    html = table(panel("Devices now"), [states, *([(labels, 1.0)] for _ in range(5))])
    assert f'style="background:{drawing.NAMED["red"]}">failed<' in html
    assert html.count("<tr>") == 2
