"""The utilization of a device from that of its partitions, where the driver reports none for the whole device.

NVML reports none for a device in MIG mode (nvml.h, nvmlDeviceGetUtilizationRates), and GPM may report it for the
instances only. Without this sum, fleet figures would lose such devices.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from collectors import catalog
from collectors.contract import Partition, Sample, SubjectKey

_ROUNDING = 1e-6


def device_utilization(
    partitions: Iterable[Partition], samples: Sequence[Sample], compute_ratios: Mapping[SubjectKey, float]
) -> Iterator[Sample]:
    """Yield the utilization of each device that has partitions and none of its own: the sum, weighted by their sizes.

    Compute units outside of every partition execute no work. The sum is unknown if a partition's utilization or size
    is, or if partitions overlap.

    Args:
        partitions: All that are known.
        samples: What was accepted of one reading.
        compute_ratios: The fraction of its device that belongs to each partition, 0 to 1.
    """
    known = {sample.subject: sample.value for sample in samples if sample.metric is catalog.UTILIZATION}
    by_device: defaultdict[str, list[SubjectKey]] = defaultdict(list)
    for partition in partitions:
        by_device[partition.device_uuid].append(partition.subject)
    for uuid, parts in by_device.items():
        if SubjectKey(uuid) in known or not all(part in known and part in compute_ratios for part in parts):
            continue
        if sum(compute_ratios[part] for part in parts) <= 1 + _ROUNDING:
            busy = sum(known[part] * compute_ratios[part] for part in parts)
            yield Sample(catalog.UTILIZATION, uuid, min(busy, 1.0))
