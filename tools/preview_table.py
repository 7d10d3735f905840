"""Draws a table panel: joins the results of its queries and sorts the lines, with its own settings, as Grafana does."""

from collections.abc import Sequence
from html import escape

from tools.dashboard_queries import Json
from tools.preview_drawing import NAMED, nothing, step_color, value_text

# Labels and value of one element of the result of an instant query.
Element = tuple[dict[str, str], float]
Row = dict[str, str | float]


def table(panel: Json, answers: Sequence[Sequence[Element]]) -> str:
    """The table as HTML.

    Args:
        panel: From the dashboard.
        answers: The result of each query of the panel, in order.
    """
    found = lines(panel, answers)
    if not found:
        return nothing(panel)
    titles = [title for title in _titles(panel) if any(title in row for row in found)]
    looks = _looks(panel)
    empty = panel["fieldConfig"]["defaults"]["noValue"]
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        "<tr>" + "".join(_cell(row.get(title, ""), looks.get(title, {}), empty) for title in titles) + "</tr>"
        for row in found
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def lines(panel: Json, answers: Sequence[Sequence[Element]]) -> list[Row]:
    """The lines of the table in order: the content of each cell by the title of its column."""
    named = _titles(panel)
    fields = {name: title for title, name in named.items()}
    found = [{fields[name]: cell for name, cell in row.items() if name in fields} for row in _merged(answers)]
    for order in reversed(panel["options"]["sortBy"]):
        title = order["displayName"]
        found.sort(key=lambda row: _rank(row.get(title)), reverse=order["desc"])
    return found


def _rank(cell: str | float | None) -> float:
    """Numbers by their value; empty cells come before them."""
    return cell if isinstance(cell, float) else float("-inf")


def _titles(panel: Json) -> dict[str, str]:
    """The titles of the shown columns in order, with the names of their fields."""
    _, organize = panel["transformations"]
    options = organize["options"]
    shown = (name for name in options["indexByName"] if name not in options["excludeByName"])
    return {options["renameByName"][name]: name for name in sorted(shown, key=options["indexByName"].__getitem__)}


def _looks(panel: Json) -> dict[str, Json]:
    """The settings of each column by its title."""
    looks: dict[str, Json] = {}
    for override in panel["fieldConfig"]["overrides"]:
        properties = {each["id"]: each.get("value") for each in override["properties"]}
        looks.setdefault(override["matcher"]["options"], {}).update(properties)
    return looks


def _merged(answers: Sequence[Sequence[Element]]) -> list[Row]:
    """Join the results by the labels that all of them have.

    An element completes each earlier line with the same common labels, unless it contradicts another field of it; then
    it becomes a line of its own. So the values of a device are in the lines of all its pods.
    """
    shared = set.intersection(*(_label_names(answer) for answer in answers if answer)) if any(answers) else set()
    found: dict[tuple[str, ...], list[Row]] = {}
    for letter, answer in zip("ABCDEFGHIJKLMNOP", answers, strict=False):
        value_field = f"Value #{letter}" if len(answers) > 1 else "Value"
        for labels, value in answer:
            row: Row = {**labels, value_field: value}
            _join(found.setdefault(tuple(labels.get(name, "") for name in sorted(shared)), []), row)
    return [row for rows in found.values() for row in rows]


def _join(rows: list[Row], row: Row) -> None:
    fitting = [other for other in rows if all(other.get(name, cell) == cell for name, cell in row.items())]
    for other in fitting:
        other.update(row)
    if not fitting:
        rows.append(row)


def _label_names(answer: Sequence[Element]) -> set[str]:
    return {name for labels, _ in answer for name in labels}


def _cell(content: str | float, look: Json, empty: str) -> str:
    if content == "":
        return f"<td>{escape(empty)}</td>"
    if isinstance(content, str):
        return f"<td>{_linked(content, look)}</td>"
    if "mappings" in look:
        (mapping,) = look["mappings"]
        shown = mapping["options"][f"{content:.0f}"]
        return f'<td class="tag" style="background:{NAMED[shown["color"]]}">{escape(shown["text"])}</td>'
    text = escape(value_text(content, look.get("unit", "")))
    color = step_color(look["thresholds"]["steps"], content) if "thresholds" in look else ""
    if look.get("custom.cellOptions", {}).get("type") == "gauge":
        bar = f'<i style="width:{min(content, 1) * 100:.1f}%;background:{color or NAMED["blue"]}"></i>'
        return f'<td class="gauge"><s>{bar}</s>{text}</td>'
    return f'<td class="value" style="color:{color or "inherit"}">{text}</td>'


def _linked(text: str, look: Json) -> str:
    return f"<a>{escape(text)}</a>" if "links" in look else escape(text)
