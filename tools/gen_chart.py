"""Writes what of the Helm chart is derived from the option table and its own values: a part of its schema, a page.

With --check it only checks whether the files are up to date.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from exporter.configuration.options import Option
from exporter.configuration.settings import SECTIONS
from exporter.configuration.value_types import SWITCH
from exporter.families import USED_LABELS
from exporter.views import NAMES as VIEW_NAMES
from tools.chart import CHART, ROOT

_SCHEMA = "values.schema.json"
# Other values of the chart set them, or they are places in the container that the chart has fixed.
SET_BY_CHART = frozenset(
    {
        "attribution.cdi_dirs",
        "attribution.own_namespace",
        "attribution.resource_slices",
        "kubelet.socket",
        "labels.container",
        "labels.namespace",
        "labels.pod",
        "metrics.views",
        "node.name",
        "web.config_file",
        "web.listen_address",
        "web.plain_listen_address",
    }
)

_INTRODUCTION = f"""\
<!-- Written by tools/gen_chart.py from {_SCHEMA} and values.yaml of the chart. Change them, then run `make docs`. -->

# Values of the Helm chart

[Installation](installation.md#with-helm) shows how they are used. A value that is not in this table is refused, and the
error names it.

| Value | Default | Meaning |
| --- | --- | --- |
"""


def option_schema(option: Option) -> dict[str, Any]:
    """The JSON schema of an option's value."""
    if option.value_type is SWITCH:
        return {"type": "boolean"}
    if option.value_type.is_list:
        return {"type": ["array", "string"], "items": {"type": "string"}}
    if "|" in option.value_type.placeholder:
        return {"enum": option.value_type.placeholder.split("|")}
    return {"type": "string"}


def options_schema() -> dict[str, Any]:
    """The JSON schema of the options that the chart leaves to its user, one mapping for each section."""
    properties: dict[str, Any] = {}
    for section in SECTIONS:
        options = {option.name: option_schema(option) for option in section.options if option.key not in SET_BY_CHART}
        if section.settings is None:
            properties[section.name] = options[""]
        elif options:
            properties[section.name] = {"type": "object", "additionalProperties": False, "properties": options}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def schema() -> dict[str, Any]:
    """The schema of the values. All but the options and the names of views and labels is written by hand."""
    content: dict[str, Any] = json.loads((CHART / _SCHEMA).read_text())
    options = content["properties"]["options"]
    content["properties"]["views"]["items"] = {"enum": list(VIEW_NAMES)}
    content["properties"]["options"] = {"description": options["description"], **options_schema()}
    for label in content["properties"]["labels"]["properties"].values():
        label["not"] = {"enum": sorted(USED_LABELS)}
    return content


def page(content: Mapping[str, Any]) -> str:
    """The page about the values, from their schema."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = _rows("", content["properties"], defaults)
    return _INTRODUCTION + "".join(f"| `{key}` | {default} | {text}. |\n" for key, default, text in rows)


def _rows(prefix: str, properties: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, content in properties.items():
        key, inner = f"{prefix}{name}", content.get("properties", {})
        default = defaults.get(name)
        if set(inner) == {"enabled"} and "description" not in inner["enabled"]:
            yield f"{key}.enabled", _default(default and default["enabled"]), _meaning(content)
        elif inner and key != "options":
            yield from _rows(f"{key}.", inner, default or {})
        else:
            yield key, _default(default), _meaning(content)
        if key == "nodeGroups":
            yield from _rows(f"{key}[].", content["items"]["properties"], {})


def _default(value: object) -> str:
    return "" if value is None else f"`{json.dumps(value)}`"


def _meaning(content: Mapping[str, Any]) -> str:
    one_of = f". One of {', '.join(f'`{value}`' for value in content['enum'])}" if "enum" in content else ""
    return f"{content['description']}{one_of}"


def files() -> dict[Path, str]:
    """Every derived file and its content."""
    content = schema()
    return {
        CHART / _SCHEMA: json.dumps(content, indent=2) + "\n",
        ROOT / "docs" / "helm-values.md": page(content),
    }


def stale(fresh: Mapping[Path, str]) -> list[Path]:
    """The files that have another content, in order."""
    return sorted(path for path, text in fresh.items() if not path.is_file() or path.read_text() != text)


def write(fresh: Mapping[Path, str], arguments: Sequence[str], description: str | None) -> int:
    """Write files, or with --check name those that are out of date; returns the exit status."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a file is out of date")
    outdated = stale(fresh)
    if parser.parse_args(arguments).check:
        for path in outdated:
            print(f"{path.relative_to(ROOT)} is out of date: run `make docs`", file=sys.stderr)
        return 1 if outdated else 0
    for path in outdated:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fresh[path])
    return 0


if __name__ == "__main__":
    sys.exit(write(files(), sys.argv[1:], __doc__))
