import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.contract import AbsentError, CollectorError, DeviceLostError, Reason, UnavailableError
from collectors.device_calls import DeviceCalls
from collectors.nvidia.errors import LibraryMissingError, SessionError, from_code
from collectors.nvidia.nvml import Nvml
from collectors.nvidia.session import Session
from collectors.pci import PciFunction
from tests.doubles.nvml import NvmlState
from tests.doubles.nvml_loaded import open_nvml

GPU = PciFunction("0000:3b:00.0", 0x10DE, 0x2330, 0x030200, "nvidia", virtual=False)
PASSED_THROUGH = PciFunction("0000:86:00.0", 0x10DE, 0x2330, 0x030200, "vfio-pci", virtual=False)
MISSING = LibraryMissingError("cannot load libnvidia-ml.so.1: no such file")
UNLOADED = from_code(9, "nvmlInitWithFlags")


class Bench:
    """A session whose library, hardware and clock the test controls."""

    def __init__(self, state: NvmlState, failure: CollectorError | None, hardware: tuple[PciFunction, ...]) -> None:
        self.failure = failure
        self.now = 100.0
        self.opened = 0
        self.state = state
        self.session = Session(self.open, lambda: hardware, lambda: self.now, DeviceCalls("test"))

    def open(self, *, attach: bool) -> Nvml:
        self.opened += 1
        if self.failure is not None:
            raise self.failure
        return open_nvml(attach=attach)


Benches = Callable[..., Bench]


@pytest.fixture
def bench(nvml: NvmlState) -> Benches:
    def bench(failure: CollectorError | None = None, hardware: tuple[PciFunction, ...] = (GPU,)) -> Bench:
        return Bench(nvml, failure, hardware)

    return bench


def test_the_library_is_opened_once_and_kept(bench: Benches) -> None:
    made = bench()
    assert made.session.library() is made.session.library()
    assert made.opened == 1


@pytest.mark.parametrize("failure", [MISSING, UNLOADED, from_code(18, "nvmlInitWithFlags")])
@pytest.mark.parametrize("hardware", [(), (PASSED_THROUGH,)])
def test_without_hardware_the_vendor_is_absent(
    bench: Benches, failure: CollectorError, hardware: tuple[PciFunction, ...]
) -> None:
    made = bench(failure, hardware)
    with pytest.raises(AbsentError, match="no NVIDIA device on this node"):
        made.session.library()


def test_an_absent_vendor_is_tried_again_at_once(bench: Benches) -> None:
    made = bench(MISSING, ())
    for _ in range(2):
        with pytest.raises(AbsentError):
            made.session.library()
    assert made.opened == 2


def test_a_missing_library_with_hardware_comes_with_advice(bench: Benches) -> None:
    made = bench(MISSING, (PASSED_THROUGH, GPU))
    with pytest.raises(UnavailableError) as caught:
        made.session.library()
    assert caught.value.reason is Reason.LIBRARY_MISSING
    assert str(caught.value) == (
        "cannot load libnvidia-ml.so.1: no such file, but the PCI bus has an NVIDIA device (0000:3b:00.0): "
        "run this container with runtimeClassName nvidia and NVIDIA_VISIBLE_DEVICES=all"
    )


@pytest.mark.parametrize("failure", [MISSING, UNLOADED])
def test_devices_without_a_driver_are_the_reason(bench: Benches, failure: CollectorError) -> None:
    made = bench(failure, (PASSED_THROUGH, replace(GPU, driver=None)))
    with pytest.raises(
        UnavailableError, match=r"^0000:3b:00\.0: an NVIDIA GPU on the PCI bus without a driver"
    ) as caught:
        made.session.library()
    assert caught.value.reason is Reason.DRIVER_NOT_LOADED


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (9, Reason.DRIVER_NOT_LOADED),
        (18, Reason.VERSION_MISMATCH),
        (999, Reason.UNAVAILABLE),
        (4, Reason.PERMISSION_DENIED),
    ],
)
def test_the_reason_of_a_failed_opening_is_kept(bench: Benches, code: int, reason: Reason) -> None:
    made = bench(from_code(code, "nvmlInitWithFlags"))
    with pytest.raises(UnavailableError) as caught:
        made.session.library()
    assert caught.value.reason is reason


