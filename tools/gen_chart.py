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
from exporter.configuration.value_types import SWITCH, RefusedError
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


# What a text must look like at least, by the placeholder of its type. The exporter also checks bounds.
_PATTERNS = {
    "DURATION": "^([0-9]+(y|w|d|h|m|s|ms))+$",
    "SIZE": "^[0-9]+[KM]iB$",
    "PATH": "^(/[A-Za-z0-9._~-]+)+/?$",
    "DIRECTORY": "^/",
}
# Values whose removal, by null, means that there is none.
_REMOVABLE = frozenset({"priorityClassName", "tolerations", "resources"})


def option_schema(option: Option) -> dict[str, Any]:
    """The JSON schema of an option's value."""
    if option.value_type is SWITCH:
        return {"type": "boolean"}
    if option.value_type.is_list:
        some = {} if _may_be_empty(option) else {"minItems": 1, "minLength": 1}
        return {"type": ["array", "string"], **some, "items": {"type": "string"}}
    if "|" in option.value_type.placeholder:
        return {"enum": option.value_type.placeholder.split("|")}
    pattern = _PATTERNS.get(option.value_type.placeholder)
    return {"type": "string", **({"pattern": pattern} if pattern else {})}


def _may_be_empty(option: Option) -> bool:
    try:
        option.value_type.parse("")
    except RefusedError:
        return False
    return True


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
    """The schema of the values. Options, names of views and of labels, and what is required follow from elsewhere."""
    content: dict[str, Any] = json.loads((CHART / _SCHEMA).read_text())
    options = content["properties"]["options"]
    content["properties"]["views"]["items"] = {"enum": list(VIEW_NAMES)}
    content["properties"]["options"] = {"description": options["description"], **options_schema()}
    for label in content["properties"]["labels"]["properties"].values():
        label["not"] = {"enum": sorted(USED_LABELS)}
    _require(content, _defaults())
    return content


def _require(content: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Require every value that templates cannot do without: null removes a default."""
    properties = content["properties"]
    for name in properties.keys() & defaults.keys() - {"features"}:
        if "properties" in properties[name]:
            _require(properties[name], defaults[name])
    required = [
        name
        for name, inner in properties.items()
        if name in defaults
        and name not in _REMOVABLE
        and ("properties" in inner or (defaults[name] and isinstance(defaults[name], str | list)))
    ]
    if required:
        content["required"] = required


def _defaults() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def page(content: Mapping[str, Any]) -> str:
    """The page about the values, from their schema."""
    rows = _rows("", content["properties"], _defaults())
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
