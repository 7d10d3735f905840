"""The same families with plain prometheus_client, in the two ways in which exporters usually use it."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


class Custom(Collector):
    """A custom collector: creates the families at every scrape.

    Args:
        text: The exposition to reproduce.
    """

    def __init__(self, text: str) -> None:
        self._families = [(family, _label_names(family)) for family in text_string_to_metric_families(text)]

    def collect(self) -> Iterable[Metric]:
        """Every family with its samples."""
        for family, names in self._families:
            made = _empty(family, names)
            for sample in family.samples:
                values = [sample.labels.get(name, "") for name in names]
                if isinstance(made, InfoMetricFamily):
                    made.add_metric(values, {})
                else:
                    made.add_metric(values, sample.value)
            yield made


class Direct:
    """Direct instrumentation: a gauge for each family, whose children are kept and set at every poll.

    Args:
        text: The exposition to reproduce.
    """

    def __init__(self, text: str) -> None:
        self.registry = CollectorRegistry()
        self._gauges: list[tuple[Gauge, Sequence[tuple[tuple[str, ...], float]]]] = []
        for family in text_string_to_metric_families(text):
            names = _label_names(family)
            gauge = Gauge(family.samples[0].name, family.documentation, names, registry=self.registry)
            points = [(tuple(s.labels.get(name, "") for name in names), s.value) for s in family.samples]
            self._gauges.append((gauge, points))

    def poll(self) -> None:
        """Set every child."""
        for gauge, points in self._gauges:
            for values, value in points:
                (gauge.labels(*values) if values else gauge).set(value)


def custom_registry(text: str) -> CollectorRegistry:
    """A registry with the custom collector."""
    registry = CollectorRegistry()
    registry.register(Custom(text))
    return registry


def _empty(family: Metric, names: Sequence[str]) -> CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily:
    if family.type == "counter":
        return CounterMetricFamily(family.name, family.documentation, labels=names)
    if family.name.endswith("_info"):  # the text format has no type info
        return InfoMetricFamily(family.name.removesuffix("_info"), family.documentation, labels=names)
    return GaugeMetricFamily(family.name, family.documentation, labels=names)


def _label_names(family: Metric) -> list[str]:
    return list(dict.fromkeys(name for sample in family.samples for name in sample.labels))
