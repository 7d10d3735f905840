"""A snapshot of everything on the status page: shared, free, partitioned and lost devices, faults, hostile names."""

from collections.abc import Mapping

from collectors import catalog
from collectors.contract import Device, Partition, Reason, Sample, SubjectKey
from collectors.metric import Metric
from exporter.snapshot import Allocation, AttributionHealth, CollectorHealth, Container, Snapshot

NOW = 1_700_000_000.0
GIB = 1 << 30

WHOLE = "GPU-5f0c1b7a-2f55-4c6e-9d1e-6a1f00000001"
SHARED = "GPU-5f0c1b7a-2f55-4c6e-9d1e-6a1f00000002"
PARTITIONED = "GPU-5f0c1b7a-2f55-4c6e-9d1e-6a1f00000003"
LOST = "GPU-5f0c1b7a-2f55-4c6e-9d1e-6a1f00000004"
FREE = "amd-41d1f3a2-8c60-5b1e-8a43-90ce00000005"
HELD_PART = "MIG-aaaaaaaa-0000-4000-8000-000000000001"
FREE_PART = "MIG-aaaaaaaa-0000-4000-8000-000000000002"

SCRIPT = "<script>document.title='run'</script>"
QUOTES = "\"'><img src=x onerror=\"document.title='run'\">"
LONG = "p" * 253


def sample(metric: Metric, value: float, device: str, part: str = "", label: str = "") -> Sample:
    """One value, with at most one label of its metric."""
    return Sample(metric, device, value, part, (label,) if label else ())


def edge(device: str, pod: str, part: str = "", namespace: str = "ml", container: str = "main") -> Allocation:
    """The allocation of a device or partition to a container."""
    resource = "nvidia.com/gpu"
    return Allocation(Container(namespace, pod, container), SubjectKey(device, part), resource, "device_plugin")


def collector(
    name: str, devices: int = 0, errors: Mapping[Reason, int] | None = None, **state: bool
) -> CollectorHealth:
    """A collector's health; its last success was 2 s before `NOW` if it is or was up."""
    asked = {"present": True, "up": True, "late": False, "released": False, **state}
    return CollectorHealth(
        name=name,
        present=asked["present"],
        up=asked["up"],
        late=asked["late"],
        released=asked["released"],
        devices=devices,
        duration_seconds=0.012,
        last_success_timestamp_seconds=NOW - 2 if devices else None,
        errors={**dict.fromkeys(Reason, 0), **(errors or {})},
    )


def _device(uuid: str, address: str, *, lost: bool = False, model: str = "NVIDIA H100 80GB HBM3") -> Device:
    vendor = uuid[:3].lower().replace("gpu", "nvidia")
    return Device(uuid, address, vendor, model, lost=lost)


def _readings(uuid: str, ratio: float, used_gib: float, watts: float, celsius: float) -> list[Sample]:
    return [
        sample(catalog.STATUS_STATE, 1, uuid, label="ok"),
        sample(catalog.STATUS_STATE, 0, uuid, label="failed"),
        sample(catalog.UTILIZATION, ratio, uuid),
        sample(catalog.MEMORY_USAGE, used_gib * GIB, uuid),
        sample(catalog.MEMORY_LIMIT, 80 * GIB, uuid),
        sample(catalog.POWER, watts, uuid),
        sample(catalog.TEMPERATURE, celsius, uuid, label="core"),
        sample(catalog.TEMPERATURE, celsius + 12, uuid, label="memory"),
    ]


def _part_readings(part: str, ratio: float, used_gib: float) -> list[Sample]:
    return [
        sample(catalog.UTILIZATION, ratio, PARTITIONED, part),
        sample(catalog.MEMORY_USAGE, used_gib * GIB, PARTITIONED, part),
        sample(catalog.MEMORY_LIMIT, 10 * GIB, PARTITIONED, part),
    ]


def _allocations() -> tuple[Allocation, ...]:
    return (
        edge(WHOLE, "llama-finetune-0", container="trainer"),
        *(edge(SHARED, f"notebook-{number}", namespace="lab") for number in range(6)),
        edge(SHARED, SCRIPT, namespace="lab"),
        edge(SHARED, QUOTES, namespace="evil"),
        edge(SHARED, LONG, namespace="evil"),
        edge(PARTITIONED, "embedder-7c9f5d6b8-x2x7k", HELD_PART),
        edge(LOST, "llama-finetune-1", container="trainer"),
    )


def rich() -> Snapshot:
    """Five devices of two vendors, one of them with two partitions, one shared by nine, one unallocated, one lost."""
    devices = (
        _device(LOST, "0000:0d:00.0", lost=True),
        _device(WHOLE, "0000:04:00.0"),
        _device(SHARED, "0000:07:00.0"),
        _device(PARTITIONED, "0000:0a:00.0"),
        _device(FREE, "0000:c3:00.0", model="AMD Instinct MI300X"),
    )
    return Snapshot(
        devices={device.uuid: device for device in devices},
        partitions={part: Partition(part, PARTITIONED, "1g.10gb") for part in (HELD_PART, FREE_PART)},
        samples=(
            *_readings(WHOLE, 0.934, 71.25, 641.4, 66),
            *_readings(SHARED, 0.004, 12, 118, 41),
            *(s for s in _readings(PARTITIONED, 0, 3, 180, 44) if s.metric is not catalog.UTILIZATION),
            *_part_readings(HELD_PART, 0.5, 3),
            *_part_readings(FREE_PART, 0, 0),
            sample(catalog.STATUS_STATE, 1, LOST, label="failed"),
            sample(catalog.ALLOCATED, 1, LOST),
            sample(catalog.ALLOCATED, 1, PARTITIONED),
            sample(catalog.ALLOCATED, 0, PARTITIONED, FREE_PART),
            sample(catalog.ALLOCATED, 0, FREE),
            sample(catalog.STATUS_STATE, 1, FREE, label="predicted_failure"),
            sample(catalog.UTILIZATION, 0, FREE),
            sample(catalog.TEMPERATURE, 38, FREE, label="memory"),
            sample(catalog.TEMPERATURE, 45, FREE, label="hotspot"),
        ),
        allocations=_allocations(),
        collectors=(
            collector("amd", 1, up=False, errors={Reason.UNAVAILABLE: 3}),
            collector("nvidia", 4, errors={Reason.DEVICE_LOST: 12, Reason.LATE: 1}, up=False, late=True),
            collector("tpu", present=False, up=False),
        ),
        attribution=(AttributionHealth("podresources", up=True, last_success_timestamp_seconds=NOW - 4),),
        unmatched={"nvidia.com/gpu": 2},
        ready=True,
    )
