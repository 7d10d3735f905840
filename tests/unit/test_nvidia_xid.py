"""The table of codes, and the page that documents it and the rules of the status."""

from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from collectors import labels
from collectors.nvidia.status import RULES
from collectors.nvidia.xid import FROM_START, TABLE, Effect, effect, error_class

PAGE = Path(__file__).parents[2] / "docs" / "nvidia-health.md"


def section(title: str) -> list[str]:
    """The rows of the table of a section, without its header."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    lines = rest.partition("\n## ")[0].splitlines()
    return [line for line in lines if line.startswith("| ")][2:]


def spans(codes: tuple[int, ...]) -> str:
    """Sorted numbers, three or more consecutive ones as a range: `1, 2, 5-9`."""
    runs = groupby(enumerate(sorted(codes)), lambda pair: pair[1] - pair[0])
    found = [[code for _, code in run] for _, run in runs]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in found)


def test_no_code_is_in_the_table_twice() -> None:
    codes = Counter(code for group in TABLE for code in group.codes)
    assert [code for code, times in codes.items() if times > 1] == []


def test_classes_are_of_the_closed_list() -> None:
    assert {group.error_class for group in TABLE} == set(labels.ERROR_CLASS.values)


def test_an_application_error_has_no_effect_on_the_status() -> None:
    assert {group.effect for group in TABLE if group.error_class == "application"} == {Effect.NONE}
    assert not [group for group in TABLE if group.error_class == "application" and group.from_start]


def test_every_fatal_code_is_counted_from_0() -> None:
    fatal = {str(code) for group in TABLE if group.effect is Effect.FAILED for code in group.codes}
    assert fatal <= set(FROM_START)
    assert len(FROM_START) == len(set(FROM_START)) == 12


@pytest.mark.parametrize("code", ["13", "31", "43", "45"])
def test_errors_of_programs_are_not_hardware_errors(code: str) -> None:
    assert error_class("xid", code) == "application"


@pytest.mark.parametrize("source_and_code", [("xid", "4711"), ("xid", "other"), ("driver", "13")])
def test_an_unknown_code_is_a_hardware_error_without_effect(source_and_code: tuple[str, str]) -> None:
    assert error_class(*source_and_code) == "hardware"
    assert effect(*source_and_code) is Effect.NONE


def test_the_page_has_every_rule_in_its_order() -> None:
    assert section("Status") == [f"| `{rule.name}` | `{rule.state}` | {rule.text} |" for rule in RULES]


def test_the_page_has_every_code() -> None:
    lines = []
    for group in sorted(TABLE, key=lambda group: min(group.codes)):
        status = "" if group.effect is Effect.NONE else group.effect.value
        from_start = "yes" if group.from_start else ""
        lines.append(f"| {spans(group.codes)} | {group.error_class} | {status} | {from_start} | {group.meaning} |")
    assert section("Codes") == lines
