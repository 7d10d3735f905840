"""Each alert, evaluated by promtool: it fires, does not fire, survives a failed scrape, and ends with its series."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from deploy.prometheus.src.files import alerts
from tests.doubles.promtool import complaints
from tests.doubles.rule_tests import DEVICE, EXPORTER, PARTITION, PEER, STEP_SECONDS, Case, Series
from tools.gen_alerts import RULES

_READ = Series(f"accelerator_device_temperature_celsius{{{DEVICE}}}", 50)


def _status(state: str, value: float) -> Series:
    return Series(f'accelerator_device_status{{{DEVICE},state="{state}"}}', value)


def _errors(step: float, code: str = "79", cause: str = "hardware") -> Series:
    return Series(f'accelerator_device_errors_total{{{DEVICE},source="xid",code="{code}",class="{cause}"}}', 0, step)


def _memory_errors(kind: str, step: float) -> Series:
    return Series(f'accelerator_device_memory_errors_total{{{DEVICE},kind="{kind}"}}', 0, step)


def _throttle(reason: str, value: float) -> Series:
    return Series(f'accelerator_device_throttle_active{{{DEVICE},reason="{reason}"}}', value)


def _links(labels: str, state: str, value: float) -> Series:
    return Series(f'accelerator_device_interconnect_links{{{labels},fabric="nvlink",state="{state}"}}', value)


def _of(family: str, value: float, step: float = 0, labels: str = DEVICE) -> Series:
    return Series(f"accelerator_{family}{{{labels}}}", value, step)


def _load(busy: float, subject: str = "device", labels: str = DEVICE) -> tuple[Series, Series]:
    return (
        _of(f"{subject}_busy_seconds_total", 0, STEP_SECONDS * busy, labels),
        _of(f"{subject}_observed_seconds_total", 0, STEP_SECONDS, labels),
    )


def _sensor(family: str, value: float, sensor: str = "core", limit: str = "") -> Series:
    of_limit = f',limit="{limit}"' if limit else ""
    return Series(f'accelerator_device_temperature_{family}celsius{{{DEVICE},sensor="{sensor}"{of_limit}}}', value)


def _exporter(family: str, value: float, labels: str = "", step: float = 0) -> Series:
    return Series(f"{family}{{{EXPORTER}{labels}}}", value, step)


def _node(resource: str, value: float) -> Series:
    # The labels node and instance are those of the node and of kube-state-metrics.
    labels = f'node="node-{{0}}",instance="ksm",resource="{resource}"'
    return Series(f"kube_node_status_allocatable{{{labels}}}", value)


_BUILD = _exporter("accelerator_exporter_build_info", 1, ',version="1"')
_UP = _exporter("up", 1)

CASES: Mapping[str, Case] = {
    "AcceleratorDeviceLost": Case(
        3, (_status("failed", 1),), (_status("failed", 1), _READ), labels=f'{DEVICE},state="failed"'
    ),
    "AcceleratorDeviceFailed": Case(
        4,
        (
            _status("failed", 1),
            _READ,
            _of("device_recovery_action", 1, labels=f'{DEVICE},action="reset"'),
        ),
        (_status("failed", 0), _READ),
        labels=f'{DEVICE},state="failed"',
        quiet_at=1,
        listed={"recovery_action": "reset"},
    ),
    "AcceleratorDeviceDegraded": Case(
        6,
        (_status("degraded", 1), _status("failed", 0), _status("predicted_failure", 0)),
        (_status("degraded", 0), _status("ok", 1), _status("failed", 1)),
        quiet_at=4,
        labels=f'{DEVICE},state="degraded"',
    ),
    "AcceleratorHardwareError": Case(
        5,
        (_errors(1), _errors(2, "48"), _errors(0, "62")),
        (_errors(0), _errors(1, "43", "application")),
        listed={"errors_total": "xid 48, xid 79"},
        ends_after=11,
    ),
    "AcceleratorUncorrectedMemoryErrors": Case(
        5,
        (_memory_errors("uncorrected", 1), _memory_errors("corrected", 5)),
        (_memory_errors("uncorrected", 0), _memory_errors("corrected", 5), _memory_errors("deferred", 1)),
        ends_after=11,
    ),
    "AcceleratorMemoryRepairFailed": Case(
        6, (_of("device_memory_repair_failed", 1),), (_of("device_memory_repair_failed", 0),), quiet_at=4
    ),
    "AcceleratorMemoryRepairPending": Case(
        11, (_of("device_memory_repair_pending", 1),), (_of("device_memory_repair_pending", 0),), quiet_at=9
    ),
    "AcceleratorThrottled": Case(
        17,
        (_throttle("thermal", 1), _throttle("hardware", 1), _throttle("external", 0)),
        (_throttle("power", 1), _throttle("thermal", 0)),
        quiet_at=14,
        ends_after=6,
        listed={"throttle_active": "hardware, thermal"},
    ),
    "AcceleratorHot": Case(
        6,
        (
            _sensor("margin_", 4, limit="slowdown"),
            _sensor("", 93, "memory"),
            _sensor("limit_", 95, "memory", "maximum"),
            _sensor("limit_", 105, "memory", "shutdown"),
        ),
        (_sensor("margin_", 6, limit="slowdown"), _sensor("", 80), _sensor("limit_", 95, limit="slowdown")),
        quiet_at=4,
        value="2",
    ),
    "AcceleratorMemoryNearlyFull": Case(
        16,
        (
            _of("partition_memory_usage_bytes", 96, labels=PARTITION),
            _of("partition_memory_limit_bytes", 100, labels=PARTITION),
            _of("device_memory_usage_bytes", 99),
            _of("device_memory_limit_bytes", 100),
            _of("device_partitions", 7),
        ),
        (_of("device_memory_usage_bytes", 95), _of("device_memory_limit_bytes", 100), _of("device_partitions", 0)),
        labels=PARTITION,
        identity=PARTITION,
        quiet_at=14,
        value="96%",
    ),
    "AcceleratorLinkDown": Case(
        12,
        (_links(DEVICE, "down", 2), _links(DEVICE, "up", 0), _links(PEER, "down", 0), _links(PEER, "up", 18)),
        (_links(DEVICE, "down", 12), _links(DEVICE, "up", 0)),
        quiet_at=9,
        value="2",
    ),
    "AcceleratorPcieLinkDegraded": Case(
        17,
        (_of("device_pcie_link_width", 8), _of("device_pcie_link_width", 16, labels=PEER), *_load(0.9)),
        (_of("device_pcie_link_width", 16), _of("device_pcie_link_width", 8, labels=PEER), *_load(0.9)),
        quiet_at=14,
        ends_after=11,
    ),
    "AcceleratorIdle": Case(
        61,
        (*_load(0), _of("device_allocations", 2)),
        (*_load(0), _of("device_allocations", 0)),
        quiet_at=50,
        ends_after=8,
    ),
    "AcceleratorCollectorDown": Case(
        6,
        (_exporter("accelerator_exporter_collector_up", 0, ',collector="nvidia"'),),
        (_exporter("accelerator_exporter_collector_up", 1, ',collector="nvidia"'),),
        labels=f'{EXPORTER},collector="nvidia"',
        quiet_at=4,
    ),
    "AcceleratorDeviceStuck": Case(
        3,
        (_exporter("accelerator_exporter_device_stuck_seconds", 90, ',collector="nvidia",uuid="GPU-{0}"'),),
        (_exporter("accelerator_exporter_device_stuck_seconds", 50, ',collector="nvidia",uuid="GPU-{0}"'),),
        labels=f'{EXPORTER},collector="nvidia",uuid="GPU-{{0}}"',
        value="1m 30s",
    ),
    "AcceleratorAttributionDown": Case(
        6,
        (_exporter("accelerator_exporter_attribution_up", 0, ',source="podresources"'),),
        (_exporter("accelerator_exporter_attribution_up", 1, ',source="podresources"'),),
        labels=f'{EXPORTER},source="podresources"',
        quiet_at=4,
    ),
    "AcceleratorUnmatchedDevices": Case(
        16,
        (
            _exporter("accelerator_exporter_unmatched_devices", 2, ',resource="nvidia.com/gpu"'),
            _exporter("accelerator_exporter_unmatched_devices", 1, ',resource="example.com/gpu"'),
        ),
        (_exporter("accelerator_exporter_unmatched_devices", 0, ',resource="nvidia.com/gpu"'),),
        labels=EXPORTER,
        quiet_at=14,
        value="3",
    ),
    "AcceleratorClaimsUnresolved": Case(
        16,
        (_exporter("accelerator_exporter_unresolved_claim_devices", 1, ',driver="gpu.nvidia.com"'),),
        (_exporter("accelerator_exporter_unresolved_claim_devices", 0, ',driver="gpu.nvidia.com"'),),
        labels=EXPORTER,
        quiet_at=14,
        value="1",
    ),
    "AcceleratorExportedTwice": Case(
        16,
        (_of("device_info", 1), _of("device_info", 1, labels=DEVICE.replace('job="', 'job="other-'))),
        (_of("device_info", 1),),
        labels='uuid="GPU-{0}"',
        quiet_at=14,
    ),
    "AcceleratorExporterDown": Case(8, (_exporter("up", 0), _BUILD), (_UP, _BUILD), labels=EXPORTER, quiet_at=4),
    "AcceleratorExporterAbsent": Case(
        16,
        (_node("nvidia_com_gpu", 8), _node("nvidia_com_mig_1g_10gb", 7), _node("cpu", 64)),
        (_node("nvidia_com_gpu", 8), _UP, _BUILD),
        labels='node="node-{0}"',
        quiet_at=14,
    ),
}

# Other ways to fire, and not to.
FURTHER: Sequence[tuple[str, Case]] = (
    (
        "AcceleratorDeviceDegraded",
        Case(
            6,
            (_status("predicted_failure", 1), _errors(1)),
            (_status("ok", 1),),
            labels=f'{DEVICE},state="predicted_failure"',
            listed={"errors_total": "xid 79"},
        ),
    ),
    (
        "AcceleratorHot",
        Case(6, (_sensor("margin_", -1, limit="slowdown"),), (_sensor("", 95),), value="-1"),
    ),
    (
        "AcceleratorMemoryNearlyFull",
        Case(
            16,
            (_of("device_memory_usage_bytes", 98), _of("device_memory_limit_bytes", 100), _of("device_partitions", 0)),
            (_of("device_memory_usage_bytes", 98), _of("device_memory_limit_bytes", 100), _of("device_partitions", 7)),
            value="98%",
        ),
    ),
    (
        "AcceleratorPcieLinkDegraded",  # with the set `limits`: the peers do not matter
        Case(
            17,
            (_of("device_pcie_link_generation", 3), _of("device_pcie_link_max_generation", 5), *_load(0.5)),
            (
                *(_of(f"device_pcie_link_{name}width", 8) for name in ("", "max_")),
                _of("device_pcie_link_width", 16, labels=PEER),
                *_load(0.5),
            ),
            ends_after=11,
        ),
    ),
    (
        "AcceleratorPcieLinkDegraded",  # an idle link has a lower generation
        Case(
            17,
            (_of("device_pcie_link_generation", 3), _of("device_pcie_link_generation", 5, labels=PEER), *_load(0.5)),
            (_of("device_pcie_link_generation", 1), _of("device_pcie_link_max_generation", 5), *_load(0)),
            ends_after=11,
        ),
    ),
    (
        "AcceleratorIdle",
        Case(
            61,
            (*_load(0.001, "partition", PARTITION), _of("partition_allocated", 1, labels=PARTITION)),
            (*_load(0.02, "partition", PARTITION), _of("partition_allocated", 1, labels=PARTITION)),
            labels=PARTITION,
            identity=PARTITION,
            ends_after=8,
        ),
    ),
    (
        "AcceleratorExporterAbsent",  # AcceleratorExporterDown has fired for the other one
        Case(
            30,
            (_node("amd_com_cpx_nps4", 8),),
            (_node("amd_com_gpu", 8), _exporter("up", 0), replace(_BUILD, minutes=5)),
            labels='node="node-{0}"',
        ),
    ),
)


def test_every_alert_fires_and_ends_as_it_should(tmp_path: Path) -> None:
    by_name = {alert.name: alert for alert in alerts()}
    documents = [case.unit_test(by_name[name]) for name, case in (*CASES.items(), *FURTHER)]
    assert complaints([RULES / "alerts.yaml"], documents, tmp_path) == ""


def test_every_alert_has_its_case() -> None:
    assert list(CASES) == [alert.name for alert in alerts()]
