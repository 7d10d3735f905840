"""The page about the alerts, one section for each."""

from collections.abc import Iterable, Sequence

from deploy.prometheus.src.rule import Alert

_INTRODUCTION = """\
<!-- Written by tools/gen_alerts.py from deploy/prometheus/src. Change it there, then run `make docs`. -->

# Runbooks

What each alert in [alerts.yaml](../deploy/prometheus/rules/alerts.yaml) means, where to look, and what to do.
[Rules](installation.md#rules) says how to load them.

| Severity | Meaning |
| --- | --- |
| `critical` | Work on a device has stopped, or devices or pods of a node are no longer seen. Act now |
| `warning` | A device or the exporter does not work as it should. Act today |
| `info` | Capacity is wasted, or may become short. No fault |

The status page, the log and `check` have other words for the same: their `error` is `critical` here, and their
`warning` is `warning`.

Each alert fires once for each device, partition, collector or node, whatever the number of its series and pods. A
missed scrape neither starts nor ends an alert, if the scrape interval is 30 seconds or less. The annotation
`description` names the pods that hold the device, as `namespace/pod`; an alert about an event names those of the last
10 minutes. What is unknown does not fire: without readings an alert about readings ends, and
[AcceleratorCollectorDown](#acceleratorcollectordown) or [AcceleratorExporterDown](#acceleratorexporterdown) fires.

One fault often has several alerts. With these rules Alertmanager sends only the worst about a device, and not that the
links of the other devices to it are down:

```yaml
inhibit_rules:
  - source_matchers: [alertname=~"AcceleratorDevice(Lost|Failed|Stuck)"]
    target_matchers: [alertname=~"Accelerator.+", severity!="critical"]
    equal: [uuid]
  - source_matchers: [alertname=~"AcceleratorDevice(Lost|Failed|Stuck)"]
    target_matchers: [alertname="AcceleratorLinkDown"]
    equal: [instance]
```

| Alert | Severity | After | What has happened |
| --- | --- | --- | --- |
"""


def page(alerts: Sequence[Alert]) -> str:
    """The whole page."""
    return "\n".join((_INTRODUCTION + "".join(map(_row, alerts)), *map(_section, alerts)))


def _row(alert: Alert) -> str:
    first_sentence = alert.meaning.partition(". ")[0].rstrip(".")
    cells = (_link(alert), f"`{alert.severity.value}`", alert.hold or "at once", first_sentence)
    return f"| {' | '.join(cells)} |\n"


def _link(alert: Alert) -> str:
    return f"[{alert.name}](#{alert.name.lower()})"


def _section(alert: Alert) -> str:
    after = f" after {alert.hold}" if alert.hold else ""
    return f"""\
## {alert.name}

`{alert.severity.value}`{after}

{alert.meaning}

**Look**

{_items(alert.look)}
**Do**

{_items(alert.action)}"""


def _items(texts: Iterable[str]) -> str:
    return "".join(f"- {text}\n" for text in texts)
