"""The wait for events of the NVML double: it ends with an event, and sleeps until something changes."""

import ctypes
import resource
import threading
from collections.abc import Callable

import pynvml
import pytest

from tests.doubles.exporter_process import wait_until
from tests.doubles.nvidia_device import gpus
from tests.doubles.nvml import XID_EVENT, NvmlState
from tests.doubles.nvml_loaded import open_nvml

LONG_MILLISECONDS = 60_000
TIMEOUT, GPU_IS_LOST, UNINITIALIZED = 10, 15, 1


@pytest.fixture
def event_set(nvml: NvmlState) -> object:
    """The set of one card that supports events."""
    [card] = gpus(1)
    card.supported_event_types = XID_EVENT
    nvml.devices = [card]
    open_nvml()
    made = pynvml.nvmlEventSetCreate()
    pynvml.nvmlDeviceRegisterEvents(pynvml.nvmlDeviceGetHandleByIndex(0), XID_EVENT, made)
    return made


def wait_for_event(event_set: object, milliseconds: int) -> int:
    """The return code of a wait."""
    try:
        pynvml.nvmlEventSetWait_v2(event_set, milliseconds)
    except pynvml.NVMLError as error:
        return int(error.value)
    return 0


def remove(nvml: NvmlState) -> None:
    """The card falls off the bus."""
    nvml.lose(0)


def happen(nvml: NvmlState) -> None:
    """An event occurs."""
    nvml.happen(0, 79)


def shut_down(_: NvmlState) -> None:
    """The session ends."""
    pynvml.nvmlShutdown()


@pytest.mark.parametrize(("change", "code"), [(happen, 0), (remove, GPU_IS_LOST), (shut_down, UNINITIALIZED)])
def test_a_change_ends_a_wait_in_progress(
    nvml: NvmlState, event_set: object, change: Callable[[NvmlState], None], code: int
) -> None:
    codes: list[int] = []
    waiting = threading.Thread(target=lambda: codes.append(wait_for_event(event_set, LONG_MILLISECONDS)), daemon=True)
    waiting.start()
    wait_until(lambda: nvml.calls("nvmlEventSetWait_v2"))
    change(nvml)
    waiting.join(LONG_MILLISECONDS / 2000)
    assert codes == [code]


def test_a_wait_without_a_change_does_not_wake_up(event_set: object) -> None:
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    assert wait_for_event(event_set, 200) == TIMEOUT
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before < 20


def test_a_write_that_nobody_waits_for_is_seen_by_the_next_wait(nvml: NvmlState, event_set: object) -> None:
    nvml.happen(0, 48)
    data = pynvml.nvmlEventSetWait_v2(event_set, LONG_MILLISECONDS)
    assert (data.eventData, ctypes.cast(data.device, ctypes.c_void_p).value is not None) == (48, True)
