"""The table of codes, and the page that documents it and the rules of the status."""

from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from collectors import labels
from collectors.nvidia.status import RECOMMENDED, REQUIRED, RULES
from collectors.nvidia.xid import FROM_START, TABLE, Effect, effect, error_class

COPY_ENGINES = (39, 40, 41, 70, 71, 72, 75, 76, 77, 85, *range(126, 136))
VIDEO_ENGINES = (47, 65, 73, 82, 83, 84, 86, 88, 89, *range(96, 106), 139, 142)
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


def test_codes_that_are_counted_from_0_need_an_alert() -> None:
    assert len(FROM_START) == len(set(FROM_START)) == 12
    assert {error_class("xid", code) for code in FROM_START} == {"hardware"}
    assert Effect.NONE not in {effect("xid", code) for code in FROM_START}


@pytest.mark.parametrize("code", [8, 13, 25, 31, 43, 45, 66, 67, 106, 107, 108, 137])
def test_errors_of_programs_are_not_hardware_errors(code: int) -> None:
    assert error_class("xid", str(code)) == "application"


@pytest.mark.parametrize(
    "code",
    [11, 32, 37, 44, 60, 68, 69, *COPY_ENGINES, *VIDEO_ENGINES, 80, 93, 109, 141],
)
def test_codes_without_the_program_in_the_list_of_causes_are_not_its_errors(code: int) -> None:
    assert (error_class("xid", str(code)), effect("xid", str(code)) is Effect.FAILED) == ("hardware", False)


@pytest.mark.parametrize("code", [46, 62, 64, 79, 95, 110, 119, 120, 136, 140, 143, 155, 158, 168, 169])
def test_device_that_must_be_reset_has_failed(code: int) -> None:
    assert effect("xid", str(code)) is Effect.FAILED


@pytest.mark.parametrize("code", [109, 156])
def test_device_that_works_until_its_reset_is_degraded(code: int) -> None:
    assert effect("xid", str(code)) is Effect.DEGRADED


@pytest.mark.parametrize("source_and_code", [("xid", "4711"), ("xid", "other"), ("driver", "13")])
def test_an_unknown_code_is_a_hardware_error_without_effect(source_and_code: tuple[str, str]) -> None:
    assert error_class(*source_and_code) == "hardware"
    assert effect(*source_and_code) is Effect.NONE


def test_the_page_has_every_rule_in_its_order() -> None:
    assert section("Status") == [f"| `{rule.name}` | `{rule.state}` | {rule.said.text} |" for rule in RULES]


def test_the_page_has_every_code() -> None:
    lines = []
    for group in sorted(TABLE, key=lambda group: min(group.codes)):
        status = "" if group.effect is Effect.NONE else group.effect.value
        from_start = "yes" if group.from_start else ""
        lines.append(f"| {spans(group.codes)} | {group.error_class} | {status} | {from_start} | {group.meaning} |")
    assert section("Codes") == lines


# What is said of them depends on the action or the event.
GENERAL = {"recovery_required", "fatal_event", "recovery_advised", "hardware_event"}


def test_the_page_says_what_to_do_in_the_words_of_the_status_page_and_the_log() -> None:
    codes: dict[str, list[int]] = {}
    for group in TABLE:
        codes.setdefault(group.advice, []).extend(group.codes)
    actions = (REQUIRED | RECOMMENDED).items()
    expected = [
        *(f'| `recovery_action{{action="{name}"}}` | {said.do} |' for name, said in actions),
        *(f"| Rule `{rule.name}` | {rule.said.do} |" for rule in RULES if rule.name not in GENERAL),
        *(
            f"| XID {spans(tuple(sorted(numbers)))} | {advice} |"
            for advice, numbers in sorted(codes.items(), key=lambda item: min(item[1]))
        ),
    ]
    assert section("What to do")[: len(expected)] == expected
