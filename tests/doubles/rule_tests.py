"""Test files for `promtool test rules`, made from a table of cases: one unit test for each alert.

Every test has the same subjects, of which each has its own node: `held` and `free` are in the state that fires, and
pods hold the first; `gap` is too, and its scrape failed just when the alert is looked at; `ends` ceases to exist
afterwards; `good` is not in that state, and of `unknown` nothing but its identity is known.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.prometheus.src.rule import Alert

STEP_SECONDS = 30
EXPORTER = 'job="accelerator-exporter",instance="node-{0}",node="node-{0}"'
DEVICE = f'{EXPORTER},uuid="GPU-{{0}}",device="0000:01:00.0",vendor="nvidia",model="H100"'
PEER = DEVICE.replace("GPU-{0}", "GPU-{0}-peer").replace(":01:", ":02:")
PARTITION = f'{DEVICE},partition_uuid="MIG-{{0}}",profile="1g.10gb"'
HOLDERS = ('namespace="a",pod="one"', 'namespace="b",pod="two"')
_STALE, _NONE = "stale", "none"
_PER_MINUTE = 60 // STEP_SECONDS
_LIST = re.compile(r"\{\{ range \$number, \$one := query \(printf `(.*?)`.*?\{\{ else \}\}none\{\{ end \}\}")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a subject.

    Attributes:
        name: The family, with the labels of its own, such as `up{job="x",{0}}`; `{0}` is the subject.
        start: Its first value.
        step: What it rises in 30 seconds.
        minutes: When it ends; 0 for never.
    """

    name: str
    start: float
    step: float = 0
    minutes: int = 0

    def samples(self, count: int) -> list[str]:
        values = [f"{self.start + self.step * number:g}" for number in range(count)]
        return [*values[: self.minutes * _PER_MINUTE], _STALE] if self.minutes else values


@dataclass(frozen=True, slots=True)
class Case:
    """What an alert sees.

    Attributes:
        fires_at: Minutes after which it fires.
        bad: The series with which it fires.
        good: The series with which it does not fire.
        labels: The labels of the alert.
        value: What `$value` is in its texts.
        quiet_at: Minutes after which it does not fire yet.
        ends_after: Minutes after which it no longer fires when the series have ended.
        identity: The labels of the allocation.
        listed: What lists in its texts show, by a word of their query.
    """

    fires_at: int
    bad: Sequence[Series]
    good: Sequence[Series]
    labels: str = DEVICE
    value: str = ""
    quiet_at: int = 0
    ends_after: int = 3
    identity: str = DEVICE
    listed: dict[str, str] = field(default_factory=dict)

    def unit_test(self, alert: Alert) -> dict[str, Any]:
        """The test in promtool's form."""
        end = self.fires_at + self.ends_after + 1
        count = (end + 1) * _PER_MINUTE
        stop = self.fires_at * _PER_MINUTE + 1
        firing = {"held": "a/one, b/two", "free": _NONE, "gap": _NONE}
        return {
            "name": alert.name,
            "interval": f"{STEP_SECONDS}s",
            "input_series": [
                {"series": name, "values": " ".join(values)} for name, values in self._series(count, stop)
            ],
            "alert_rule_test": [
                *([self._expected(alert, self.quiet_at, {})] if self.quiet_at else []),
                self._expected(alert, self.fires_at, {**firing, "ends": _NONE}),
                self._expected(alert, end, firing),
            ],
        }

    def _series(self, count: int, stop: int) -> Iterator[tuple[str, list[str]]]:
        for one in self.bad:
            values = one.samples(count)
            for subject in ("held", "free"):
                yield one.name.replace("{0}", subject), values
            failed = stop - 1
            yield one.name.replace("{0}", "gap"), [*values[:failed], _STALE, *values[failed + 1 :]]
            yield one.name.replace("{0}", "ends"), [*values[:stop], _STALE]
        for one in self.good:
            yield one.name.replace("{0}", "good"), one.samples(count)
        yield f"accelerator_device_info{{{DEVICE.replace('{0}', 'unknown')}}}", ["1"] * count
        for holder in HOLDERS:
            labels = f'{self.identity.replace("{0}", "held")},{holder},container="main"'
            yield f"accelerator_allocation_info{{{labels}}}", ["1"] * count

    def _expected(self, alert: Alert, minutes: int, firing: dict[str, str]) -> dict[str, Any]:
        found = []
        for subject, pods in firing.items():
            labels = dict(_LABEL.findall(self.labels.replace("{0}", subject)))
            document = alert.document()
            annotations = {name: self._filled_in(text, labels, pods) for name, text in document["annotations"].items()}
            found.append({"exp_labels": {**labels, **document["labels"]}, "exp_annotations": annotations})
        return {"eval_time": f"{minutes}m", "alertname": alert.name, "exp_alerts": found}

    def _filled_in(self, text: str, labels: dict[str, str], pods: str) -> str:
        lists = {"accelerator_allocation_info": pods, **self.listed}
        text = _LIST.sub(lambda found: next((each for word, each in lists.items() if word in found[1]), _NONE), text)
        partition = labels.get("partition_uuid")
        inside = f", the partition {partition}" if partition else ""
        text = re.sub(r"\{\{ with \$labels.partition_uuid \}\}.*?\{\{ end \}\}", inside, text)
        text = re.sub(r"\{\{ \$labels.(\w+) \}\}", lambda found: labels[found[1]], text)
        return re.sub(r"\{\{ \$value[^}]*\}\}", self.value, text)
