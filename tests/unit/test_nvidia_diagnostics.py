"""The readings of the set `diagnostics`, as the QueryRunner reads them."""

from collections.abc import Callable

import pytest

from collectors import catalog
from collectors.metric import Cadence, Subject
from collectors.nvidia import diagnostics
from collectors.nvidia.readings import device_queries
from collectors.query import rows_of
from tests.doubles.nvidia_device import QueriedDevice, mig_device, reasons, values
from tests.doubles.nvml import Device, NvmlState, ValueType, h100
from tests.doubles.options import DIAGNOSED, USUAL

HISTOGRAM, SRAM = "nvmlDeviceGetRowRemapperHistogram", "nvmlDeviceGetSramEccErrorStatus"
REPAIRS = "nvmlDeviceGetRepairStatus"
STATE = "nvmlDeviceGetPerformanceState"
CALLS = (HISTOGRAM, SRAM, REPAIRS, STATE)
NO_PERMISSION = 4
QUERIES = device_queries(DIAGNOSED)

Queried = Callable[[Device], QueriedDevice]


@pytest.fixture
def queried(nvml: NvmlState) -> Queried:
    def queried(card: Device) -> QueriedDevice:
        nvml.devices = [card]
        return QueriedDevice(nvml, QUERIES)

    return queried


def worn() -> Device:
    """A card with distinct numbers."""
    card = h100(0)
    card.banks_max_spare, card.banks_high_spare, card.banks_partial_spare = 2500, 40, 12
    card.banks_low_spare, card.banks_no_spare = 7, 1
    card.sram_volatile_corrected, card.sram_volatile_parity, card.sram_volatile_secded = 5, 2, 1
    card.sram_lifetime_corrected, card.sram_lifetime_parity, card.sram_lifetime_secded = 50, 20, 10
    card.sram_threshold_exceeded = 1
    card.channel_repair_pending, card.tpc_repair_pending = 1, 0
    card.ecc_mode_pending, card.mig_mode_pending, card.performance_state = 0, 0, 5
    return card


def test_they_are_read_only_if_asked_for(nvml: NvmlState) -> None:
    nvml.devices = [worn()]
    usual = device_queries(USUAL)
    QueriedDevice(nvml, usual).query(times=2)
    assert [nvml.calls(call) for call in CALLS] == [0, 0, 0, 0]
    of_option = rows_of(QUERIES) - rows_of(usual)
    assert of_option == rows_of(diagnostics.QUERIES) | {row for item in diagnostics.ITEMS for row in item.rows}
    assert all(row.opt_in(Subject.DEVICE) for row in of_option)


