import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.exporter_process import wait_until
from tests.doubles.native_build import build_nvml
from tests.doubles.nvml import Device, NvmlState, h100, h100_mig
from tests.native.layout import WORD_BYTES
from tests.native.nvml_process import Reader, started
from tests.native.nvml_state import LAYOUT

UNINITIALIZED, NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST, UNKNOWN = 1, 6, 13, 15, 999


@pytest.fixture
def state(tmp_path: Path) -> Iterator[NvmlState]:
    with NvmlState(tmp_path / "nvml.state", [h100(0), h100(1)]) as made:
        yield made


@pytest.fixture
def reader(state: NvmlState, nvml_library: Path) -> Iterator[Reader]:
    with started(state.environment(nvml_library)) as running:
        running.value("nvmlInitWithFlags", (), 0)
        yield running


def test_errors_are_injected_where_they_are_wanted(state: NvmlState, reader: Reader) -> None:
    state.devices[0].partition([h100_mig(0, 0), h100_mig(0, 1)])
    state.fail("nvmlDeviceGetName", 4, device=1)
    state.fail("nvmlDeviceGetName", 20, device=0, mig=1)
    assert [reader.value("nvmlDeviceGetName", place)[-7:] for place in ((0,), (0, 0))] == ["GB HBM3", "1g.10gb"]
    assert [reader.error("nvmlDeviceGetName", place) for place in ((1,), (0, 1))] == [4, 20]
    state.fail("nvmlDeviceGetName", UNKNOWN)
    assert [reader.error("nvmlDeviceGetName", place) for place in ((0,), (0, 0), (1,))] == [UNKNOWN] * 3
    state.heal()
    assert reader.value("nvmlDeviceGetName", (1,)) == "NVIDIA H100 80GB HBM3"


