"""Alerts about the exporter: what it does not see, and where it is missing.

Expressions take the last value of two minutes or a longer window, so that a missed scrape neither delays nor ends an
alert.
"""

from deploy.prometheus.src.annotation import PODS
from deploy.prometheus.src.rule import Alert, Group, Severity
from tools.queries import EXPORTED_TWICE

_POD_LOG = "The log of the exporter's pod on that node, and its status page."
_CHECK = "`accelerator-exporter check`, executed in that pod: what is missing, and how to repair it."


def _down(matchers: str = "") -> str:
    """Targets that are down and have exported this within a day: a scrape job may have other targets too."""
    return f"""max_over_time(up{matchers}[2m]) == 0
  and on (job, instance)
    last_over_time(accelerator_exporter_build_info[1d])"""


def _seen(matchers: str = "") -> str:
    """Exporters that are scraped, and those for which AcceleratorExporterDown fires."""
    return f"""(
    last_over_time(accelerator_exporter_build_info{matchers}[5m])
  or
    {_down(matchers)}
)"""


# Names as kube-state-metrics writes them. Allocatable devices show a node of a device plugin. The labels, of NVIDIA's
# GPU operator and of node feature discovery, show the others, if kube-state-metrics is configured to export them.
_RESOURCES = "nvidia_com_(gpu|mig_).*|amd_com_(gpu|[a-z]+_nps[0-9]+)"
_NODES = f"""max by (cluster, node) (
    last_over_time(kube_node_status_allocatable{{resource=~"{_RESOURCES}"}}[2m]) > 0
  or
    last_over_time(kube_node_labels{{label_nvidia_com_gpu_present="true"}}[2m])
  or
    last_over_time(kube_node_labels{{label_feature_node_kubernetes_io_amd_gpu="true"}}[2m])
)"""

