"""The NVML double loaded into the process of the tests, under the real binding."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pynvml
import pytest

from collectors.nvidia.errors import from_code
from collectors.nvidia.nvml import Nvml
from tests.doubles.native_build import LIBRARY
from tests.doubles.nvml import NvmlState


@contextmanager
def loaded(library: Path, state: NvmlState) -> Iterator[None]:
    """Let the binding use the double while the context lasts; its end closes every session.

    Args:
        library: The directory of the library, as `build_nvml` returns it.
        state: Its state.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NVML_DOUBLE_STATE", str(state.path))
        patch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library / LIBRARY)))
        patch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        try:
            yield
        finally:
            state.heal()
            with suppress(pynvml.NVMLError):  # uninitialised: all are closed
                while True:
                    pynvml.nvmlShutdown()


def open_nvml(*, attach: bool = True) -> Nvml:
    """A session with the loaded double.

    Args:
        attach: Whether it opens all devices.

    Raises:
        CollectorError: The initialisation fails.
    """
    try:
        pynvml.nvmlInitWithFlags(0 if attach else pynvml.NVML_INIT_FLAG_NO_ATTACH)
    except pynvml.NVMLError as error:
        raise from_code(error.value, "nvmlInitWithFlags") from None
    return Nvml(pynvml)
