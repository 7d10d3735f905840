"""Wrong values, refusals and aborts of the real `librocm_smi64` of Debian 12, and that other readings are not affected.

It is from ROCm 5.2.3, reports version 1.0.0 and is built with assertions.
"""

import json
import shutil
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from collectors.amd.rocm_smi.child import DiedError
from collectors.amd.rocm_smi.librocm_smi import READINGS
from collectors.contract import CollectorError, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError
from tests.doubles.amd_cards import MI210, MI250X, MI300X
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.mounted import Mounted, mounted

ADDRESS, OTHER = "0000:63:00.0", "0000:43:00.0"
BUSY = "utilization_percent"
TROUBLES: Mapping[str, bytes | None] = {"empty": b"", "garbled": b"garbage\n", "refused": None}
# Files for which the library returns an error status in such a case.
FILES = {
    "memory_activity_percent": "mem_busy_percent",
    "vram_total_bytes": "mem_info_vram_total",
    "vram_used_bytes": "mem_info_vram_used",
    "gtt_used_bytes": "mem_info_gtt_used",
    "power_average_microwatts": "hwmon/power1_average",
    "power_cap_microwatts": "hwmon/power1_cap",
    "pcie_replays": "pcie_replay_count",
    "edge_millidegrees": "hwmon/temp1_input",
    "junction_millidegrees": "hwmon/temp2_input",
    "memory_millidegrees": "hwmon/temp3_input",
}
OF_SENSORS = {name for name, file in FILES.items() if file.startswith("hwmon/")}


@pytest.fixture
def gpu(tmp_path: Path) -> Gpu:
    return AmdTree(tmp_path / "sys").add(MI210, ADDRESS)


def trouble(gpu: Gpu, file: str, kind: str) -> None:
    """Change a file so that it has no number any more."""
    content = TROUBLES[kind]
    if content is None:
        gpu.fail(file)
    else:
        gpu.write_bytes(file, content)


def answers(mount: Mounted, address: str, *names: str) -> dict[str, float | CollectorError]:
    """The answers of a second query: a reading at which the library has died in both is not read again."""
    mount.backend.read(address, names)
    return dict(zip(names, mount.backend.read(address, names), strict=True))


def process(mount: Mounted) -> int:
    assert mount.child._process is not None
    return mount.child._process.pid


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_silent_zero_is_not_used(kind: str, gpu: Gpu) -> None:
    trouble(gpu, "gpu_busy_percent", kind)
    [fault] = collector_of(gpu.tree).read(ALL).faults
    with mounted(gpu.tree) as mount:
        raw = json.loads(mount.child.request(json.dumps({"address": ADDRESS, "read": [BUSY]}).encode()))
        result = answers(mount, ADDRESS, BUSY)[BUSY]
    assert raw["values"] == {BUSY: 0}  # the library reports success
    assert type(result) is (UnavailableError if kind == "refused" else InvalidValueError)
    assert (result.reason, str(result)) == (fault.reason, fault.detail)


@pytest.mark.parametrize("kind", TROUBLES)
def test_other_unreadable_files_have_no_value(kind: str, gpu: Gpu) -> None:
    for file in FILES.values():
        trouble(gpu, file, kind)
    with mounted(gpu.tree) as mount:
        results = answers(mount, ADDRESS, *FILES)
    assert {name for name, each in results.items() if not isinstance(each, UnavailableError)} == set()


def test_a_number_with_text_behind_it_is_used(gpu: Gpu) -> None:
    gpu.write("gpu_busy_percent", "7 garbage")
    with mounted(gpu.tree) as mount:
        assert answers(mount, ADDRESS, BUSY) == {BUSY: 7}  # a defect that no zero shows; the kernel's file has no value
    assert [fault.detail for fault in collector_of(gpu.tree).read(ALL).faults] == [
        "gpu_busy_percent: found '7 garbage', expected a number"
    ]