_COLLECTOR = Alert(
    "AcceleratorCollectorDown",
    "last_over_time(accelerator_exporter_collector_up[2m]) == 0",
    "5m",
    Severity.CRITICAL,
    "The collector {{ $labels.collector }} on {{ $labels.instance }} fails or is late",
    "Nothing new is known of its devices. The status page and the log of the exporter on this node give the reason.",
    "The exporter cannot read the devices of a vendor on this node: library or driver fails, or a call does not "
    "return. Readings and status of these devices are absent, so no other alert about them can fire.",
    (
        "`increase(accelerator_exporter_collector_errors_total[15m])`, by `reason`.",
        _POD_LOG,
        _CHECK,
    ),
    (
        (
            "[A collector is down](troubleshooting.md#a-collector-is-down) has a remedy for each reason; "
            "[a collector is late](troubleshooting.md#a-collector-is-late) if the reason is `late`."
        ),
        (
            "During the upgrade of a driver this is expected: "
            "[the hardware is released](troubleshooting.md#the-hardware-is-released)."
        ),
    ),
)
_STUCK = Alert(
    "AcceleratorDeviceStuck",
    "last_over_time(accelerator_exporter_device_stuck_seconds[2m]) > 60",
    "1m",
    Severity.CRITICAL,
    "The driver does not answer about the device {{ $labels.uuid }} on {{ $labels.instance }}",
    f"A call has not returned for {{{{ $value | humanizeDuration }}}}. {PODS}",
    "A call of the driver about one device does not return, and nothing new is known of it. Other devices are read. "
    "Programs on the device probably hang too.",
    (
        "[A device is stuck](troubleshooting.md#a-device-is-stuck).",
        "`dmesg` on the node, lines with `NVRM`, `Xid` or `amdgpu`; whether `nvidia-smi` or `amd-smi` hangs too.",
    ),
    (
        "If they hang: cordon the node, drain it, and reset the device or reboot.",
        "Otherwise wait: when the call returns, the alert ends.",
    ),
)
_ATTRIBUTION = Alert(
    "AcceleratorAttributionDown",
    "last_over_time(accelerator_exporter_attribution_up[2m]) == 0",
    "5m",
    Severity.CRITICAL,
    "The exporter on {{ $labels.instance }} does not know which pods hold the devices",
    "The source {{ $labels.source }} does not answer. Series of containers and allocations are absent.",
    "The kubelet does not answer the exporter. Readings of devices go on, but nobody is charged for them, and "
    "autoscaling by devices stands still on this node.",
    (_POD_LOG, _CHECK, "Whether the kubelet of that node works: `kubectl get node`."),
    (
        "[The kubelet does not answer](troubleshooting.md#the-kubelet-does-not-answer).",
        "A machine outside Kubernetes has no kubelet, and the alert does not end: silence it for such machines.",
    ),
)
_UNMATCHED = Alert(
    "AcceleratorUnmatchedDevices",
    "sum without (resource) (last_over_time(accelerator_exporter_unmatched_devices[2m])) > 0",
    "15m",
    Severity.WARNING,
    "Allocated device ids on {{ $labels.instance }} that match no device: {{ $value }}",
    "Their pods have no series, and devices may look free that are not. The log of the exporter names the ids and the "
    "pods.",
    "The kubelet lists devices of pods that the exporter cannot find among the devices that it reads. Either it cannot "
    "see these devices, or their device plugin uses a form of id that it does not know.",
    ("`accelerator_exporter_unmatched_devices`, by `resource`.", _POD_LOG, _CHECK),
    ("[Allocated ids match no device](troubleshooting.md#allocated-ids-match-no-device).",),
)
_CLAIMS = Alert(
    "AcceleratorClaimsUnresolved",
    "sum without (driver) (last_over_time(accelerator_exporter_unresolved_claim_devices[2m])) > 0",
    "15m",
    Severity.WARNING,
    "{{ $value }} devices of resource claims on {{ $labels.instance }} are not resolved",
    "Their pods have no series, and it is unknown whether the devices that they may be are free.",
    "Pods hold devices through resource claims (DRA), and the exporter cannot find out which devices these are.",
    ("`accelerator_exporter_unresolved_claim_devices`, by `driver`.", _CHECK),
    ("[Attribution](attribution.md) says what each driver needs: the CDI directories, or access to the API server.",),
)
_TWICE = Alert(
    "AcceleratorExportedTwice",
    EXPORTED_TWICE,
    "15m",
    Severity.WARNING,
    "Several exporters export the device {{ $labels.uuid }}",
    "Every sum counts this device twice, or its values alternate.",
    "Two exporters read the same device: two variants of the manifests on one node, or the same target in two scrape "
    "jobs.",
    (
        "`accelerator_device_info` of the device: `job` and `instance` of both.",
        "`kubectl get pods -A -o wide -l app.kubernetes.io/name=accelerator-exporter`: two pods on one node.",
    ),
    ("[A device is exported twice](troubleshooting.md#a-device-is-exported-twice).",),
)
_EXPORTER_DOWN = Alert(
    "AcceleratorExporterDown",
    _down(),
    "5m",
    Severity.WARNING,
    "The exporter on {{ $labels.instance }} cannot be scraped",
    "Nothing is known of the devices of this node, and no other alert about them can fire.",
    "Prometheus has the exporter as a target, and no scrape has succeeded for minutes. A target that has never been "
    "scraped, or not within a day, is not included: AcceleratorExporterAbsent finds these.",
    (
        "The error of the target on the page Targets of Prometheus.",
        "`kubectl -n accelerator-exporter get pods -o wide` and the log of the pod on that node.",
    ),
    (
        (
            "Connection refused or timed out: the pod does not run, or the NetworkPolicy does not admit Prometheus, "
            "see [Network policy](installation.md#network-policy)."
        ),
        "401 or a TLS error: see [web configuration](web-configuration.md).",
        "The pod restarts: [exit codes](troubleshooting.md#exit-codes).",
    ),
)
# A node is compared within its cluster. The label may be missing on one side: kube-state-metrics often lacks a label
# that the exporters have, or has one that they lack. Then the name of the node decides alone.
_ABSENT = Alert(
    "AcceleratorExporterAbsent",
    f"""{_NODES}
unless on (cluster, node) {_seen()}
unless on (cluster, node) max by (node) {_seen()}
unless on (node) {_seen('{cluster=""}')}""",
    "15m",
    Severity.WARNING,
    "The node {{ $labels.node }} has accelerators and no exporter",
    "Nothing is known of the devices of this node, and no other alert about them can fire.",
    "kube-state-metrics reports a node with accelerators, and no exporter on it is scraped. Nodes are found by their "
    "allocatable devices of NVIDIA or AMD or, where devices are claimed through DRA, by the node labels "
    "`nvidia.com/gpu.present` and `feature.node.kubernetes.io/amd-gpu`. kube-state-metrics exports labels only if its "
    "option `--metric-labels-allowlist` names them. The series of the exporter need the label `node`, which the "
    "shipped scrape configurations set.",
    (
        "`kubectl -n accelerator-exporter get daemonset,pods -o wide`: whether a pod should be on that node.",
        "`kubectl describe node`: labels and taints, compared with the node affinity of the DaemonSet.",
    ),
    (
        "No pod: a group of nodes is missing, see [Node groups](installation.md#node-groups).",
        "A pod that runs, and no target: see [Prometheus](installation.md#5-prometheus).",
    ),
    external=("kube_node_status_allocatable", "kube_node_labels"),
)

GROUP = Group(
    "accelerator-exporter",
    (_COLLECTOR, _STUCK, _ATTRIBUTION, _UNMATCHED, _CLAIMS, _TWICE, _EXPORTER_DOWN, _ABSENT),
)