def test_a_lost_device_leaves_the_others_alone(state: NvmlState, reader: Reader) -> None:
    reader.value("nvmlDeviceGetUUID", (0,))
    state.lose(0)
    assert reader.value("nvmlDeviceGetCount") == 2
    for call in ("nvmlDeviceGetUUID", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetMemoryInfo"):
        assert reader.error(call, (0,)) == GPU_IS_LOST
    assert reader.error("nvmlDeviceGetHandleByIndex", (), 0) == GPU_IS_LOST
    assert reader.value("nvmlDeviceGetPowerUsage", (1,)) == 71_000


def test_devices_come_and_go(state: NvmlState, reader: Reader) -> None:
    reader.value("nvmlDeviceGetUUID", (0,))
    state.remove(0)
    assert reader.value("nvmlDeviceGetCount") == 1
    assert reader.error("nvmlDeviceGetUUID", (0,)) == GPU_IS_LOST
    reader.value("nvmlDeviceGetHandleByIndex", (), 0)
    assert state.calls("nvmlDeviceGetHandleByIndex_v2", device=1) == 1
    added = state.add(h100(5))
    added.power_milliwatts = 5
    assert reader.value("nvmlDeviceGetCount") == 2
    assert reader.value("nvmlDeviceGetUUID", (0,)) == h100(5).uuid
    assert reader.value("nvmlDeviceGetPowerUsage", (0,)) == 5


def test_a_held_call_is_let_go(state: NvmlState, reader: Reader) -> None:
    state.delay("nvmlDeviceGetPowerUsage", 3_600_000, device=0)
    assert reader.value("nvmlDeviceGetPowerUsage", (1,)) == 71_000
    reader.send("nvmlDeviceGetPowerUsage", (0,))
    wait_until(lambda: state.waiting("nvmlDeviceGetPowerUsage", device=0) == 1)
    assert not reader.has_answered()
    state.devices[0].power_milliwatts = 123
    state.delay("nvmlDeviceGetPowerUsage", 0, device=0)
    assert reader.receive() == {"value": 123}
    assert state.waiting("nvmlDeviceGetPowerUsage") == 0
    assert state.calls("nvmlDeviceGetPowerUsage", device=0) == 1


def test_leaving_the_context_lets_held_calls_go(tmp_path: Path, nvml_library: Path) -> None:
    state = NvmlState(tmp_path / "state")
    with started(state.environment(nvml_library)) as reader:
        with state:
            state.delay("nvmlInitWithFlags", 3_600_000)
            reader.send("nvmlInitWithFlags", (), 0)
            wait_until(lambda: state.waiting("nvmlInitWithFlags") == 1)
        assert reader.receive() == {"value": None}


def test_calls_are_counted(state: NvmlState, reader: Reader) -> None:
    for place in ((0,), (0,), (1,)):
        reader.value("nvmlDeviceGetUUID", place)
    state.fail("nvmlDeviceGetUUID", NOT_FOUND, device=1)
    assert reader.error("nvmlDeviceGetUUID", (1,)) == NOT_FOUND
    assert [state.calls("nvmlDeviceGetUUID", device=index) for index in (0, 1)] == [2, 2]
    assert state.calls("nvmlDeviceGetUUID") == 4
    assert state.calls("nvmlInitWithFlags") == 1
    assert state.calls("nvmlDeviceGetName") == 0


def test_changes_made_at_once_are_seen_at_once(state: NvmlState, reader: Reader) -> None:
    gpu = state.devices[0]
    gpu.utilization_gpu_percent = gpu.utilization_memory_percent = percent = 10
    reader.send("changing_rates", (0,), 50)
    while not reader.has_answered():
        percent = 100 - percent
        with state.at_once():
            gpu.utilization_gpu_percent = percent
            gpu.utilization_memory_percent = percent
    assert reader.receive() == {"value": [[10, 10], [90, 90]]}


def test_the_session_is_counted(state: NvmlState, nvml_library: Path) -> None:
    with started(state.environment(nvml_library)) as reader:
        assert reader.error("nvmlDeviceGetCount") == UNINITIALIZED
        assert reader.error("nvmlShutdown") == UNINITIALIZED
        state.fail("nvmlInitWithFlags", 18)
        assert reader.error("nvmlInitWithFlags", (), 0) == 18
        state.heal()
        for _ in range(2):
            reader.value("nvmlInitWithFlags", (), 0)
        reader.value("nvmlDeviceGetUUID", (0,))
        reader.value("nvmlShutdown")
        assert reader.value("nvmlDeviceGetCount") == 2
        reader.value("nvmlShutdown")
        assert reader.error("nvmlDeviceGetCount") == UNINITIALIZED
        assert reader.error("nvmlDeviceGetUUID", (0,)) == UNINITIALIZED
        assert reader.error("nvmlDeviceGetHandleByIndex", (), 0) == UNINITIALIZED


def test_python_and_c_agree_on_the_layout(state: NvmlState, reader: Reader) -> None:
    size = state.WORDS * WORD_BYTES
    assert reader.value("nvml_double_state_size") == size == state.path.stat().st_size
    assert reader.value("nvml_double_layout") == LAYOUT


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"short", "not a state file of this size"),
        (struct.pack("<q", 1) + bytes((NvmlState.WORDS - 1) * WORD_BYTES), "written for another layout"),
    ],
)
def test_a_wrong_state_file_is_refused(tmp_path: Path, nvml_library: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "state"
    if content is not None:
        path.write_bytes(content)
    environment = {"LD_LIBRARY_PATH": str(nvml_library), "NVML_DOUBLE_STATE": str(path)}
    with started(environment, subprocess.PIPE) as reader:
        assert reader.error("nvmlInitWithFlags", (), 0) == UNKNOWN
        _, stderr = reader.running.communicate()
    assert f"NVML_DOUBLE_STATE={path}: {why}" in stderr


def test_an_old_driver_lacks_functions(tmp_path: Path, state: NvmlState) -> None:
    library = build_nvml(tmp_path, without=["nvmlDeviceGetTemperatureV"])
    with started(state.environment(library)) as reader:
        reader.value("nvmlInitWithFlags", (), 0)
        assert reader.error("nvmlDeviceGetTemperatureV", (0,), 0) == FUNCTION_NOT_FOUND
        assert reader.value("nvmlDeviceGetTemperature", (0,), 0) == 31


def test_the_library_is_built_once(tmp_path: Path) -> None:
    first = build_nvml(tmp_path)
    assert build_nvml(tmp_path, compiler="no-such-compiler") == first
    assert [path.name for path in first.iterdir()] == ["libnvidia-ml.so.1"]


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"^no-such-compiler not found: apt-get install gcc libc6-dev$"):
        build_nvml(tmp_path, compiler="no-such-compiler")


def test_only_known_functions_can_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not exported anyway: nvmlDeviceGetNmae"):
        build_nvml(tmp_path, without=["nvmlDeviceGetNmae"])


def test_a_misspelt_field_is_an_error() -> None:
    with pytest.raises(AttributeError):
        setattr(Device(), "power_miliwatts", 1)  # noqa: B010 - written out, mypy would find it first


def test_writers_take_turns(state: NvmlState) -> None:
    order: list[str] = []
    writing = threading.Event()

    def second() -> None:
        writing.set()
        with state.at_once():
            order.append("second")

    with state.at_once():
        thread = threading.Thread(target=second)
        thread.start()
        assert writing.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_presets_are_all_different() -> None:
    devices = [h100(index) for index in range(16)]
    for name in ("uuid", "serial", "pci_address", "minor_number"):
        assert len({getattr(device, name) for device in devices}) == 16, name
    assert devices[0].pci_address == "0000:1b:00.0"
    assert len({h100_mig(device, index).uuid for device in range(16) for index in range(7)}) == 112
