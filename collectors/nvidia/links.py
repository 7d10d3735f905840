"""Links to the host: PCIe.

With some drivers the byte counters (fields 197 and 198) may wrap at 32 bits, at full speed many times between two
readings. If a counter of a device decreases, `RisingCounters` removes the counters of that device.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from collectors import catalog
from collectors.contract import Sample, Unsupported
from collectors.metric import Metric
from collectors.nvidia import field_values
from collectors.nvidia.field_values import Field
from collectors.nvidia.nvml import Handle, Nvml, Query
from collectors.query import BatchItem, RawValue
from collectors.units import bytes_from_kilobytes

_ROWS = {
    "nvmlDeviceGetCurrPcieLinkGeneration": ("pcie generation", catalog.PCIE_GENERATION),
    "nvmlDeviceGetCurrPcieLinkWidth": ("pcie width", catalog.PCIE_WIDTH),
    "nvmlDeviceGetPcieReplayCounter": ("pcie replays", catalog.PCIE_REPLAYS),
    "nvmlDeviceGetMaxPcieLinkGeneration": ("highest pcie generation", catalog.PCIE_MAX_GENERATION),
    "nvmlDeviceGetMaxPcieLinkWidth": ("highest pcie width", catalog.PCIE_MAX_WIDTH),
}
# NVML_FI_DEV_PCIE_COUNT_TX_BYTES and _RX_BYTES, driver 555. Directions are as seen from the device.
_BYTES = {"transmit": Field(197, wide=True), "receive": Field(198, wide=True)}
# nvmlPcieUtilCounter_t.
_THROUGHPUT = {"transmit": 0, "receive": 1}


def _number(call: str, metric: Metric, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    yield RawValue(metric, nvml.call(call, handle, read=int))


def _throughput(direction: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetPcieThroughput: KB/s, assumed to be 1,000 bytes, over 20 ms in which the call blocks."""
    kilobytes = nvml.call("nvmlDeviceGetPcieThroughput", handle, _THROUGHPUT[direction], read=int)
    yield RawValue(catalog.PCIE_THROUGHPUT, kilobytes, bytes_from_kilobytes, (direction,))


QUERIES: tuple[Query, ...] = tuple(
    Query(name, (metric,), partial(_number, call, metric)) for call, (name, metric) in _ROWS.items()
)
# Off by default: they take 40 ms for each device.
BLOCKING_QUERIES: tuple[Query, ...] = tuple(
    Query(f"pcie throughput, {direction}", (catalog.PCIE_THROUGHPUT,), partial(_throughput, direction))
    for direction in _THROUGHPUT
)
FIELDS: tuple[BatchItem, ...] = tuple(
    field_values.item(f"pcie bytes, {direction}", catalog.PCIE_BYTES, field, labels=(direction,))
    for direction, field in _BYTES.items()
)


class RisingCounters:
    """The PCIe byte counters of one session. During a session they decrease only if they wrap."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, tuple[str, ...]], float] = {}
        self._wrapping: set[str] = set()

    def drop_wrapped(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples without the byte counters of devices on which one of them has decreased."""
        for sample in samples:
            if sample.metric is catalog.PCIE_BYTES:
                self._compare(sample)
        return [
            sample
            for sample in samples
            if sample.metric is not catalog.PCIE_BYTES or sample.device_uuid not in self._wrapping
        ]

    def unsupported(self) -> Iterator[Unsupported]:
        """The removed row, for each such device."""
        for uuid in sorted(self._wrapping):
            yield Unsupported(catalog.PCIE_BYTES, uuid, "the driver's counter decreased, so it wraps between readings")

    def _compare(self, sample: Sample) -> None:
        counter = (sample.device_uuid, sample.labels)
        if sample.value < self._last.get(counter, 0):
            self._wrapping.add(sample.device_uuid)
        self._last[counter] = sample.value
