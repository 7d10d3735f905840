"""The page about conformance says what the command does."""

import re
from pathlib import Path

from exporter.conformance import autoscaling, format_checks, load_watch
from exporter.conformance.accelerator_metrics import TEST
from exporter.conformance.arguments import parser
from exporter.conformance.metric_names import MetricNames, official_flags
from exporter.conformance.official import DEVICE_LABELS, DRAFT_1, DRAFT_2
from exporter.conformance.scrape import DEADLINE_SECONDS, MOST_BYTES, parse_target

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()


def test_every_flag_is_in_the_table_and_no_other() -> None:
    rows = re.findall(r"^\| `(--.*?)` \|", PAGE, re.MULTILINE)
    named = {flag.partition("=")[0] for row in rows for flag in row.split("`, `")}
    options = {option for action in parser()._actions for option in action.option_strings}
    assert named == options - {"-h", "--help"}


def test_every_test_is_in_the_table() -> None:
    assert set(re.findall(r"^\| `(Test\w+)` \|", PAGE, re.MULTILINE)) == {
        TEST,
        format_checks.TEST,
        load_watch.TEST,
        autoscaling.TEST,
    }


def test_the_rules_of_the_drafts_are_described() -> None:
    [labels] = re.findall(r"only if it has a label ([^.]*)\.", PAGE)
    assert re.findall(r"`(\w+)`", labels) == list(DEVICE_LABELS)
    [memory] = re.findall(r"^\| Memory \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert [re.findall(r"`(\w+)`", cell) for cell in memory] == [
        list(DRAFT_1.memory_patterns),
        list(DRAFT_2.memory_patterns),
    ]
    assert f"may take {DEADLINE_SECONDS:g} s and have {MOST_BYTES // 1024**2} MiB" in PAGE


def test_the_flags_of_the_official_test_are_those_that_are_printed() -> None:
    target = parse_target("http://accelerator-exporter.accelerator-exporter.svc:9410/metrics", None)
    names = MetricNames("accelerator_device_utilization_ratio", "accelerator_device_memory_usage_bytes")
    assert target.url in PAGE
    [block] = [block for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) if block.startswith("go test")]
    assert tuple(re.findall(r"^  (-\S+)", block, re.MULTILINE)) == official_flags(target, names)
