from collections.abc import Callable

import pytest

from collectors import catalog
from collectors.metric import Cadence
from collectors.nvidia import reliability
from collectors.nvidia.nvml import Queries
from tests.doubles.nvidia_device import QueriedDevice, reasons, values
from tests.doubles.nvml import RECOVERY_ACTION_FIELD, Device, NvmlState, ValueType, h100

ECC, ROWS, PAGES = "nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetRetiredPages"
PENDING = "nvmlDeviceGetRetiredPagesPendingStatus"
QUERIES: Queries = (*reliability.QUERIES, reliability.RecoveryAction().query)
MEDIUM = frozenset({Cadence.MEDIUM})


def hopper() -> Device:
    """A card with distinct numbers; those over its life are greater."""
    card = h100(0)
    card.ecc_volatile_corrected, card.ecc_lifetime_corrected = 10, 11
    card.ecc_volatile_uncorrected, card.ecc_lifetime_uncorrected = 20, 21
    card.remapped_rows_corrected, card.remapped_rows_uncorrected = 3, 2
    card.remapping_pending, card.remapping_failed = 1, 0
    return card


def turing() -> Device:
    card = hopper()
    card.remapped_rows_corrected = None
    card.retired_pages_corrected, card.retired_pages_uncorrected, card.retirement_pending = 5, 2, 1
    return card


@pytest.fixture
def queried(nvml: NvmlState) -> Callable[[Device], QueriedDevice]:
    def queried(card: Device) -> QueriedDevice:
        nvml.devices = [card]
        return QueriedDevice(nvml, QUERIES)

    return queried


Queried = Callable[[Device], QueriedDevice]


def test_memory_errors_since_the_driver_was_loaded_and_over_the_life_of_the_device(queried: Queried) -> None:
    result = queried(hopper()).query()
    assert values(result, catalog.MEMORY_ERRORS) == {("corrected",): 10, ("uncorrected",): 20}
    assert values(result, catalog.MEMORY_LIFETIME_ERRORS) == {("corrected",): 11, ("uncorrected",): 21}


def test_without_ecc_there_are_no_counts_and_no_further_queries(queried: Queried, nvml: NvmlState) -> None:
    device = queried(hopper())
    device.card.ecc_mode = 0
    for _ in range(2):
        result = device.query()
        assert values(result, catalog.MEMORY_ERRORS) == values(result, catalog.MEMORY_LIFETIME_ERRORS) == {}
        assert result.faults == []
    assert nvml.calls(ECC) == 4


def test_remapped_rows(queried: Queried, nvml: NvmlState) -> None:
    result = queried(hopper()).query()
    assert values(result, catalog.MEMORY_REMAPPED_ROWS) == {("corrected",): 3, ("uncorrected",): 2}
    assert values(result, catalog.MEMORY_REPAIR_PENDING) == {(): 1}
    assert values(result, catalog.MEMORY_REPAIR_FAILED) == {(): 0}
    assert values(result, catalog.MEMORY_RETIRED_PAGES) == {}
    assert (nvml.calls(PAGES), nvml.calls(PENDING)) == (0, 0)


def test_retired_pages_of_older_devices(queried: Queried) -> None:
    result = queried(turing()).query()
    assert values(result, catalog.MEMORY_RETIRED_PAGES) == {("corrected",): 5, ("uncorrected",): 2}
    assert values(result, catalog.MEMORY_REPAIR_PENDING) == {(): 1}
    assert values(result, catalog.MEMORY_REMAPPED_ROWS) == values(result, catalog.MEMORY_REPAIR_FAILED) == {}


@pytest.mark.parametrize(("pending", "failed"), [(2, 0), (0, 0xFFFFFFFF)])
def test_a_flag_is_0_or_1_or_invalid(queried: Queried, pending: int, failed: int) -> None:
    card = hopper()
    card.remapping_pending, card.remapping_failed = pending, failed
    result = queried(card).query()
    assert reasons(result) == ["invalid_value"]
    assert values(result, catalog.MEMORY_REPAIR_PENDING) == {}


ACTIONS = {
    0: "none",
    1: "reset",
    2: "reboot",
    3: "drain",
    4: "drain_and_reset",
}
NEW_ACTIONS = ACTIONS | {5: "recover_fabric", 6: "bus_reset", 7: "reboot"}
OLD_ACTIONS = ACTIONS | {5: "bus_reset"}


@pytest.mark.parametrize(
    ("version", "number", "action"),
    [
        *(("595.45", *each) for each in NEW_ACTIONS.items()),
        *(("580.126.09", *each) for each in OLD_ACTIONS.items()),
    ],
)
def test_the_recovery_action_is_one_of_a_closed_list(
    queried: Queried, nvml: NvmlState, version: str, number: int, action: str
) -> None:
    device = queried(hopper())
    nvml.driver_version = version
    device.card.set_field(RECOVERY_ACTION_FIELD, number, ValueType.UNSIGNED_INT)
    actions = values(device.query(MEDIUM), catalog.RECOVERY_ACTION)
    assert tuple(label for (label,) in actions) == catalog.RECOVERY_ACTION.labels[0].values
    assert [label for (label,), value in actions.items() if value] == [action]


@pytest.mark.parametrize(
    ("version", "number", "faults"),
    [("595.45", 8, []), ("595.45", 255, []), ("595.45", 0xFFFFFFFF, ["invalid_value"]), ("580.65", 6, [])],
)
def test_an_unknown_action_has_no_series(
    queried: Queried, nvml: NvmlState, version: str, number: int, faults: list[str]
) -> None:
    device = queried(hopper())
    nvml.driver_version = version
    device.card.set_field(RECOVERY_ACTION_FIELD, number, ValueType.UNSIGNED_INT)
    result = device.query()
    assert reasons(result) == faults
    assert values(result, catalog.RECOVERY_ACTION) == {}


def test_an_old_driver_has_no_recovery_action(queried: Queried) -> None:
    device = queried(hopper())
    device.card.fields = ()
    assert values(device.query(), catalog.RECOVERY_ACTION) == {}
    assert catalog.RECOVERY_ACTION in device.gaps()


def test_only_the_recovery_action_is_queried_at_medium_polls(queried: Queried, nvml: NvmlState) -> None:
    device = queried(hopper())
    before = nvml.all_calls(device=0)
    device.query(frozenset({Cadence.FAST, Cadence.MEDIUM}))
    assert nvml.all_calls(device=0) - before == nvml.calls("nvmlDeviceGetFieldValues") == 1