def test_pauses_double_from_one_second_to_thirty(bench: Benches) -> None:
    made = bench(UNLOADED)
    pauses = []
    for _ in range(8):
        began, tries = made.now, made.opened
        while made.opened == tries:
            with pytest.raises(UnavailableError):
                made.session.library()
            made.now += 0.5
        pauses.append(made.now - 0.5 - began)
        made.now -= 0.5
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]


def test_during_a_pause_the_library_is_not_opened_and_the_reason_is_raised(bench: Benches) -> None:
    made = bench()
    made.session.library()
    made.session.fail(SessionError("driver not loaded", Reason.DRIVER_NOT_LOADED))
    made.now += 0.9
    with pytest.raises(UnavailableError, match="driver not loaded") as caught:
        made.session.library()
    assert caught.value.reason is Reason.DRIVER_NOT_LOADED
    assert made.opened == 1
    made.now += 0.1
    made.session.library()
    assert made.opened == 2


def test_a_session_that_opens_and_fails_at_once_does_not_reset_the_backoff(bench: Benches) -> None:
    made = bench()
    unloaded = SessionError("driver not loaded", Reason.DRIVER_NOT_LOADED)
    for pause in (1, 2, 4):
        made.session.library()
        made.session.fail(unloaded)
        made.now += pause - 0.5
        with pytest.raises(UnavailableError):
            made.session.library()
        made.now += 0.5
    made.session.library()
    made.session.reset_backoff()
    made.session.fail(unloaded)
    made.now += 1
    made.session.library()


def test_a_failed_session_is_shut_down(bench: Benches) -> None:
    made = bench()
    made.session.library()
    made.session.fail(SessionError("driver not loaded", Reason.DRIVER_NOT_LOADED))
    assert made.state.calls("nvmlShutdown") == 1


@pytest.mark.parametrize("code", [None, 1, 999])
def test_closing_twice_shuts_down_once_and_never_raises(bench: Benches, code: int | None) -> None:
    made = bench()
    made.session.close()
    made.session.library()
    if code is not None:
        made.state.fail("nvmlShutdown", code)
    made.session.close()
    made.session.close()
    assert made.state.calls("nvmlShutdown") == 1


def test_a_session_is_open_from_its_first_use_to_its_closing(bench: Benches) -> None:
    made = bench()
    assert not made.session.is_open
    made.session.library()
    assert made.session.is_open
    made.session.close()
    assert not made.session.is_open


def test_a_closed_session_opens_again_at_once(bench: Benches) -> None:
    made = bench()
    first = made.session.library()
    made.session.close()
    assert made.session.library() is not first


def test_a_lost_device_at_the_start_is_unavailable(bench: Benches) -> None:
    with pytest.raises(UnavailableError) as caught:
        bench(DeviceLostError("nvmlInitWithFlags: GPU_IS_LOST (15)")).session.library()
    assert caught.value.reason is Reason.DEVICE_LOST


def test_the_error_of_the_dynamic_loader_is_reported(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"no library at all" * 100)
    script = """
from collectors.nvidia.errors import LibraryMissingError
from collectors.nvidia.nvml import open_library
try:
    open_library()
except LibraryMissingError as error:
    print(error)
"""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("cannot load libnvidia-ml.so.1: ")
    assert "invalid ELF header" in done.stdout


def test_closing_ends_the_pause(bench: Benches) -> None:
    made = bench()
    made.session.library()
    made.session.fail(SessionError("driver not loaded", Reason.DRIVER_NOT_LOADED))
    made.session.close()
    made.session.library()
    assert made.opened == 2
