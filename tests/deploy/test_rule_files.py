"""The shipped rules as files: valid, of known families and labels, and with a section in the runbooks for each."""

import re
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml

from collectors import catalog
from collectors.metric import Metric, Subject
from deploy.prometheus.src.files import FILES, alerts
from deploy.prometheus.src.rule import RUNBOOKS, Alert, Record, Severity
from exporter import families
from exporter import severity as check
from tests.doubles.prometheus import tool
from tests.doubles.promql import ambiguous_joins, parts, selectors
from tools import gen_alerts
from tools.gen_chart import stale
from tools.queries import QUERIES, Query

ROOT = Path(__file__).parents[2]
RULES = [rule for groups in FILES.values() for group in groups for rule in group.rules]
RECORDS = [rule for rule in RULES if isinstance(rule, Record)]
FAMILIES: dict[str, tuple[Metric, Subject]] = {
    row.name(subject): (row, subject) for row in (*catalog.ROWS, *families.ROWS) for subject in row.subjects
}
ADDED_BY_PROMETHEUS = {"cluster", "instance", "job", "node"}
ALL_LABELS = ADDED_BY_PROMETHEUS.union(
    *families.SUBJECT_LABELS.values(), *({label.name for label in row.labels} for row, _ in FAMILIES.values())
)
# Queries inside the texts of alerts, with `%q` for a value.
TEXT_QUERY = re.compile(r"printf `(.*?)`")
TEXT_LABEL = re.compile(r"\$labels\.(\w+)|\.Labels\.(\w+)")


def queries(rule: Alert | Record) -> list[str]:
    texts = f"{rule.summary} {rule.description}" if isinstance(rule, Alert) else ""
    return [rule.expr, *(query.replace("%q", '"x"') for query in TEXT_QUERY.findall(texts))]


def test_files_are_what_the_records_give() -> None:
    assert stale(gen_alerts.files()) == []
    for folder in (gen_alerts.RULES, gen_alerts.CHART_RULES):
        assert {path.name for path in folder.iterdir()} == set(FILES)


def test_files_are_valid_for_prometheus() -> None:
    command = [tool("promtool"), "check", "rules", *map(str, sorted(gen_alerts.RULES.iterdir()))]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_asks_only_for_families_and_labels_that_exist(rule: Alert | Record) -> None:
    external = {"up", *(rule.external if isinstance(rule, Alert) else ())}
    for selector in (each for query in queries(rule) for each in selectors(query)):
        name = selector.name
        assert name is not None
        if name not in external:
            row, subject = FAMILIES[name]
            known = {*families.SUBJECT_LABELS[subject], *(label.name for label in row.labels), *ADDED_BY_PROMETHEUS}
            assert {matcher.name for matcher in selector.matchers.matchers} <= known


@pytest.mark.parametrize("rule", [*RULES, *QUERIES], ids=lambda rule: rule.name)
def test_one_device_with_several_series_makes_no_rule_an_error(rule: Alert | Record | Query) -> None:
    assert ambiguous_joins(promql_parser.parse(rule.expr)) == []


# AcceleratorExporterAbsent also compares without a cluster where one side has none: test_alert_situations.py.
@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.name != "AcceleratorExporterAbsent"], ids=lambda rule: rule.name
)
def test_what_has_the_same_name_in_two_clusters_is_compared_by_cluster(rule: Alert | Record) -> None:
    for part in parts(rule.expr):
        modifier = getattr(part, "modifier", None)
        matching = getattr(modifier, "matching", modifier)
        labels = set(getattr(matching, "labels", ()))
        if labels & {"node", "model", "namespace"}:
            assert "cluster" in labels


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_texts_of_an_alert_use_labels_that_exist(alert: Alert) -> None:
    used = {name for found in TEXT_LABEL.findall(alert.summary + alert.description) for name in found if name}
    assert used <= ALL_LABELS


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_alert_about_a_device_names_its_pods(alert: Alert) -> None:
    about_a_device = "$labels.uuid" in alert.summary + alert.description
    assert ("accelerator_allocation_info" in alert.description) == (
        about_a_device and alert.name != "AcceleratorExportedTwice"
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_needs_only_default_sets_or_names_the_set(rule: Alert | Record) -> None:
    for name in FAMILIES.keys() & {selector.name for query in queries(rule) for selector in selectors(query)}:
        row, subject = FAMILIES[name]
        if row.opt_in(subject):
            assert isinstance(rule, Alert)
            assert f"`{row.metric_set_of(subject).value}`" in rule.meaning


def test_names_are_unique_and_those_of_the_field() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    levels = {record.name.split(":")[0] for record in RECORDS if ":" in record.name}
    assert levels == {"namespace_pod", "namespace", "node"}
    for alert in alerts():
        assert alert.name.startswith("Accelerator")


def test_every_alert_has_a_section_with_what_to_do() -> None:
    page = (ROOT / RUNBOOKS).read_text(encoding="utf-8")
    for alert in alerts():
        assert alert.document()["annotations"]["runbook_url"] == f"{RUNBOOKS}#{alert.name.lower()}"
        section = page.split(f"\n## {alert.name}\n")[1].split("\n## ")[0]
        assert alert.meaning in section
        for text in (*alert.look, *alert.action):
            assert f"- {text}\n" in section
        assert alert.look
        assert alert.action


def test_an_alert_about_a_device_is_as_severe_as_the_page_the_log_and_the_check_say() -> None:
    words = {check.Severity.ERROR: Severity.CRITICAL, check.Severity.WARNING: Severity.WARNING}
    by_name = {alert.name: alert for alert in alerts()}
    of_states = [alert for alert in by_name.values() if "accelerator_device_status" in alert.expr]
    assert len(of_states) == len({"lost", "failed", "degraded"})
    for alert in of_states:
        (states,) = {
            matcher.value
            for each in selectors(alert.expr)
            for matcher in each.matchers.matchers
            if matcher.name == "state"
        }
        assert {words[check.OF_STATES[state]] for state in states.split("|")} == {alert.severity}
    assert by_name["AcceleratorDeviceStuck"].severity is words[check.OF_HANGING]
    assert by_name["AcceleratorThrottled"].severity is Severity.WARNING


def test_the_rule_for_alertmanager_leaves_only_critical_alerts_about_a_device() -> None:
    (text,) = re.findall(r"```yaml\n(inhibit_rules:.*?)```", (ROOT / RUNBOOKS).read_text(encoding="utf-8"), re.DOTALL)
    rule, of_links = yaml.safe_load(text)["inhibit_rules"]
    (source,) = rule["source_matchers"]
    name, _ = rule["target_matchers"]
    left, stopped = (re.compile(matcher.removeprefix("alertname=~").strip('"')) for matcher in (source, name))
    assert {a.name for a in alerts() if left.fullmatch(a.name)} == {
        a.name for a in alerts() if a.severity is Severity.CRITICAL and a.name.startswith("AcceleratorDevice")
    }
    assert all(stopped.fullmatch(alert.name) for alert in alerts())
    assert of_links["source_matchers"] == rule["source_matchers"]
    (target,) = of_links["target_matchers"]
    assert target.removeprefix("alertname=").strip('"') in {alert.name for alert in alerts()}
