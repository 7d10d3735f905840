"""The view `dcgm`: the names, units and labels of NVIDIA's dcgm-exporter in Kubernetes mode.

Source of names, types and units: NVIDIA/dcgm-exporter, `etc/default-counters.csv`; of labels and their order:
`internal/pkg/rendermetrics/render_metrics.go` and `internal/pkg/collector/base_collector.go`, of releases up to 4.8.4.
The label `Hostname` was renamed to `hostname` between releases, so both are there.

As in dcgm-exporter, a device with MIG instances has no series of its own: each instance repeats the readings of its
device. GPU_UTIL and the like are absent there, as DCGM does not support them on MIG (issues 50 and 430 of
NVIDIA/dcgm-exporter); power and clocks are those of the whole device (issues 50 and 257).

A series that no container or more than one holds has no labels of a pod.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from collectors import catalog
from collectors.contract import Device, Partition, SubjectKey
from collectors.metric import Kind, Metric, MetricSet, Subject
from exporter.series import ForeignFamily
from exporter.snapshot import Container
from exporter.views import ViewOptions
from exporter.views.arrangement import TableView
from exporter.views.facts import SnapshotFacts
from exporter.views.table import Entity, NumberOfHighest, Row, Scale, Term

READ = frozenset({MetricSet.ACTIVITY, MetricSet.PIPES})

_NVIDIA = ("nvidia",)
_DEVICE = (Subject.DEVICE,)
_EITHER = (Subject.DEVICE, Subject.PARTITION)

_PERCENT = Scale(multiplier=100)
_MEBIBYTES = Scale(divisor=2**20)
_MEGAHERTZ = Scale(divisor=1e6)
_MILLIJOULES = Scale(multiplier=1000)
_NONE_YET = Scale(multiplier=0)

# The labels in their order. Those that are unknown are absent.
LABELS = (
    "gpu",
    "UUID",
    "pci_bus_id",
    "device",
    "modelName",
    "GPU_I_PROFILE",
    "GPU_I_ID",
    "Hostname",
    "hostname",
    "DCGM_FI_DRIVER_VERSION",
    "container",
    "namespace",
    "pod",
)

# NVIDIA's profile of a compute instance with a part of its GPU instance: `1c.3g.40gb`.
_PART_OF_INSTANCE = re.compile(r"^\d+c\.")


def _gauge(name: str, text: str) -> ForeignFamily:
    return ForeignFamily(f"DCGM_FI_{name}", Kind.GAUGE, text)


def _counter(name: str, text: str) -> ForeignFamily:
    return ForeignFamily(f"DCGM_FI_{name}", Kind.COUNTER, text)


def _of_device(metric: Metric, **where: str) -> tuple[Term, ...]:
    return (Term(metric, where, of_device=True),)


def _of_either(metric: Metric, **where: str) -> tuple[Term, ...]:
    return (Term(metric, where),)


_SM_CLOCK = _gauge("DEV_SM_CLOCK", "Clock of the multiprocessors in MHz.")
_GPU_TEMP = _gauge("DEV_GPU_TEMP", "Temperature of the GPU in degrees Celsius.")
_MEMORY_TEMP = _gauge("DEV_MEMORY_TEMP", "Temperature of the memory in degrees Celsius.")
_MEM_COPY_UTIL = _gauge("DEV_MEM_COPY_UTIL", "Utilization of the memory in percent.")
_XID_ERRORS = _gauge("DEV_XID_ERRORS", "Code of the last XID, 0 before the first.")
_FB_FREE = _gauge("DEV_FB_FREE", "Free device memory in MiB.")

_FREE = (Term(catalog.MEMORY_LIMIT), Term(catalog.MEMORY_USAGE, negative=True))

ROWS: tuple[Row, ...] = (
    Row(_SM_CLOCK, _EITHER, _of_device(catalog.CLOCK, domain="sm"), _MEGAHERTZ),
    Row(_SM_CLOCK, _EITHER, _of_device(catalog.CLOCK, domain="core"), _MEGAHERTZ, note="If there is no SM clock."),
    Row(
        _gauge("DEV_MEM_CLOCK", "Clock of the memory in MHz."),
        _EITHER,
        _of_device(catalog.CLOCK, domain="memory"),
        _MEGAHERTZ,
    ),
    Row(_MEMORY_TEMP, _EITHER, _of_device(catalog.TEMPERATURE, sensor="memory")),
    Row(_GPU_TEMP, _EITHER, _of_device(catalog.TEMPERATURE, sensor="core")),
    Row(
        _GPU_TEMP,
        _EITHER,
        _of_device(catalog.TEMPERATURE, sensor="hotspot"),
        note="If there is no sensor of the core, as on AMD Instinct.",
    ),
    Row(_gauge("DEV_POWER_USAGE", "Power drawn by the device in watts."), _EITHER, _of_device(catalog.POWER)),
    Row(
        _counter("DEV_TOTAL_ENERGY_CONSUMPTION", "Energy used by the device in mJ since its driver was loaded."),
        _EITHER,
        _of_device(catalog.ENERGY),
        _MILLIJOULES,
    ),
    Row(
        _counter("DEV_PCIE_REPLAY_COUNTER", "PCIe packets sent again because of link errors."),
        _EITHER,
        _of_device(catalog.PCIE_REPLAYS),
    ),
    Row(
        _gauge("DEV_GPU_UTIL", "Utilization of the device in percent."),
        _DEVICE,
        _of_either(catalog.UTILIZATION),
        _PERCENT,
        note="Not for MIG, as with DCGM.",
    ),
    Row(_MEM_COPY_UTIL, _DEVICE, _of_either(catalog.MEMORY_BUSY), _PERCENT, note="Not for MIG, as with DCGM."),
    Row(
        _MEM_COPY_UTIL,
        _DEVICE,
        _of_either(catalog.MEMORY_BANDWIDTH),
        _PERCENT,
        note="On devices with GPM: the used part of the bandwidth in place of the time in use.",
    ),
    Row(
        _gauge("DEV_ENC_UTIL", "Utilization of the video encoder in percent."),
        _DEVICE,
        _of_either(catalog.ENGINE_UTILIZATION, engine="encoder"),
        _PERCENT,
        note="Not for MIG, as with DCGM.",
    ),
    Row(
        _gauge("DEV_DEC_UTIL", "Utilization of the video decoder in percent."),
        _DEVICE,
        _of_either(catalog.ENGINE_UTILIZATION, engine="decoder"),
        _PERCENT,
        note="Not for MIG, as with DCGM.",
    ),
    Row(
        _XID_ERRORS,
        _EITHER,
        _of_device(catalog.ERROR_LAST_TIMESTAMP, source="xid"),
        NumberOfHighest("code"),
        vendors=_NVIDIA,
        note="The last one since the exporter started. It does not return to 0, as with DCGM.",
    ),
    Row(
        _XID_ERRORS,
        _EITHER,
        _of_device(catalog.ERRORS, source="xid"),
        _NONE_YET,
        vendors=_NVIDIA,
        note="0 while there was none.",
    ),
    Row(_FB_FREE, _EITHER, (*_FREE, Term(catalog.MEMORY_RESERVED, negative=True)), _MEBIBYTES),
    Row(
        _FB_FREE,
        _EITHER,
        _FREE,
        _MEBIBYTES,
        note="If the reserved memory is not known: the used memory includes it then.",
    ),
    Row(_gauge("DEV_FB_USED", "Used device memory in MiB."), _EITHER, _of_either(catalog.MEMORY_USAGE), _MEBIBYTES),
    Row(
        _gauge("DEV_FB_RESERVED", "Device memory reserved by driver and firmware in MiB."),
        _EITHER,
        _of_either(catalog.MEMORY_RESERVED),
        _MEBIBYTES,
    ),
    Row(
        _gauge("DEV_FB_TOTAL", "Size of the device memory in MiB."),
        _EITHER,
        _of_either(catalog.MEMORY_LIMIT),
        _MEBIBYTES,
        note="dcgm-exporter does not serve it by default, but many alerts use it.",
    ),
    Row(
        _counter("DEV_UNCORRECTABLE_REMAPPED_ROWS", "Memory rows replaced because of uncorrectable errors."),
        _EITHER,
        _of_device(catalog.MEMORY_REMAPPED_ROWS, kind="uncorrected"),
    ),
    Row(
        _counter("DEV_CORRECTABLE_REMAPPED_ROWS", "Memory rows replaced because of correctable errors."),
        _EITHER,
        _of_device(catalog.MEMORY_REMAPPED_ROWS, kind="corrected"),
    ),
    Row(
        _gauge("DEV_ROW_REMAP_FAILURE", "1 if the replacement of a memory row has failed, else 0."),
        _EITHER,
        _of_device(catalog.MEMORY_REPAIR_FAILED),
    ),
    Row(
        _counter("DEV_NVLINK_BANDWIDTH_TOTAL", "Data sent and received over all NVLinks in MiB."),
        _DEVICE,
        _of_either(catalog.INTERCONNECT_BYTES, fabric="nvlink", link=""),
        _MEBIBYTES,
        vendors=_NVIDIA,
        note="A counter, for rate(). DCGM serves a rate in MiB/s under this name. Absent with the set `links`, which "
        "has each link in place of the sum.",
    ),
    Row(
        _gauge("PROF_GR_ENGINE_ACTIVE", "Fraction of time in which the graphics or compute engine was active, 0 to 1."),
        _EITHER,
        _of_either(catalog.UTILIZATION),
        vendors=_NVIDIA,
        note="Of whole devices it is their utilization, on every architecture; of MIG instances it is from GPM.",
    ),
    *(
        Row(
            _gauge(f"PROF_{name}", text),
            _EITHER,
            _of_either(catalog.PIPE_ACTIVITY, pipe=pipe),
            vendors=_NVIDIA,
            note="Only with GPM.",
        )
        for name, pipe, text in (
            ("SM_ACTIVE", "sm", "Fraction of cycles in which a multiprocessor had work, 0 to 1."),
            ("PIPE_TENSOR_ACTIVE", "tensor", "Fraction of cycles in which the tensor pipe was active, 0 to 1."),
            ("PIPE_FP64_ACTIVE", "fp64", "Fraction of cycles in which the FP64 pipe was active, 0 to 1."),
            ("PIPE_FP32_ACTIVE", "fp32", "Fraction of cycles in which the FP32 pipe was active, 0 to 1."),
            ("PIPE_FP16_ACTIVE", "fp16", "Fraction of cycles in which the FP16 pipe was active, 0 to 1."),
        )
    ),
    Row(
        _gauge("PROF_SM_OCCUPANCY", "Warps on the multiprocessors as a fraction of the maximum, 0 to 1."),
        _EITHER,
        _of_either(catalog.SM_OCCUPANCY),
        vendors=_NVIDIA,
        note="Only with GPM.",
    ),
    Row(
        _gauge("PROF_DRAM_ACTIVE", "Fraction of the memory's bandwidth that was used, 0 to 1."),
        _EITHER,
        _of_either(catalog.MEMORY_BANDWIDTH),
        vendors=_NVIDIA,
        note="Only with GPM.",
    ),
    *(
        Row(
            _gauge(f"PROF_PCIE_{name}_BYTES", f"Bytes per second {what} over PCIe."),
            _DEVICE,
            _of_either(catalog.PCIE_THROUGHPUT, direction=direction),
            vendors=_NVIDIA,
            note="Only with the option `collect.pcie_throughput`.",
        )
        for name, what, direction in (("TX", "sent", "transmit"), ("RX", "received", "receive"))
    ),
)


def view(options: ViewOptions) -> TableView:
    """The view."""
    return TableView(ROWS, partial(_entities, options))


def _entities(options: ViewOptions, facts: SnapshotFacts) -> Iterator[Entity]:
    """Each MIG instance, and each device that has none."""
    counts: Counter[str] = Counter()
    for device, partitions in facts.devices():
        if options.dcgm_vendors and device.vendor not in options.dcgm_vendors:
            continue
        labels = _labels_of_device(options, facts, device, place=counts[device.vendor])
        counts[device.vendor] += 1
        if partitions:
            yield from _instances(facts, device, labels, partitions)
        else:
            labels |= _labels_of_holder(facts.holders(device.subject))
            yield Entity(Subject.DEVICE, device.subject, device.vendor, _in_order(labels))


def _instances(
    facts: SnapshotFacts, device: Device, of_device: Mapping[str, str], partitions: Iterable[Partition]
) -> Iterator[Entity]:
    """The memory is that of the GPU instance, so compute instances that share it are one entity."""
    instances: dict[str, list[Partition]] = {}
    for partition in partitions:
        instances.setdefault(_instance_id(facts, partition.subject), []).append(partition)
    for number, parts in sorted(instances.items(), key=lambda each: (len(each[0]), each[0])):
        profile = _PART_OF_INSTANCE.sub("", parts[0].profile)
        holders = dict.fromkeys(holder for part in parts for holder in facts.holders(part.subject))
        labels = {"GPU_I_PROFILE": profile, "GPU_I_ID": number, **_labels_of_holder(tuple(holders))}
        yield Entity(Subject.PARTITION, parts[0].subject, device.vendor, _in_order({**of_device, **labels}))


def _instance_id(facts: SnapshotFacts, key: SubjectKey) -> str:
    """The id of its GPU instance; of a partition of another vendor, its index, or its uuid if it has none."""
    properties = facts.properties(key)
    return properties.get("gpu_instance_id") or properties.get("index") or key.partition_uuid


def _labels_of_device(options: ViewOptions, facts: SnapshotFacts, device: Device, *, place: int) -> dict[str, str]:
    """What all series of a device have in common.

    Args:
        options: The options.
        facts: The snapshot.
        device: The device.
        place: Its place among the devices of its vendor, in the order of their addresses: its number if its vendor's
            library does not number devices.
    """
    properties = facts.properties(device.subject)
    number = properties.get("index") or str(place)
    return {
        "gpu": number,
        "UUID": device.uuid,
        "pci_bus_id": _bus_id(properties.get("pci_bus_id", "")),
        "device": f"{device.vendor}{number}",
        "modelName": device.model,
        "Hostname": options.node,
        "hostname": options.node,
        "DCGM_FI_DRIVER_VERSION": properties.get("driver_version", ""),
    }


def _labels_of_holder(holders: Sequence[Container]) -> dict[str, str]:
    if len(holders) != 1:
        return {}
    [holder] = holders
    return {"container": holder.container, "namespace": holder.namespace, "pod": holder.pod}


def _in_order(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: labels.get(name, "") for name in LABELS}


def _bus_id(address: str) -> str:
    """A PCI address as NVML writes it: the domain with eight digits, in capital letters."""
    domain, _, rest = address.partition(":")
    return f"{domain.zfill(8)}:{rest}".upper() if rest else ""
