"""Parts of the texts of alerts: lists that Prometheus fills in when the alert fires.

The lists are queries of their own. As labels, the pods would make several alerts of one shared device, and a new alert
whenever a pod ends.
"""

# Text for every alert about a device: `instance` is the node's name with the shipped scrape configurations.
DEVICE = "{{ $labels.model }} {{ $labels.device }} on {{ $labels.instance }}"
UUID = "The device is {{ $labels.uuid }}."
PARTITION = UUID.removesuffix(".") + "{{ with $labels.partition_uuid }}, the partition {{ . }}{{ end }}."


def listed(query: str, labels: str, shown: str, sort_by: str) -> str:
    """A template that lists the elements of a query, or says none.

    Args:
        query: PromQL with `%q` for each label of the alert.
        labels: The labels of the alert that it inserts, such as `$labels.uuid`.
        shown: What of an element is shown; `$one` is the element.
        sort_by: The label that decides on the order.
    """
    return (
        f'{{{{ range $number, $one := query (printf `{query}` {labels}) | sortByLabel "{sort_by}" }}}}'
        f"{{{{ if $number }}}}, {{{{ end }}}}{shown}{{{{ else }}}}none{{{{ end }}}}"
    )


def _pods(what: str, matchers: str, labels: str, window: str) -> str:
    query = f"count by (namespace, pod) (last_over_time(accelerator_allocation_info{{{matchers}}}[{window}]))"
    shown = "{{ $one.Labels.namespace }}/{{ $one.Labels.pod }}"
    return f"{what}: {listed(query, labels, shown, 'pod')}."


# The pods that hold the device or a partition of it, those that held it in the last minutes, those on the partition.
PODS = _pods("Pods", "uuid=%q", "$labels.uuid", "2m")
RECENT_PODS = _pods("Pods of the last 10 minutes", "uuid=%q", "$labels.uuid", "10m")
PARTITION_PODS = _pods("Pods", "uuid=%q,partition_uuid=%q", "$labels.uuid $labels.partition_uuid", "2m")

RECOVERY = "Action that the driver requires: {}.".format(
    listed(
        'last_over_time(accelerator_device_recovery_action{uuid=%q,action!="none"}[2m]) == 1',
        "$labels.uuid",
        "{{ $one.Labels.action }}",
        "action",
    )
)


def _events(what: str, window: str) -> str:
    query = f'increase(accelerator_device_errors_total{{uuid=%q,class="hardware"}}[{window}]) > 0'
    return f"{what}: {listed(query, '$labels.uuid', '{{ $one.Labels.source }} {{ $one.Labels.code }}', 'code')}."


EVENTS = _events("Hardware errors", "10m")
EVENTS_BEFORE = _events("Hardware errors of the last hour", "1h")
THROTTLE_REASONS = "Reasons: {}.".format(
    listed(
        'avg_over_time(accelerator_device_throttle_active{uuid=%q,reason!="power"}[5m]) > 0.5',
        "$labels.uuid",
        "{{ $one.Labels.reason }}",
        "reason",
    )
)
