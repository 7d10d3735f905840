"""Draws a table panel: joins the results of its queries with its transformations."""

from collections.abc import Sequence
from html import escape

from tools.dashboard_queries import Json
from tools.preview_drawing import NAMED, nothing, value_text

# Labels and value of one element of the result of an instant query.
Element = tuple[dict[str, str], float]
_Row = dict[str, str | float]


def table(panel: Json, answers: Sequence[Sequence[Element]]) -> str:
    """The table as HTML.

    Args:
        panel: From the dashboard.
        answers: The result of each query of the panel, in order.
    """
    merged = _merged(answers)
    if not merged:
        return nothing(panel)
    _, organize = panel["transformations"]
    options = organize["options"]
    fields = [
        name
        for name in sorted(options["indexByName"], key=options["indexByName"].__getitem__)
        if name not in options["excludeByName"] and any(name in row for row in merged)
    ]
    titles = [options["renameByName"][name] for name in fields]
    looks = {
        override["matcher"]["options"]: {prop["id"]: prop.get("value") for prop in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    empty = panel["fieldConfig"]["defaults"]["noValue"]
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        "<tr>"
        + "".join(_cell(row.get(name, empty), looks.get(title, {})) for name, title in zip(fields, titles, strict=True))
        + "</tr>"
        for row in merged
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _merged(answers: Sequence[Sequence[Element]]) -> list[_Row]:
    """Elements with equal common labels become one line; additional labels of a query are added to it."""
    shared = set.intersection(*(_label_names(answer) for answer in answers if answer)) if any(answers) else set()
    lines: dict[tuple[tuple[str, str], ...], _Row] = {}
    for letter, answer in zip("ABCDEFGH", answers, strict=False):
        value_field = f"Value #{letter}" if len(answers) > 1 else "Value"
        for labels, value in answer:
            key = tuple(sorted((name, text) for name, text in labels.items() if name in shared))
            lines.setdefault(key, {}).update({**labels, value_field: value})
    return [lines[key] for key in sorted(lines)]


def _label_names(answer: Sequence[Element]) -> set[str]:
    return {name for labels, _ in answer for name in labels}


def _cell(content: str | float, look: Json) -> str:
    if isinstance(content, str):
        options = look["mappings"][0]["options"].get(content, {}) if "mappings" in look else {}
        style = f' class="tag" style="background:{NAMED[options["color"]]}"' if options else ""
        return f"<td{style}>{escape(content)}</td>"
    text = escape(value_text(content, look.get("unit", "")))
    if look.get("custom.cellOptions", {}).get("type") == "gauge":
        width = min(content, 1) * 100
        return f'<td class="gauge"><s><i style="width:{width:.1f}%"></i></s>{text}</td>'
    return f'<td class="value">{text}</td>'
