import os
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.contract import AbsentError, CollectorError, DeviceLostError, Reason, UnavailableError
from collectors.nvidia.errors import LibraryMissingError, SessionError, from_code
from collectors.nvidia.nvml import Nvml
from collectors.nvidia.session import Session
from collectors.pci import PciFunction
from tests.doubles.nvml_binding import FakeBinding

GPU = PciFunction("0000:3b:00.0", 0x10DE, 0x2330, 0x030200, "nvidia", virtual=False)
PASSED_THROUGH = PciFunction("0000:86:00.0", 0x10DE, 0x2330, 0x030200, "vfio-pci", virtual=False)
MISSING = LibraryMissingError("cannot load libnvidia-ml.so.1: no such file")
UNLOADED = from_code(9, "nvmlInitWithFlags")


class Bench:
    """A session whose library, hardware and clock the test sets."""

    def __init__(self, failure: CollectorError | None = None, hardware: tuple[PciFunction, ...] = (GPU,)) -> None:
        self.failure = failure
        self.now = 100.0
        self.opened = 0
        self.binding = FakeBinding([])
        self.session = Session(self.open, lambda: hardware, lambda: self.now)

    def open(self) -> Nvml:
        self.opened += 1
        if self.failure is not None:
            raise self.failure
        return Nvml(self.binding)


def test_the_library_is_opened_once_and_kept() -> None:
    bench = Bench()
    assert bench.session.library() is bench.session.library()
    assert bench.opened == 1


@pytest.mark.parametrize("failure", [MISSING, UNLOADED, from_code(18, "nvmlInitWithFlags")])
@pytest.mark.parametrize("hardware", [(), (PASSED_THROUGH,)])
def test_without_hardware_the_vendor_is_absent(failure: CollectorError, hardware: tuple[PciFunction, ...]) -> None:
    bench = Bench(failure, hardware)
    with pytest.raises(AbsentError, match="no NVIDIA device on this node"):
        bench.session.library()


def test_absence_is_looked_at_again_at_once() -> None:
    bench = Bench(MISSING, ())
    for _ in range(2):
        with pytest.raises(AbsentError):
            bench.session.library()
    assert bench.opened == 2


def test_a_missing_library_beside_hardware_says_what_to_do() -> None:
    bench = Bench(MISSING, (PASSED_THROUGH, GPU))
    with pytest.raises(UnavailableError) as caught:
        bench.session.library()
    assert caught.value.reason is Reason.LIBRARY_MISSING
    assert str(caught.value) == (
        "cannot load libnvidia-ml.so.1: no such file, but the PCI bus has an NVIDIA device (0000:3b:00.0): "
        "run this container with runtimeClassName nvidia and NVIDIA_VISIBLE_DEVICES=all"
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (9, Reason.DRIVER_NOT_LOADED),
        (18, Reason.VERSION_MISMATCH),
        (999, Reason.UNAVAILABLE),
        (4, Reason.PERMISSION_DENIED),
    ],
)
def test_why_it_does_not_open_is_kept(code: int, reason: Reason) -> None:
    bench = Bench(from_code(code, "nvmlInitWithFlags"))
    with pytest.raises(UnavailableError) as caught:
        bench.session.library()
    assert caught.value.reason is reason


def test_pauses_double_from_one_second_to_thirty() -> None:
    bench = Bench(UNLOADED)
    pauses = []
    for _ in range(8):
        began, tries = bench.now, bench.opened
        while bench.opened == tries:
            with pytest.raises(UnavailableError):
                bench.session.library()
            bench.now += 0.5
        pauses.append(bench.now - 0.5 - began)
        bench.now -= 0.5
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]


def test_during_a_pause_the_library_is_left_alone_and_the_reason_told() -> None:
    bench = Bench()
    bench.session.library()
    bench.session.fail(SessionError("driver gone", Reason.DRIVER_NOT_LOADED))
    bench.now += 0.9
    with pytest.raises(UnavailableError, match="driver gone") as caught:
        bench.session.library()
    assert caught.value.reason is Reason.DRIVER_NOT_LOADED
    assert bench.opened == 1
    bench.now += 0.1
    bench.session.library()
    assert bench.opened == 2


def test_a_session_that_opens_and_fails_at_once_does_not_start_the_pauses_again() -> None:
    bench = Bench()
    gone = SessionError("driver gone", Reason.DRIVER_NOT_LOADED)
    for pause in (1, 2, 4):
        bench.session.library()
        bench.session.fail(gone)
        bench.now += pause - 0.5
        with pytest.raises(UnavailableError):
            bench.session.library()
        bench.now += 0.5
    bench.session.library()
    bench.session.reset_backoff()
    bench.session.fail(gone)
    bench.now += 1
    bench.session.library()


def test_a_session_that_is_over_is_shut_down() -> None:
    bench = Bench()
    bench.session.library()
    bench.session.fail(SessionError("driver gone", Reason.DRIVER_NOT_LOADED))
    assert bench.binding.calls["nvmlShutdown"] == 1


@pytest.mark.parametrize("code", [None, 1, 999])
def test_closing_twice_shuts_down_once_and_never_raises(code: int | None) -> None:
    bench = Bench()
    bench.session.close()
    bench.session.library()
    if code is not None:
        bench.binding.errors["nvmlShutdown"] = code
    bench.session.close()
    bench.session.close()
    assert bench.binding.calls["nvmlShutdown"] == 1


def test_it_is_open_from_its_first_use_to_its_closing() -> None:
    bench = Bench()
    assert not bench.session.is_open
    bench.session.library()
    assert bench.session.is_open
    bench.session.close()
    assert not bench.session.is_open


def test_after_closing_it_opens_again_at_once() -> None:
    bench = Bench()
    first = bench.session.library()
    bench.session.close()
    assert bench.session.library() is not first


def test_a_lost_device_at_the_start_is_not_the_end_of_the_process() -> None:
    with pytest.raises(UnavailableError) as caught:
        Bench(DeviceLostError("nvmlInitWithFlags: GPU_IS_LOST (15)")).session.library()
    assert caught.value.reason is Reason.DEVICE_LOST


def test_the_loaders_own_words_are_told(tmp_path: Path) -> None:
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


def test_closing_ends_the_pause() -> None:
    bench = Bench()
    bench.session.library()
    bench.session.fail(SessionError("driver gone", Reason.DRIVER_NOT_LOADED))
    bench.session.close()
    bench.session.library()
    assert bench.opened == 2
