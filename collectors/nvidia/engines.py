"""Fixed-function engines: how busy they were. None of this is to be had while the device is cut by MIG."""

from collections.abc import Iterator
from functools import partial

from collectors import catalog
from collectors.nvidia.nvml import Handle, Nvml, Query
from collectors.query import Answer
from collectors.units import ratio_from_percent

# JPEG and optical flow: driver 535 or later, Turing or later.
_CALLS = {
    "encoder": "nvmlDeviceGetEncoderUtilization",
    "decoder": "nvmlDeviceGetDecoderUtilization",
    "jpeg": "nvmlDeviceGetJpgUtilization",
    "optical_flow": "nvmlDeviceGetOfaUtilization",
}


def _utilization(engine: str, nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    """Percent of the last sampling period; the period itself, in microseconds, comes second."""
    percent, _ = nvml.call(_CALLS[engine], handle, read=tuple)
    yield Answer(catalog.ENGINE_UTILIZATION, percent, ratio_from_percent, (engine,))


QUERIES: tuple[Query, ...] = tuple(
    Query(f"{engine} utilization", (catalog.ENGINE_UTILIZATION,), partial(_utilization, engine)) for engine in _CALLS
)
