"""The binding of `libamd_smi`, in the real worker process, with a library built with gcc."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.amd.rocm_smi import libamd_smi
from collectors.amd.rocm_smi.backend import RocmSmiBackend
from collectors.amd.rocm_smi.child import DiedError
from collectors.amd.rocm_smi.librocm_smi import BLOCKS, READINGS
from collectors.contract import CollectorError, Reason, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError, NoDataError
from tests.doubles.amd_smi import AmdSmiState, amd_smi_backend, build_amd_smi

ADDRESS, OTHER, THIRD = "0000:63:00.0", "0001:43:02.1", "0000:05:00.0"
VALUES = {
    "gfx_activity": 37,
    "umc_activity": 12,
    "vram_total": 68_702_699_520,
    "vram_used": 17_175_674_880,
    "gtt_used": 1_073_741_824,
    "power_now": 611,
    "power_average": 96,
    "power_cap": 750_000_000,
    "energy": 6_553_600_000,
    "edge": 41,
    "junction": 48,
    "vram": 52,
    "hbm0": 50,
    "hbm1": 51,
    "hbm2": 53,
    "hbm3": 54,
    **{f"corrected_{block:x}": 1000 + block for block in BLOCKS.values()},
    **{f"uncorrected_{block:x}": 2000 + block for block in BLOCKS.values()},
}
# In the units of the names of the readings.
EXPECTED = {
    "utilization_percent": 37,
    "memory_activity_percent": 12,
    "vram_total_bytes": 68_702_699_520,
    "vram_used_bytes": 17_175_674_880,
    "gtt_used_bytes": 1_073_741_824,
    "power_average_microwatts": 96_000_000,
    "power_current_microwatts": 611_000_000,
    "power_cap_microwatts": 750_000_000,
    "energy_count": 6_553_600_000,
    "edge_millidegrees": 41_000,
    "junction_millidegrees": 48_000,
    "memory_millidegrees": 52_000,
    "hbm0_millidegrees": 50_000,
    "hbm1_millidegrees": 51_000,
    "hbm2_millidegrees": 53_000,
    "hbm3_millidegrees": 54_000,
    **{f"{name}_corrected": 1000 + block for name, block in BLOCKS.items()},
    **{f"{name}_uncorrected": 2000 + block for name, block in BLOCKS.items()},
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_amd_smi(tmp_path_factory.mktemp("amd-smi"))


@pytest.fixture
def state(tmp_path: Path) -> AmdSmiState:
    made = AmdSmiState(tmp_path / "state")
    made.add(ADDRESS, **VALUES)
    return made


@pytest.fixture
def backend(library: Path, state: AmdSmiState) -> Iterator[RocmSmiBackend]:
    with amd_smi_backend(library, state) as made:
        yield made


def result_of(backend: RocmSmiBackend, name: str, address: str = ADDRESS) -> float | CollectorError:
    [value] = backend.read(address, [name])
    return value


def test_every_reading_has_the_unit_of_its_name(backend: RocmSmiBackend) -> None:
    names = list(EXPECTED)
    assert dict(zip(names, backend.read(ADDRESS, names), strict=True)) == EXPECTED


def test_the_readings_are_the_same_as_of_rocm_smi() -> None:
    assert libamd_smi.READINGS.keys() == READINGS.keys() == EXPECTED.keys() | {"pcie_replays"}


def test_devices_are_found_by_their_addresses(backend: RocmSmiBackend, state: AmdSmiState) -> None:
    state.add(OTHER, gfx_activity=81)
    state.add(THIRD, gfx_activity=5)
    asked = {address: result_of(backend, "utilization_percent", address) for address in (THIRD, OTHER, ADDRESS)}
    assert asked == {THIRD: 5, OTHER: 81, ADDRESS: 37}


def test_a_device_that_is_not_listed_is_unsupported(backend: RocmSmiBackend) -> None:
    with pytest.raises(UnsupportedError, match=r"^libamd_smi 26\.1\.3 does not list 0000:99:00\.0$"):
        backend.read("0000:99:00.0", ["utilization_percent"])


def test_values_are_read_again_at_each_request(backend: RocmSmiBackend, state: AmdSmiState) -> None:
    assert result_of(backend, "utilization_percent") == 37
    state.update(ADDRESS, gfx_activity=99)
    assert result_of(backend, "utilization_percent") == 99


@pytest.mark.parametrize(("first", "second"), [(24, 6), (24, 7), (25, 3), (26, 0), (27, 0)])
def test_power_is_read_from_the_structure_of_each_release(
    backend: RocmSmiBackend, state: AmdSmiState, first: int, second: int
) -> None:
    state.release(first, second)
    assert result_of(backend, "power_average_microwatts") == 96_000_000
    assert result_of(backend, "power_current_microwatts") == 611_000_000


def test_power_of_an_unknown_release_is_unsupported(backend: RocmSmiBackend, state: AmdSmiState) -> None:
    state.release(28, 0)
    error = result_of(backend, "power_current_microwatts")
    assert isinstance(error, UnsupportedError)
    assert str(error) == "amdsmi_get_power_info: the position of the power in 28.0.3 is unknown"
    assert result_of(backend, "utilization_percent") == 37


@pytest.mark.parametrize(("first", "second"), [(23, 4), (24, 5)])
def test_a_release_with_other_units_is_not_used(
    backend: RocmSmiBackend, state: AmdSmiState, first: int, second: int
) -> None:
    state.release(first, second)
    with pytest.raises(UnavailableError, match=rf"libamd_smi {first}\.{second}\.3 is too old"):
        backend.read(ADDRESS, ["utilization_percent"])


@pytest.mark.parametrize("mark", [0xFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize(
    ("name", "figure", "expected"),
    [
        ("utilization_percent", "gfx_activity", NoDataError),
        ("memory_activity_percent", "umc_activity", NoDataError),
        # A card has only one of the two, which replaces the other.
        ("power_current_microwatts", "power_now", UnsupportedError),
        ("power_average_microwatts", "power_average", UnsupportedError),
    ],
)
def test_a_sentinel_is_not_a_value(
    backend: RocmSmiBackend,
    state: AmdSmiState,
    name: str,
    figure: str,
    expected: type[CollectorError],
    mark: int,
) -> None:
    state.update(ADDRESS, **{figure: mark})
    assert isinstance(result_of(backend, name), expected)


def test_more_than_100_percent_is_an_invalid_value(backend: RocmSmiBackend, state: AmdSmiState) -> None:
    state.update(ADDRESS, gfx_activity=101)
    assert isinstance(result_of(backend, "utilization_percent"), InvalidValueError)


@pytest.mark.parametrize(
    ("status", "expected", "reason"),
    [
        (2, UnsupportedError, None),
        (3, UnsupportedError, None),
        (10, UnavailableError, Reason.PERMISSION_DENIED),
        (31, NoDataError, None),
        (40, NoDataError, None),
        (43, InvalidValueError, Reason.INVALID_VALUE),
        (30, UnavailableError, Reason.UNAVAILABLE),
        (0xFFFFFFFF, UnavailableError, Reason.UNAVAILABLE),
    ],
)
def test_a_status_is_an_error_of_the_contract(
    backend: RocmSmiBackend,
    state: AmdSmiState,
    status: int,
    expected: type[CollectorError],
    reason: Reason | None,
) -> None:
    state.fail("amdsmi_get_energy_count", status)
    error, fine = backend.read(ADDRESS, ["energy_count", "utilization_percent"])
    assert type(error) is expected
    assert str(error) == f"amdsmi_get_energy_count: status {status}"
    assert reason is None or (isinstance(error, CollectorError) and error.reason is reason)
    assert fine == 37


def test_a_function_that_the_release_lacks_is_unsupported(backend: RocmSmiBackend) -> None:
    error = result_of(backend, "pcie_replays")  # the double has no such function
    assert isinstance(error, UnsupportedError)
    assert "amdsmi_get_gpu_pci_replay_counter" in str(error)


def test_an_abort_loses_only_the_reading_that_caused_it(backend: RocmSmiBackend, state: AmdSmiState) -> None:
    state.add(OTHER, energy=7)
    state.abort("amdsmi_get_energy_count", ADDRESS)
    busy, deadly, hot = backend.read(ADDRESS, ["utilization_percent", "energy_count", "edge_millidegrees"])
    assert (busy, hot) == (37, 41_000)
    assert isinstance(deadly, UnavailableError)
    assert "SIGABRT" in str(deadly)
    assert isinstance(result_of(backend, "energy_count"), UnsupportedError)  # the third death in a row
    assert result_of(backend, "energy_count", OTHER) == 7


def test_an_abort_at_the_start_is_reported_as_such(backend: RocmSmiBackend, state: AmdSmiState) -> None:
    state.abort("amdsmi_init")
    with pytest.raises(DiedError, match=r"SIGABRT.*\(at amdsmi_init\)"):
        backend.read(ADDRESS, ["energy_count"])


def test_if_no_library_starts_the_error_has_both_reasons(backend: RocmSmiBackend, state: AmdSmiState) -> None:
    state.fail("amdsmi_init", 34)
    with pytest.raises(UnavailableError, match=r"librocm_smi64.*; amdsmi_init: status 34; install") as caught:
        backend.read(ADDRESS, ["energy_count"])
    assert caught.value.reason is Reason.LIBRARY_MISSING


def test_if_no_library_is_installed_the_error_has_advice(tmp_path: Path, state: AmdSmiState) -> None:
    with amd_smi_backend(tmp_path, state) as backend, pytest.raises(UnavailableError) as caught:
        backend.read(ADDRESS, ["energy_count"])
    assert caught.value.reason is Reason.LIBRARY_MISSING
    assert "librocm_smi64" in str(caught.value)
    assert "libamd_smi" in str(caught.value)
    assert str(caught.value).endswith("install ROCm SMI or AMD SMI in the image, or leave amd.backend at auto")
