"""The check of each zero of the library against the kernel's files."""

from functools import partial
from pathlib import Path

import pytest

from collectors.amd.gpu_metrics.model import Metrics, Parse
from collectors.amd.gpu_paths import locate
from collectors.amd.rocm_smi.cross_check import READERS, CrossCheck
from collectors.amd.rocm_smi.librocm_smi import BLOCKS, READINGS
from collectors.contract import CollectorError, Reason, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError, NoDataError
from tests.doubles.amd_cards import MI210, MI300X
from tests.doubles.amd_node import no_table
from tests.doubles.amd_table import Table
from tests.doubles.amd_tree import AmdTree, Gpu

FILES = {
    "utilization_percent": "gpu_busy_percent",
    "memory_activity_percent": "mem_busy_percent",
    "vram_total_bytes": "mem_info_vram_total",
    "vram_used_bytes": "mem_info_vram_used",
    "gtt_used_bytes": "mem_info_gtt_used",
    "power_average_microwatts": "hwmon/power1_average",
    "power_current_microwatts": "hwmon/power1_input",
    "power_cap_microwatts": "hwmon/power1_cap",
    "pcie_replays": "pcie_replay_count",
    "edge_millidegrees": "hwmon/temp1_input",
    "junction_millidegrees": "hwmon/temp2_input",
    "memory_millidegrees": "hwmon/temp3_input",
    **{f"{block}_{kind}": f"ras/{block}_err_count" for block in BLOCKS for kind in ("corrected", "uncorrected")},
}
IN_TABLE = ("energy_count", *(f"hbm{number}_millidegrees" for number in range(4)))
POWERS = ("power_average_microwatts", "power_current_microwatts", "power_cap_microwatts")


@pytest.fixture
def gpu(tmp_path: Path) -> Gpu:
    return AmdTree(tmp_path / "sys").add(MI210, "0000:63:00.0")


def says(gpu: Gpu, name: str, parse: Parse = no_table) -> CollectorError | None:
    """The kernel's error for a zero; None if it confirms the zero."""
    try:
        CrossCheck(gpu.tree.root, partial(locate, gpu.tree.root), parse).verify_zero(gpu.address, name)
    except CollectorError as error:
        return error
    return None


def test_every_reading_has_a_file_for_the_check() -> None:
    assert READERS.keys() == READINGS.keys() == {*FILES, *IN_TABLE}


def test_a_zero_of_the_kernel_confirms_a_zero_of_the_library(gpu: Gpu) -> None:
    for file in FILES.values():
        gpu.write(file, "ue: 0\nce: 0" if file.startswith("ras/") else "0")
    found = {name: says(gpu, name) for name in FILES}
    assert {name: error for name, error in found.items() if error and name not in POWERS} == {}
    assert {name: type(found[name]) for name in POWERS} == dict.fromkeys(POWERS, NoDataError)  # none draws nothing


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\0" * 4096])
def test_an_empty_or_garbled_file_does_not_confirm_a_zero(content: bytes, gpu: Gpu) -> None:
    for file in FILES.values():
        gpu.write_bytes(file, content)
    assert {name: type(says(gpu, name)) for name in FILES} == dict.fromkeys(FILES, InvalidValueError)


def test_a_refused_read_does_not_confirm_a_zero(gpu: Gpu) -> None:
    for file in FILES.values():
        gpu.fail(file)
    found = {name: says(gpu, name) for name in FILES}
    assert {name: type(error) for name, error in found.items()} == dict.fromkeys(FILES, UnavailableError)
    assert {error.reason for error in found.values() if error} == {Reason.UNAVAILABLE}


def test_a_missing_file_does_not_confirm_a_zero(gpu: Gpu) -> None:
    for file in FILES.values():
        gpu.path(file).unlink(missing_ok=True)
    assert {name: type(says(gpu, name)) for name in FILES} == dict.fromkeys(FILES, UnsupportedError)


def test_a_sensor_is_found_by_its_label(tmp_path: Path) -> None:
    gpu = AmdTree(tmp_path / "sys").add(MI300X, "0000:63:00.0")
    gpu.write("hwmon/temp1_input", "0")  # without a label it can be any sensor
    assert isinstance(says(gpu, "edge_millidegrees"), UnsupportedError)


@pytest.mark.parametrize("name", IN_TABLE)
def test_an_unreadable_table_does_not_confirm_a_zero(name: str, gpu: Gpu) -> None:
    gpu.remove("gpu_metrics")
    assert isinstance(says(gpu, name, Table().parse), UnsupportedError)
    gpu.write_bytes("gpu_metrics", b"\x78\x00\x01\x09")
    assert isinstance(says(gpu, name), UnsupportedError)


def test_a_table_can_confirm_a_zero(gpu: Gpu) -> None:
    gpu.write_bytes("gpu_metrics", b"any")
    table = Table(Metrics(energy_joules=0.0, hbm_celsius=[0.0, None]))
    assert says(gpu, "hbm0_millidegrees", table.parse) is None
    assert isinstance(says(gpu, "hbm1_millidegrees", table.parse), NoDataError)
    assert says(gpu, "energy_count", table.parse) is None  # whether it counts is decided where it is used
