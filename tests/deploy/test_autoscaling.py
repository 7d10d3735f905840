"""The shipped autoscalers: valid objects, the documented query, and how long a decision takes."""

import copy
import itertools
import math
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import yaml

from tests.doubles.adapter import expression, of_pods, rule
from tests.doubles.keda import trigger_in
from tests.doubles.kustomize import Manifest, read, refused
from tests.doubles.prometheus import Prometheus, serving, tool
from tests.doubles.promql import selectors
from tests.doubles.scraping import write_configuration
from tools.chart import CHART, ROOT, manifests
from tools.queries import QUERIES

AUTOSCALING = ROOT / "deploy" / "autoscaling"
PRESETS = {"Default": AUTOSCALING, "Fast": AUTOSCALING / "fast"}
PAGE = (ROOT / "docs" / "autoscaling.md").read_text()
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
TARGET = 0.7
BUSY = "accelerator_container_busy_seconds_total"
LABELS = '{namespace="serving",pod="inference-7d9c5b8f4c-x2k7p",container="server",uuid="GPU-1"}'


def preset_object(preset: str, name: str) -> Manifest:
    (content,) = read(PRESETS[preset] / f"{name}.yaml")
    found: Manifest = content
    return found


def window_seconds(query: str) -> int:
    """The only window of a query."""
    ((number, unit),) = set(re.findall(r"\[(\d+)([sm])\]", query))
    return int(number) * {"s": 1, "m": 60}[unit]


def duration_seconds(text: str) -> int:
    return window_seconds(f"[{text}]")


