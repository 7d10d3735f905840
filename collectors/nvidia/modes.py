"""Modes that change what a device does or how it may be used."""

from collections.abc import Callable, Iterator
from functools import partial

from collectors import catalog
from collectors.nvidia.errors import InvalidValueError
from collectors.nvidia.nvml import Handle, Nvml, Query
from collectors.query import Answer

# nvmlComputeMode_t: default, exclusive thread (no longer there), prohibited, exclusive process.
_COMPUTE_MODES = range(4)
_EXCLUSIVE = (1, 3)
_ENABLED = 1  # NVML_CC_SYSTEM_FEATURE_ENABLED


def _mode(mode: str, ask: Callable[[Nvml, Handle], bool], nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    yield Answer(catalog.MODE_STATE, ask(nvml, handle), labels=(mode,))


def _exclusive(nvml: Nvml, handle: Handle) -> bool:
    """Whether one process at a time may use it: nvmlDeviceGetComputeMode, refused while the device is cut by MIG."""
    mode = nvml.call("nvmlDeviceGetComputeMode", handle, read=int)
    if mode not in _COMPUTE_MODES:
        raise InvalidValueError(f"nvmlDeviceGetComputeMode: {mode}")
    return mode in _EXCLUSIVE


def _confidential(nvml: Nvml, _: Handle) -> bool:
    """Whether the node's GPUs are in confidential computing mode: nvmlSystemGetConfComputeState, driver 535."""
    return nvml.call("nvmlSystemGetConfComputeState", read=lambda state: int(state.ccFeature) == _ENABLED)


_ASK: dict[str, Callable[[Nvml, Handle], bool]] = {
    "partitioning": Nvml.mig_mode,
    "persistence": Nvml.persistence_mode,
    "ecc": Nvml.ecc_mode,
    "exclusive": _exclusive,
    "confidential": _confidential,
}

QUERIES: tuple[Query, ...] = tuple(
    Query(f"{mode} mode", (catalog.MODE_STATE,), partial(_mode, mode, ask)) for mode, ask in _ASK.items()
)