@pytest.mark.parametrize(("current", "pending"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_mode_is_pending_if_it_is_not_the_current_one(queried: Queried, current: int, pending: int) -> None:
    card = worn()
    card.ecc_mode, card.ecc_mode_pending = current, pending
    card.mig_mode, card.mig_mode_pending = pending, current
    changes = values(queried(card).query(), catalog.MODE_CHANGE_PENDING)
    assert changes == dict.fromkeys([("partitioning",), ("ecc",)], float(current != pending))


def test_a_mode_that_is_neither_on_nor_off_is_an_invalid_value(queried: Queried) -> None:
    card = worn()
    card.ecc_mode_pending = 2
    result = queried(card).query()
    assert reasons(result) == ["invalid_value"]
    assert values(result, catalog.MODE_CHANGE_PENDING) == {("partitioning",): 0}


@pytest.mark.parametrize("state", [0, 8, 15])
def test_the_performance_state(queried: Queried, state: int) -> None:
    card = worn()
    card.performance_state = state
    assert values(queried(card).query(frozenset({Cadence.MEDIUM})), catalog.PERFORMANCE_STATE) == {(): state}


@pytest.mark.parametrize(("state", "faults"), [(32, []), (16, ["invalid_value"])])
def test_an_unknown_performance_state_is_absent_and_an_impossible_one_invalid(
    queried: Queried, state: int, faults: list[str]
) -> None:
    card = worn()
    card.performance_state = state
    result = queried(card).query()
    assert values(result, catalog.PERFORMANCE_STATE) == {}
    assert reasons(result) == faults


def test_banks_are_counted_by_their_spare_rows(queried: Queried) -> None:
    assert values(queried(worn()).query(), catalog.MEMORY_BANKS) == {
        ("max",): 2500,
        ("high",): 40,
        ("partial",): 12,
        ("low",): 7,
        ("none",): 1,
    }


def test_errors_of_sram_are_those_since_the_driver_was_loaded_and_of_the_lifetime(queried: Queried) -> None:
    """Uncorrected errors are those of memories with parity and of memories with SEC-DED."""
    result = queried(worn()).query()
    assert values(result, catalog.SRAM_ERRORS) == {("corrected",): 5, ("uncorrected",): 3}
    assert values(result, catalog.SRAM_LIFETIME_ERRORS) == {("corrected",): 50, ("uncorrected",): 30}
    assert values(result, catalog.SRAM_THRESHOLD_EXCEEDED) == {(): 1}


def test_a_count_of_sram_that_is_not_available_is_an_invalid_value(queried: Queried) -> None:
    card = worn()
    card.sram_volatile_secded = 2**64 - 1
    result = queried(card).query()
    assert reasons(result) == ["invalid_value"]
    assert values(result, catalog.SRAM_ERRORS) == {}


def test_pending_repairs(queried: Queried) -> None:
    assert values(queried(worn()).query(), catalog.REPAIR_PENDING) == {("channel",): 1, ("tpc",): 0}


def test_a_flag_is_0_or_1_or_invalid(queried: Queried) -> None:
    card = worn()
    card.channel_repair_pending, card.sram_threshold_exceeded = 2, 0xFFFFFFFF
    result = queried(card).query()
    assert reasons(result) == ["invalid_value"] * 2
    assert values(result, catalog.REPAIR_PENDING) == {("tpc",): 0}
    assert values(result, catalog.SRAM_THRESHOLD_EXCEEDED) == {}


def test_the_remapper_of_banks_is_read_by_fields(queried: Queried) -> None:
    card = worn()
    for field, value in enumerate((11, 12, 13, 14, 15, 16, 1), 301):
        card.set_field(field, value, ValueType.UNSIGNED_INT)
    result = queried(card).query()
    assert values(result, catalog.MEMORY_INACTIVE_ROWS) == {("corrected",): 11, ("uncorrected",): 12}
    assert values(result, catalog.MEMORY_REMAPPED_BANKS) == {("active",): 13, ("inactive",): 14}
    assert values(result, catalog.MEMORY_BANK_GROUPS) == {("max",): 15, ("none",): 16}
    assert values(result, catalog.REPAIR_PENDING) == {("channel",): 1, ("tpc",): 0, ("bank",): 1}


def test_what_a_driver_does_not_have_is_unsupported_and_affects_nothing_else(queried: Queried) -> None:
    card = worn()
    card.banks_max_spare = card.sram_volatile_corrected = card.channel_repair_pending = None
    card.ecc_mode = card.mig_mode = card.performance_state = None
    device = queried(card)
    result = device.query(times=2)
    assert result.faults == []
    missing = rows_of(diagnostics.QUERIES) | {row for item in diagnostics.ITEMS for row in item.rows}
    assert missing <= device.gaps().keys()
    assert values(result, catalog.POWER) == {(): 71}


def test_sram_is_unsupported_while_ecc_is_off(queried: Queried) -> None:
    card = worn()
    card.ecc_mode = 0
    device = queried(card)
    assert values(device.query(), catalog.SRAM_ERRORS) == {}
    assert catalog.SRAM_ERRORS in device.gaps()


def test_a_refusal_of_sram_errors_is_counted_once(queried: Queried, nvml: NvmlState) -> None:
    """According to the header they need root."""
    nvml.fail(SRAM, NO_PERMISSION)
    device = queried(worn())
    assert reasons(device.query()) == ["permission_denied"]
    assert device.query().faults == []
    assert catalog.SRAM_ERRORS in device.gaps()


def test_a_device_in_mig_mode_has_no_histogram(queried: Queried) -> None:
    card = worn()
    card.partition([mig_device(1)])
    device = queried(card)
    result = device.query()
    assert values(result, catalog.MEMORY_BANKS) == {}
    assert values(result, catalog.SRAM_THRESHOLD_EXCEEDED) == {(): 1}
    assert values(result, catalog.REPAIR_PENDING) == {("channel",): 1, ("tpc",): 0}
