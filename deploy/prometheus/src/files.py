"""Which rules are in which file."""

from collections.abc import Mapping

from deploy.prometheus.src import exporter_alerts, health_alerts, openshift, records, use_alerts
from deploy.prometheus.src.rule import Alert, Group

ALERTS = (health_alerts.GROUP, use_alerts.GROUP, exporter_alerts.GROUP)
FILES: Mapping[str, tuple[Group, ...]] = {
    "alerts.yaml": ALERTS,
    "recording.yaml": records.GROUPS,
    "openshift-names.yaml": openshift.GROUPS,
}


def alerts() -> tuple[Alert, ...]:
    """All alerts, in the order of their groups."""
    return tuple(rule for group in ALERTS for rule in group.rules if isinstance(rule, Alert))