@pytest.fixture(params=PRESETS)
def preset(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_built_in_objects_match_the_kubernetes_schema(preset: str) -> None:
    autoscaler = preset_object(preset, "horizontalpodautoscaler")
    (deployment,) = read(AUTOSCALING / "deployment.yaml")
    assert refused([autoscaler, deployment], VERSIONS) == []


def test_scaled_object_matches_the_schema_of_keda(preset: str) -> None:
    scaled = preset_object(preset, "scaledobject")
    (schema,) = read(Path(__file__).parent / "scaledobject.schema.yaml")
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(scaled)
    for change in ({"ignoreNullValue": "false"}, {"threshold": 0.7}, {"ignoreNullValues": False}):
        wrong = copy.deepcopy(scaled)
        wrong["spec"]["triggers"][0]["metadata"] |= change
        assert not validator.is_valid(wrong)


def test_both_autoscalers_behave_in_the_same_way(preset: str) -> None:
    """The behavior that KEDA passes on is one that Kubernetes accepts, because the autoscaler has it too."""
    scaled, autoscaler = (preset_object(preset, name)["spec"] for name in ("scaledobject", "horizontalpodautoscaler"))
    assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == autoscaler["behavior"]
    assert scaled["scaleTargetRef"] == autoscaler["scaleTargetRef"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (
        autoscaler["minReplicas"],
        autoscaler["maxReplicas"],
    )
    assert scaled["minReplicaCount"] >= 1, "this metric cannot start the first replica"
    (trigger,) = scaled["triggers"]
    (metric,) = autoscaler["metrics"]
    assert trigger["metricType"] == metric["pods"]["target"]["type"] == "AverageValue"
    assert float(trigger["metadata"]["threshold"]) == TARGET
    assert metric["pods"]["target"]["averageValue"] == f"{TARGET * 1000:.0f}m"


def test_the_deployment_is_the_one_that_is_scaled(preset: str) -> None:
    (deployment,) = read(AUTOSCALING / "deployment.yaml")
    metadata = deployment["metadata"]
    for name in ("scaledobject", "horizontalpodautoscaler"):
        scaler = preset_object(preset, name)
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == (deployment["kind"], metadata["name"])
        assert scaler["metadata"]["namespace"] == metadata["namespace"]
    assert "replicas" not in deployment["spec"]
    query = preset_object(preset, "scaledobject")["spec"]["triggers"][0]["metadata"]["query"]
    assert set(re.findall(r'namespace="([^"]+)"', query)) == {metadata["namespace"]}


@pytest.mark.parametrize(
    ("pod", "selected"),
    [
        ("inference-7d9c5b8f4c-x2k7p", True),
        ("inference-5c6d8b9f7-bb2zq", True),
        ("inference-batch-7d9c5b8f4c-x2k7p", False),
        ("inference-batch-x2k7p", False),
        ("inference-vllm-x2k7p", False),  # of a DaemonSet or a Job whose name has no vowels
        ("inference-7d9c5b8f4c-x2k7p-extra", False),
        ("my-inference-7d9c5b8f4c-x2k7p", False),
        ("inference-0", False),
    ],
)
def test_only_pods_of_the_deployment_are_selected(preset: str, pod: str, *, selected: bool) -> None:
    query = preset_object(preset, "scaledobject")["spec"]["triggers"][0]["metadata"]["query"]
    (pattern,) = re.findall(r'pod=~"([^"]+)"', query)
    assert bool(re.fullmatch(pattern, pod)) == selected


@pytest.mark.parametrize("cluster", ["east-1", 'a"b'])
def test_pods_of_the_same_name_in_another_cluster_are_not_added(cluster: str) -> None:
    values = {"autoscaling": {"enabled": True}, "monitor": {"enabled": True, "cluster": cluster}}
    (found,) = (each for each in manifests(values) if each["metadata"]["name"].endswith("-autoscaling"))
    (given,) = yaml.safe_load(found["data"]["scaledobject.yaml"])["spec"]["triggers"]
    asked = selectors(given["metadata"]["query"])
    assert {matcher.value for each in asked for matcher in each.matchers.matchers if matcher.name == "cluster"} == {
        cluster
    }
    assert all("cluster" in {matcher.name for matcher in each.matchers.matchers} for each in asked)


def test_the_adapter_query_matches_the_documentation() -> None:
    (documented,) = (query.expr for query in QUERIES if "HorizontalPodAutoscaler" in query.name)

    def plain(query: str) -> str:
        return re.sub(r"\s|{}", "", query)

    assert plain(documented) in plain(PAGE)
    assert plain(expression(adapter_rule("Default"), "namespace", "pod")) == plain(documented)


def adapter_rule(preset: str) -> dict[str, Any]:
    return rule(PRESETS[preset] / "prometheus-adapter-rule.yaml")


def test_the_autoscaler_requests_the_metric_of_the_rule(preset: str) -> None:
    (metric,) = preset_object(preset, "horizontalpodautoscaler")["spec"]["metrics"]
    given = adapter_rule(preset)
    assert metric["pods"]["metric"]["name"] == given["name"]["as"]
    assert given["seriesQuery"].partition("{")[0] == given["name"]["matches"].strip("^$") == BUSY
    assert set(given["resources"]["overrides"]) == {"namespace", "pod"}


def test_values_for_fast_decisions_make_the_fast_files() -> None:
    values = yaml.safe_load((CHART / "autoscaling-fast.yaml").read_text())
    found = manifests(values)
    data = next(each["data"] for each in found if each["metadata"]["name"].endswith("-autoscaling"))
    assert data == {name: (AUTOSCALING / "fast" / name).read_text() for name in data}
    monitor = preset_object("Fast", "servicemonitor")["spec"]["endpoints"][0]
    assert (monitor["interval"], monitor["scrapeTimeout"]) == ("5s", "4s")
    (schema,) = read(Path(__file__).parent / "monitor.schema.yaml")
    jsonschema.Draft202012Validator(schema).validate(preset_object("Fast", "servicemonitor"))


def interval_seconds(preset: str) -> int:
    """The scrape interval that a preset expects."""
    if preset == "Fast":
        return duration_seconds(preset_object("Fast", "servicemonitor")["spec"]["endpoints"][0]["interval"])
    return duration_seconds(yaml.safe_load((CHART / "values.yaml").read_text())["monitor"]["interval"])


def test_the_window_may_miss_a_scrape(preset: str) -> None:
    for query in (trigger(preset)["query"], adapter_rule(preset)["metricsQuery"]):
        assert window_seconds(query) >= 3 * interval_seconds(preset)


def test_the_arithmetic_of_the_page_is_correct() -> None:
    rows = re.findall(r"^\| (\d) \| ([\d., ]+) \| ([\d.]+) \| ([\d.]+) \| (\d) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 4
    for replicas, values, total, quotient, wanted in rows:
        each = [float(value) for value in values.split(", ")]
        assert len(each) == int(replicas)
        assert sum(each) == pytest.approx(float(total))
        assert sum(each) / TARGET == pytest.approx(float(quotient), abs=0.005)
        within_tolerance = abs(sum(each) / len(each) / TARGET - 1) <= 0.1
        assert int(wanted) == (int(replicas) if within_tolerance else -int(-sum(each) // TARGET))


class Step(NamedTuple):
    """A step of load: utilization before and after."""

    low: float
    high: float


class Case(NamedTuple):
    """A step of load under a preset, so many seconds after a scrape."""

    preset: str
    step: Step
    phase_seconds: int


STEPS = (Step(0, 1), Step(0.6, 0.85))
CASES = [Case(preset, step, phase) for preset in PRESETS for step in STEPS for phase in range(interval_seconds(preset))]
_BEFORE_SECONDS, _AFTER_SECONDS, _APART_SECONDS = 150, 120, 600
_NEVER_OBSERVED = len(CASES)  # the place of a container whose readings have stopped


def _samples(case: Case, begin: int) -> Iterator[tuple[float, float, float]]:
    """Time, busy and observed seconds of each scrape; each is half a second after a whole one, as queries are not."""
    interval = interval_seconds(case.preset)
    step = step_time(case, begin)
    scrapes = itertools.count(begin + 0.5, interval)
    for at in itertools.takewhile(lambda at: at < step + _AFTER_SECONDS, scrapes):
        yield at, case.step.low * (min(at, step) - begin) + case.step.high * max(0, at - step), at - begin


def step_time(case: Case, begin: int) -> int:
    interval = interval_seconds(case.preset)
    return begin + _BEFORE_SECONDS // interval * interval + case.phase_seconds + 1


def _history(begin: int) -> str:
    """All cases one after the other, as OpenMetrics with timestamps; then a container whose counters stand still."""
    rows = [row for n, case in enumerate(CASES) for row in _samples(case, begin + n * _APART_SECONDS)]
    still = begin + _NEVER_OBSERVED * _APART_SECONDS
    rows += [(still + seconds, 5.0, 9.0) for seconds in range(0, 120, 5)]
    families = []
    for family, column in ((BUSY, 1), (BUSY.replace("busy", "observed"), 2)):
        lines = [f"{family}{LABELS} {row[column]:.3f} {row[0]:.1f}" for row in rows]
        families += [f"# TYPE {family.removesuffix('_total')} counter", *lines]
    return "\n".join([*families, "# EOF", ""])


class History(NamedTuple):
    """A server with the samples of all cases, and the time at which the first case begins."""

    server: Prometheus
    begin: int

    def crossing_seconds(self, number: int, query: str) -> float:
        """How long after the step of a case the query exceeds what Kubernetes tolerates."""
        step = step_time(CASES[number], self.begin + number * _APART_SECONDS)
        exceeds = f"(\n{query}\n) > {TARGET * 1.1}"
        first = f"min_over_time(timestamp({exceeds})[{_AFTER_SECONDS - 30}s:1s])"
        (answer,) = self.server.query(first, step + _AFTER_SECONDS - 30)
        assert not self.server.query(exceeds, step)
        return answer.value - step


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("history")
    begin = int(time.time()) - (len(CASES) + 2) * _APART_SECONDS
    text = folder / "history.txt"
    text.write_text(_history(begin))
    command = [tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "tsdb")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with serving(write_configuration(folder / "prometheus.yml", ())) as server:
        yield History(server, begin)


def trigger(preset: str) -> dict[str, str]:
    return trigger_in((PRESETS[preset] / "scaledobject.yaml").read_text())


def worst_seconds(history: History, preset: str, step: Step, query: str) -> int:
    """The longest time until the query crosses, whenever between two scrapes the load changes."""
    numbers = [n for n, case in enumerate(CASES) if (case.preset, case.step) == (preset, step)]
    return math.ceil(max(history.crossing_seconds(n, query) for n in numbers))


def test_the_page_states_the_time_from_load_to_decision(history: History, preset: str) -> None:
    expected = []
    for step in STEPS:
        keda = worst_seconds(history, preset, step, trigger(preset)["query"])
        pods = re.findall(r'pod="([^"]+)"', LABELS)
        assert keda == worst_seconds(history, preset, step, of_pods(adapter_rule(preset), "serving", *pods))
        reading, sync = 1, 15
        expected += [f"{keda} s", f"{keda + reading + sync} s"]
    assert f"| {preset} | {' | '.join(expected)} |" in PAGE


def test_fast_decisions_take_at_most_30_seconds() -> None:
    (row,) = re.findall(r"^\| Fast \| (\d+ s .*) \|$", PAGE, re.MULTILINE)
    stabilization = preset_object("Fast", "horizontalpodautoscaler")["spec"]["behavior"]["scaleUp"]
    assert stabilization["stabilizationWindowSeconds"] == 0
    assert max(int(cell.removesuffix(" s")) for cell in row.split(" | ")) <= 30


def test_a_container_that_is_not_observed_has_no_value_instead_of_nan(history: History, preset: str) -> None:
    at = history.begin + _NEVER_OBSERVED * _APART_SECONDS + 100
    (busy,) = history.server.query(f"rate({BUSY}[1m])", at)
    assert busy.value == 0
    for query in (trigger(preset)["query"], expression(adapter_rule(preset), "pod")):
        assert history.server.query(query, at) == []
        (answer,) = history.server.query(query.replace(" > 0", ""), at)
        assert math.isnan(answer.value)