def test_a_table_newer_than_the_library_aborts(gpu: Gpu) -> None:
    gpu.write_bytes("gpu_metrics", struct.pack("<HBB", 288, 1, 4).ljust(288, b"\xff"))
    with mounted(gpu.tree) as mount:
        results = answers(mount, ADDRESS, "hbm0_millidegrees", "energy_count", BUSY)
    for name in ("hbm0_millidegrees", "energy_count"):
        assert isinstance(results[name], UnsupportedError)
    assert "was killed by SIGABRT" in str(results["hbm0_millidegrees"])
    assert results[BUSY] == 37


def test_an_mi300_is_refused(tmp_path: Path) -> None:
    """The library does not start without a label of a voltage, and the kernel hides voltages on these cards."""
    gpu = AmdTree(tmp_path / "sys").add(MI300X, ADDRESS)
    with mounted(gpu.tree) as mount:
        with pytest.raises(UnavailableError, match=r"rsmi_init: status 8"):
            answers(mount, ADDRESS, BUSY)
        gpu.write("hwmon/in0_label", "vddgfx")
        assert answers(mount, ADDRESS, BUSY) == {BUSY: 88}


def test_readings_that_abort_are_skipped_and_the_others_work(gpu: Gpu) -> None:
    other = gpu.tree.add(MI250X, OTHER)
    before = AmdTree(gpu.tree.path.with_name("whole")).add(MI210, ADDRESS)
    shutil.rmtree(gpu.path("hwmon/").parent)
    with mounted(gpu.tree) as mount:
        results = answers(mount, ADDRESS, *READINGS)
        survivor = process(mount)
        again = answers(mount, ADDRESS, *READINGS)
        assert process(mount) == survivor
        assert answers(mount, other.address, "power_average_microwatts") == {"power_average_microwatts": 412_000_000}
    with mounted(before.tree) as mount:
        whole = answers(mount, ADDRESS, *READINGS)
    for name in OF_SENSORS:
        assert isinstance(results[name], UnsupportedError)
        assert "was killed by SIGABRT" in str(results[name])
        assert f"(at {name})" in str(results[name])
    rest = [name for name in READINGS if name not in OF_SENSORS]
    assert [str(results[name]) for name in rest] == [str(whole[name]) for name in rest]
    assert {name: str(each) for name, each in again.items()} == {name: str(each) for name, each in results.items()}


@pytest.mark.parametrize("kind", TROUBLES)
def test_unreadable_error_counts_abort_too(kind: str, gpu: Gpu) -> None:
    trouble(gpu, "ras/umc_err_count", kind)
    with mounted(gpu.tree) as mount:
        results = answers(mount, ADDRESS, "umc_corrected", "gfx_corrected", BUSY)
    assert isinstance(results["umc_corrected"], UnsupportedError)
    assert "was killed by SIGABRT" in str(results["umc_corrected"])
    assert (results["gfx_corrected"], results[BUSY]) == (0, 37)


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def test_a_death_at_the_start_is_reported_and_retried_later(gpu: Gpu) -> None:
    links = gpu.tree.node(gpu) / "io_links"
    links.rmdir()
    clock = Clock()
    with mounted(gpu.tree, clock=clock) as mount:
        with pytest.raises(DiedError, match=r"was killed by SIGABRT: .*io_link_dir.* \(at rsmi_init\)"):
            answers(mount, ADDRESS, BUSY)
        links.mkdir()
        with pytest.raises(UnavailableError, match="was killed by SIGABRT") as caught:
            answers(mount, ADDRESS, BUSY)
        assert not isinstance(caught.value, DiedError)  # it was not started during the pause
        clock.ahead += 3600
        assert answers(mount, ADDRESS, BUSY) == {BUSY: 37}


def test_a_gpu_behind_a_gap_in_the_numbers_is_not_listed(gpu: Gpu) -> None:
    other = gpu.tree.add(MI250X, OTHER, card=8)
    with mounted(gpu.tree) as mount:
        assert answers(mount, ADDRESS, BUSY) == {BUSY: 37}
        with pytest.raises(UnsupportedError, match=rf"^librocm_smi64 1\.0\.0 does not list {other.address}$"):
            answers(mount, other.address, BUSY)
    listed = {device.device for device in collector_of(gpu.tree).read(ALL).devices}
    assert listed == {gpu.address, other.address}
