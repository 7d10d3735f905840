"""Links to the host: PCIe.

With some drivers the byte counters (fields 197 and 198) have 64 bits and were seen to wrap at 32, at full speed many
times between two readings: once they do, what they count is unknown.
"""

from collections.abc import Iterator
from functools import partial

from collectors import catalog
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
_BYTES = {
    "transmit": Field(197, wide=True, wraps_at=2**32),
    "receive": Field(198, wide=True, wraps_at=2**32),
}
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
    Query(f"pcie throughput, {direction}", (catalog.PCIE_THROUGHPUT,), partial(_throughput, direction), once=True)
    for direction in _THROUGHPUT
)
FIELDS: tuple[BatchItem, ...] = tuple(
    field_values.item(f"pcie bytes, {direction}", catalog.PCIE_BYTES, field, labels=(direction,))
    for direction, field in _BYTES.items()
)
