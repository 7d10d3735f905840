"""Writes docs/configuration.md from the option table. With --check it only checks whether the file is up to date."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from exporter.configuration.flags import (
    ACTIONS,
    CHECK_HELP,
    CONFIG_FILE_FLAG,
    CONFIG_FILE_HELP,
    CONFORMANCE_HELP,
    JSON_FLAG,
    JSON_HELP,
    SIMULATE_FLAG,
    SIMULATE_HELP,
    Action,
)
from exporter.configuration.options import ENVIRONMENT_PREFIX, Option, Section
from exporter.configuration.settings import OPTIONS, SECTIONS

_DOCUMENT = Path(__file__).parent.parent / "docs" / "configuration.md"

_PAGE = re.compile(r"docs/([a-z-]+\.md)")

_INTRODUCTION = f"""\
<!-- Written by tools/gen_configuration.py from exporter/configuration/settings.py. Change the table there, then run
`make docs`. -->

# Configuration

The exporter runs without any configuration. Each option can be set in three places, highest priority first:

1. a flag, `--web.listen-address=:9410`
2. an environment variable, `{ENVIRONMENT_PREFIX}WEB_LISTEN_ADDRESS=:9410`
3. the YAML file given by `{CONFIG_FILE_FLAG}`

An option that is not set has its default. Every value is checked, even if a place with higher priority overrides it.

With an invalid configuration the command ends with exit code 2 and one line: the place, the value found and the value
expected:

```
accelerator-exporter: config.yaml:3: web.listen_adress: unknown key, did you mean web.listen_address?
```

Unknown flags, keys and variables that begin with `{ENVIRONMENT_PREFIX}` are errors too. The variables that Kubernetes
sets for a Service called `accelerator-exporter`, such as `{ENVIRONMENT_PREFIX}SERVICE_HOST`, are ignored. Each flag may
be given once. The file is at most 1 MiB of UTF-8 with one YAML document; aliases are refused.

The file is read again on SIGHUP, when it changes, and when Kubernetes replaces the symbolic link of a mounted
ConfigMap. Only options with *reload* at the end of their meaning can change then; they take effect without a missed
scrape. A file that changes any other option is refused, because that needs a restart. If a file is refused, the old
configuration stays active, the log has the reason, and `accelerator_exporter_config_last_reload_successful` is 0.

Durations are whole numbers with units, the larger unit first: `250ms`, `5s`, `1m`, `1h30m`. A number without a unit is
refused.

*Read by* lists the collectors that use an option. If the list contains `exporter`, the exporter itself uses the option,
for the devices of every collector.
"""


def render() -> str:
    """The whole document."""
    parts = [_INTRODUCTION, "## Flags without a key\n", _actions()]
    for section in SECTIONS:
        parts += [f"## {section.name}\n", f"{section.help}\n", _options(section), *_relations(section)]
    parts += ["## Example\n", f"A file with every option{_differing()}:\n", f"```yaml\n{example()}```\n"]
    return "\n".join(parts)


def example() -> str:
    """A configuration file with every option: its default, or the row's example if it has no default."""
    return "".join(_example_lines())


def _actions() -> str:
    rows = [(f"`--{action}`", text) for action, text in ACTIONS]
    others = [
        (f"`{CONFIG_FILE_FLAG}`", CONFIG_FILE_HELP),
        (f"`{SIMULATE_FLAG}[=SCENARIO]`", SIMULATE_HELP),
        (f"`{Action.CHECK}`", CHECK_HELP),
        (f"`{JSON_FLAG}`", JSON_HELP),
        (f"`{Action.CONFORMANCE}`", CONFORMANCE_HELP),
    ]
    return _table(("Flag", "Meaning"), [(flag, _linked(text)) for flag, text in (*others, *rows)])


def _options(section: Section) -> str:
    rows = [
        (f"`{option.key}`", f"`{option.flag}`", f"`{option.variable}`", _default(option), _meaning(option))
        for option in section.options
    ]
    return _table(("Key", "Flag", "Environment", "Default", "Meaning"), rows)


def _default(option: Option) -> str:
    if option.default:
        return f"`{option.default}`"
    return f"the value of `{option.default_variable}`, else none" if option.default_variable else "none"


def _meaning(option: Option) -> str:
    readers = f" Read by: {', '.join(option.read_by)}." if option.read_by else ""
    reload = " *reload*" if option.reloadable else ""
    return f"{_linked(option.help)} Takes {option.value_type.expected}.{readers}{reload}"


def _linked(text: str) -> str:
    """Text for people, with a link for each page that it names."""
    return _PAGE.sub(r"[\1](\1)", text)


def _relations(section: Section) -> Iterator[str]:
    for shorter, longer in section.ordered_pairs():
        yield f"`{shorter.key}` may not be longer than `{longer.key}`.\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _differing() -> str:
    names = [f"`{option.key}`" for option in OPTIONS if not option.default]
    return f", at its default except for {', '.join(names)}" if names else ", at its default"


def _example_lines() -> Iterator[str]:
    for section in SECTIONS:
        if section.settings is None:
            yield f"{section.name}: {_yaml(section.options[0].default)}\n"
            continue
        yield f"{section.name}:\n"
        for option in section.options:
            yield f"  {option.name}: {_yaml(option.default or option.example)}\n"


def _yaml(text: str) -> str:
    """Quoted if it has a colon or bracket, because YAML could read these in another way."""
    return json.dumps(text) if set(text) & set(":[]") else text


def main(arguments: Sequence[str], path: Path) -> int:
    """Write or check the document.

    Args:
        arguments: The command line without the command.
        path: Where the document is.

    Returns:
        The exit code: 1 if the document is out of date and was only checked.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if the document is out of date")
    document = render()
    if not parser.parse_args(arguments).check:
        path.write_text(document)
    elif not path.exists() or path.read_text() != document:
        print(f"docs/{path.name} is out of date: run make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], _DOCUMENT))
