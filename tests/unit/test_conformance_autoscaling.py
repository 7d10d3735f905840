"""`conformance --autoscaling` against a real API server over TLS, and `--watch` against an endpoint under a load."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.conformance.command import Scraping
from exporter.conformance.scrape import parse_target
from tests.doubles.conformance_run import ConformanceRun, conformance
from tests.doubles.kubernetes_api import ApiServerDouble, Refusal
from tests.doubles.metrics_endpoint import GOOD, MetricsEndpoint, response

HPA = "/apis/autoscaling/v2/namespaces/serving/horizontalpodautoscalers/inference"
GROUP = "/apis/custom.metrics.k8s.io"
VALUES = f"{GROUP}/v1beta2/namespaces/serving/pods/*/accelerator_utilization"
TEST = "TestPodAutoscaling"
METRIC = {"type": "Pods", "pods": {"metric": {"name": "accelerator_utilization"}}}


def autoscaler(replicas: int, *metrics: dict[str, Any], active: str = "True") -> dict[str, Any]:
    return {
        "spec": {"metrics": list(metrics or (METRIC,))},
        "status": {
            "desiredReplicas": replicas,
            "conditions": [{"type": "ScalingActive", "status": active, "reason": "ValidMetricFound", "message": "m"}],
        },
    }


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServerDouble]:
    with ApiServerDouble(tmp_path) as server:
        item = {"describedObject": {"kind": "Pod", "name": "inference-0"}, "value": "700m"}
        server.objects[HPA] = autoscaler(1)
        server.objects[GROUP] = {"preferredVersion": {"version": "v1beta2"}}
        server.objects[VALUES] = {"items": [item]}
        yield server


class Stage:
    """What happens at each wait of the watch: the load, and the replicas that the autoscaler wants."""

    def __init__(self, api: ApiServerDouble | None = None) -> None:
        self.now = 0.0
        self.utilization: Sequence[float] = [0.1]
        self.replicas: Sequence[float] = [1]
        self.api = api

    def sleep(self, _seconds: float) -> None:
        self.now += 2.0
        if self.api is not None:
            self.api.objects[HPA] = autoscaler(int(self.at(self.replicas)))

    def at(self, values: Sequence[float]) -> float:
        return values[min(int(self.now / 2.0), len(values) - 1)]

    def answer(self, _request: str) -> bytes:
        return response(GOOD.replace("0.5", str(self.at(self.utilization))))

    @property
    def scraping(self) -> Scraping:
        return Scraping(deadline_seconds=5.0, clock=lambda: self.now, sleep=self.sleep)


def judged(stage: Stage, *arguments: str) -> ConformanceRun:
    with MetricsEndpoint(stage.answer) as endpoint:
        server = None if stage.api is None else stage.api.server
        return conformance(endpoint.url, *arguments, server=server, scraping=stage.scraping)


def product(run: ConformanceRun, section: str) -> dict[str, Any]:
    [entry] = yaml.safe_load(run.output["files"]["PRODUCT.yaml"])["spec"][section]
    return dict(entry)


def test_a_load_that_raises_utilization_is_seen() -> None:
    stage = Stage()
    stage.utilization = [0.1, 0.12, 0.1, 0.1, 0.9, 0.95]
    run = judged(stage, "--watch=1m")
    assert (run.code, stage.now) == (0, 10.0)  # it ends when the load is seen
    [line] = run.subtests("PASS")["TestUtilizationFollowsLoad/UtilizationRises"]["lines"]
    assert "accelerator_utilization_ratio of uuid=a was 0.12 before and 0.95 after" in line
    assert run.errors == "Read the utilization before the load. Start the load now.\n"
    entry = product(run, "observability")
    assert "and during a load" in entry["notes"]
    assert "file://junit.xml#TestUtilizationFollowsLoad" in entry["evidence"]


@pytest.mark.parametrize(
    "utilization",
    [
        [0.1, 0.1, 0.1, 0.15],
        [0.9, 0.9, 0.9, 0.95],
        [0.1, 0.1, 0.1, *([0.9, 0.1] * 40)],
        [0.1, 0.9, 0.1, 0.9, 0.9],
        [0.1, 0.1, 0.1, float("inf")],
        [0.1, 0.1, 0.1, 90.0],
    ],
    ids=["no load", "busy before", "one peak after the other", "as busy before", "infinite", "percent"],
)
def test_a_load_that_is_not_seen_is_a_failure(utilization: list[float]) -> None:
    stage = Stage()
    stage.utilization = utilization
    run = judged(stage, "--watch=1m")
    assert (run.code, stage.now) == (1, 60.0)
    failure = run.subtests("FAIL")["TestUtilizationFollowsLoad/UtilizationRises"]
    assert "Within 60 s no utilization rose" in failure["lines"][0]
    assert "start the load after the message" in failure["needed"]


@pytest.mark.parametrize(("busy", "code"), [(0.9, 0), (0.15, 1), (90.0, 1)])
def test_the_load_of_mig_instances_in_dcgm_exporter_is_a_ratio(busy: float, code: int) -> None:
    stage = Stage()
    stage.utilization = [0.1, 0.1, 0.1, busy]

    def answer(request: str) -> bytes:
        return stage.answer(request).replace(b"accelerator_utilization_ratio", b"DCGM_FI_PROF_GR_ENGINE_ACTIVE")

    with MetricsEndpoint(lambda request: lengthened(answer(request))) as endpoint:
        assert conformance(endpoint.url, "--watch=1m", scraping=stage.scraping).code == code


def lengthened(answer: bytes) -> bytes:
    """The response with the length that its body has now."""
    return response(answer.partition(b"\r\n\r\n")[2])


def test_the_load_may_be_on_any_node_behind_a_name() -> None:
    idle, busy = Stage(), Stage()
    busy.utilization = [0.1, 0.1, 0.1, 0.9]
    with MetricsEndpoint(idle.answer) as first, MetricsEndpoint(busy.answer) as second, MetricsEndpoint(b"") as third:
        nodes = [parse_target(each.url, None) for each in (first, second, third)]
        scraping = busy.scraping._replace(targets=lambda _target: nodes)
        assert conformance(first.url, "--watch=1m", scraping=scraping).code == 0
        assert conformance(first.url, "--watch=10s", scraping=idle.scraping).code == 1


def test_exporters_that_hang_do_not_prolong_the_watch() -> None:
    stage = Stage()

    def hang(_request: str) -> bytes:
        stage.now += 5.0
        return b""

    with MetricsEndpoint(stage.answer) as judged_one, MetricsEndpoint(hang) as hanging:
        targets = [parse_target(hanging.url, None)] * 64
        scraping = stage.scraping._replace(targets=lambda _target: targets)
        assert conformance(judged_one.url, "--watch=30s", scraping=scraping).code == 1
    assert stage.now <= 45.0


def test_an_endpoint_that_fails_while_it_is_watched_is_a_gap() -> None:
    stage = Stage()
    stage.utilization = [0.1, 0.1, 0.1, float("nan"), 0.9, 0.9]
    assert judged(stage, "--watch=1m").code == 0


def test_an_autoscaler_with_values_is_not_yet_one_that_scales(api: ApiServerDouble) -> None:
    run = judged(Stage(api), "--autoscaling=serving/inference")
    assert (run.code, run.subtests("FAIL")) == (0, {})
    lines = run.subtests("PASS")[f"{TEST}/CustomMetric/accelerator_utilization"]["lines"]
    assert lines == ["1 pod has accelerator_utilization: inference-0 has 700m."]
    assert set(run.subtests("SKIP")) >= {f"{TEST}/ScaleUp", f"{TEST}/ScaleDown"}
    entry = product(run, "schedulingOrchestration")
    assert (entry["id"], entry["status"]) == ("pod_autoscaling", "")
    assert entry["notes"] == "Not shown by this run: ScaleUp, ScaleDown."


def test_scaling_up_and_down_is_seen(api: ApiServerDouble) -> None:
    stage = Stage(api)
    stage.utilization = [0.1, 0.1, 0.1, 0.9]
    stage.replicas = [1, 1, 1, 1, 1, 3, 3, 2]
    run = judged(stage, "--autoscaling=serving/inference", "--watch=10m")
    assert (run.code, stage.now) == (0, 14.0)
    assert run.subtests("PASS")[f"{TEST}/ScaleUp"]["lines"] == ["The desired replicas were 1, 3, 2."]
    assert f"{TEST}/ScaleDown" in run.subtests("PASS")
    assert run.errors.count("\n") == 2
    assert product(run, "schedulingOrchestration")["status"] == "Implemented"


def test_scaling_that_is_not_seen_is_a_failure(api: ApiServerDouble) -> None:
    stage = Stage(api)
    stage.utilization = [0.1, 0.1, 0.1, 0.9]
    stage.replicas = [1, 1, 1, 1, 1, 3]
    run = judged(stage, "--autoscaling=serving/inference", "--watch=1m")
    assert (run.code, set(run.subtests("FAIL"))) == (1, {f"{TEST}/ScaleDown"})
    assert "end the load" in run.subtests("FAIL")[f"{TEST}/ScaleDown"]["needed"]


def forbid(api: ApiServerDouble) -> None:
    api.refused["object"] = Refusal(403)


def forget_adapter(api: ApiServerDouble) -> None:
    del api.objects[GROUP]


def no_values(api: ApiServerDouble) -> None:
    api.objects[VALUES] = {"items": []}


def no_autoscaler(api: ApiServerDouble) -> None:
    api.objects.clear()


def only_cpu(api: ApiServerDouble) -> None:
    api.objects[HPA] = autoscaler(1, {"type": "Resource", "resource": {"name": "cpu"}})


def inactive(api: ApiServerDouble) -> None:
    api.objects[HPA] = autoscaler(1, active="False")


def strange(api: ApiServerDouble) -> None:
    api.objects[HPA] = {"spec": [], "status": "none"}


@pytest.mark.parametrize(
    ("break_it", "subtest", "says", "needs"),
    [
        (forbid, "HorizontalPodAutoscaler", "403", "conformance.autoscaling"),
        (no_autoscaler, "HorizontalPodAutoscaler", "404", "the object"),
        (forget_adapter, "CustomMetric/accelerator_utilization", "404", "prometheus-adapter"),
        (no_values, "CustomMetric/accelerator_utilization", "No pod has", "for each pod"),
        (only_cpu, "CustomMetric", "no metric but those of resources", "of the type Pods"),
        (inactive, "ScalingActive", "False: ValidMetricFound. m", "reads its metrics"),
        (strange, "CustomMetric", "no metric", "of the type Pods"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_missing_is_named(
    api: ApiServerDouble, break_it: Callable[[ApiServerDouble], None], subtest: str, says: str, needs: str
) -> None:
    break_it(api)
    run = judged(Stage(api), "--autoscaling=serving/inference")
    failure = run.subtests("FAIL")[f"{TEST}/{subtest}"]
    assert run.code == 1
    assert says in failure["lines"][0]
    assert needs in failure["needed"]
    assert product(run, "observability")["status"] == "Implemented"
    assert product(run, "schedulingOrchestration")["status"] == ""


@pytest.mark.parametrize(("current", "code"), [([], 1), (["queue_length"], 0)])
def test_a_metric_of_another_type_counts_if_the_autoscaler_has_its_value(
    api: ApiServerDouble, current: list[str], code: int
) -> None:
    external = {"type": "External", "external": {"metric": {"name": "queue_length"}}}
    api.objects[HPA] = autoscaler(1, external)
    api.objects[HPA]["status"]["currentMetrics"] = [
        {"type": "External", "external": {"metric": {"name": name}}} for name in current
    ]
    assert judged(Stage(api), "--autoscaling=serving/inference").code == code


@pytest.mark.parametrize("name", ["a/../b", "\ud800", "a b\n--- FAIL: x", "x" * 9999])
def test_the_name_of_a_metric_cannot_break_the_files(api: ApiServerDouble, name: str) -> None:
    metric = {"type": "Pods", "pods": {"metric": {"name": name}}}
    api.objects[HPA] = autoscaler(1, metric)
    run = judged(Stage(api), "--autoscaling=serving/inference")
    assert run.code == 1
    [path] = {call.path for call in api.calls if "/pods/*/" in call.path}
    assert path.startswith(f"{GROUP}/v1beta2/namespaces/serving/pods/*/")
    assert "/" not in path.rpartition("/pods/*/")[2]
    [failed] = run.subtests("FAIL")
    assert failed.startswith(f"{TEST}/CustomMetric/")
    assert failed.isprintable()
    assert " " not in failed
    assert "--- FAIL: x" not in run.output["files"]["e2e.log"].splitlines()
    product(run, "schedulingOrchestration")


def test_outside_a_pod_there_is_no_api_server() -> None:
    run = judged(Stage(), "--autoscaling=serving/inference")
    assert (run.code, run.output) == (2, {})
    assert "--autoscaling: there is no KUBERNETES_SERVICE_HOST" in run.errors
