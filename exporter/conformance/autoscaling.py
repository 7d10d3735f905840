"""Whether a HorizontalPodAutoscaler scales on a custom metric, as KAR-0057 asks.

Source: kars/0057-hpa-autoscaling-for-ai-workloads of kubernetes-sigs/ai-conformance. The fields are those of
autoscaling/v2 and of custom.metrics.k8s.io: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/.
"""

from dataclasses import dataclass
from urllib.parse import quote

from collectors.wording import counted
from exporter.attribution.api_error import ApiError, ApiForbiddenError, ApiNotFoundError
from exporter.attribution.json_fields import JsonObject, child, children, integer, text
from exporter.attribution.kubernetes_api import KubernetesApi
from exporter.conformance.outcome import ConformanceTest, Subtest, failed, passed, skipped

TEST = "TestPodAutoscaling"
_CUSTOM_METRICS = "/apis/custom.metrics.k8s.io"
_PODS, _RESOURCES = "Pods", ("Resource", "ContainerResource")


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """The name of a HorizontalPodAutoscaler."""

    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/apis/autoscaling/v2/namespaces/{quote(self.namespace)}/horizontalpodautoscalers/{quote(self.name)}"


class ScalingWatch:
    """Reads an autoscaler again and again, and what it reads.

    Args:
        api: The API server.
        autoscaler: What is watched.
    """

    def __init__(self, api: KubernetesApi, autoscaler: Autoscaler) -> None:
        self._api = api
        self._autoscaler = autoscaler
        self._object: JsonObject = {}
        self._error: ApiError | None = None
        self._replicas: list[int] = []

    @property
    def seen(self) -> bool:
        """Whether replicas have been added and removed again."""
        return self._scaled_up and self._scaled_down

    @property
    def _scaled_up(self) -> bool:
        return bool(self._replicas) and max(self._replicas) > self._replicas[0]

    @property
    def _scaled_down(self) -> bool:
        return bool(self._replicas) and self._replicas[-1] < max(self._replicas)

    def observe(self) -> None:
        """Read the autoscaler once; what fails is kept for the result."""
        try:
            self._object = self._api.get(self._autoscaler.path)
            self._error = None
        except ApiError as error:
            self._error = error
            return
        desired = integer(child(self._object, "status"), "desiredReplicas")
        if desired is not None:
            self._replicas.append(desired)

    def test(self, watched_seconds: float) -> ConformanceTest:
        """The result.

        Args:
            watched_seconds: How long was watched; 0 for not at all.
        """
        where = f"{self._autoscaler.namespace}/{self._autoscaler.name}"
        context = f"The rules are those of KAR-0057, for the HorizontalPodAutoscaler {where}."
        if self._error is not None:
            return ConformanceTest(TEST, (context,), (_refused("HorizontalPodAutoscaler", self._error),))
        metrics = [each for each in children(self._object, "spec", "metrics") if text(each, "type") not in _RESOURCES]
        if not metrics:
            remedy = "a metric of the type Pods, such as accelerator_utilization: see deploy/autoscaling"
            subtest = failed("CustomMetric", "The autoscaler reads no metric but those of resources.", remedy)
            return ConformanceTest(TEST, (context,), (subtest,))
        subtests = [self._values(each) for each in metrics]
        return ConformanceTest(TEST, (context,), (*subtests, self._active(), *self._scaling(watched_seconds)))

    def _values(self, metric: JsonObject) -> Subtest:
        """Whether a metric has values: of type Pods by its API, else as the autoscaler says."""
        kind = text(metric, "type")
        name = text(child(metric, _field(kind), "metric"), "name")
        subtest = f"CustomMetric/{name}" if name else "CustomMetric"
        if kind != _PODS:
            current = {
                text(child(each, _field(kind), "metric"), "name")
                for each in children(self._object, "status", "currentMetrics")
            }
            if name in current:
                return passed(subtest, f"The autoscaler has a value of {name}, of the type {kind}.")
            return failed(subtest, f"The autoscaler has no value of {name}, of the type {kind}.", "its metrics server")
        try:
            version = _version(self._api.get(_CUSTOM_METRICS))
            pods = f"namespaces/{quote(self._autoscaler.namespace)}/pods/*/{quote(name, safe='', errors='replace')}"
            items = list(children(self._api.get(f"{_CUSTOM_METRICS}/{version}/{pods}"), "items"))
        except ApiError as error:
            return _refused(subtest, error)
        if items:
            first = f"{text(child(items[0], 'describedObject'), 'name')} has {text(items[0], 'value')}"
            return passed(subtest, f"{counted(len(items), 'pod has', 'pods have')} {name}: {first}.")
        remedy = f"a value of {name} for each pod: see the rule for prometheus-adapter in deploy/autoscaling"
        return failed(subtest, f"No pod has {name} in custom.metrics.k8s.io.", remedy)

    def _active(self) -> Subtest:
        name = "ScalingActive"
        for condition in children(self._object, "status", "conditions"):
            if text(condition, "type") == name:
                line = f"{name} is {text(condition, 'status')}: {text(condition, 'reason')}."
                if text(condition, "status") == "True":
                    return passed(name, line)
                return failed(name, f"{line} {text(condition, 'message')}", "an autoscaler that reads its metrics")
        return failed(name, f"The autoscaler has no condition {name}.", "a controller that acts on it")

    def _scaling(self, watched_seconds: float) -> tuple[Subtest, Subtest]:
        seen = f"The desired replicas were {_changes(self._replicas)}."
        steps = (("ScaleUp", self._scaled_up, "start a load"), ("ScaleDown", self._scaled_down, "end the load"))
        subtests: list[Subtest] = []
        for name, done, action in steps:
            if done:
                subtests.append(passed(name, seen))
            elif watched_seconds:
                advice = f"{action} while --watch runs; the autoscaler waits for its stabilization window"
                subtests.append(failed(name, f"Not seen within {watched_seconds:g} s. {seen}", advice))
            else:
                subtests.append(skipped(name, f"Not watched: repeat with --watch, and {action}."))
        return subtests[0], subtests[1]


def _field(kind: str) -> str:
    """The field of a metric of this type: `pods`, `object`, `external`."""
    return kind[:1].lower() + kind[1:]


def _version(group: JsonObject) -> str:
    """The version to use of an API group."""
    preferred = text(child(group, "preferredVersion"), "version")
    return preferred or next((text(each, "version") for each in children(group, "versions")), "v1beta1")


def _changes(replicas: list[int]) -> str:
    changes = [now for before, now in zip([None, *replicas], replicas, strict=False) if now != before]
    return ", ".join(map(str, changes)) or "unknown"


def _refused(name: str, error: ApiError) -> Subtest:
    remedy = "an API server that answers"
    if isinstance(error, ApiForbiddenError):
        remedy = "the right to get it: the chart gives it with conformance.autoscaling"
    elif isinstance(error, ApiNotFoundError):
        remedy = "the object; for custom.metrics.k8s.io an adapter such as prometheus-adapter: see deploy/autoscaling"
    return failed(name, str(error), remedy)
