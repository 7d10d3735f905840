from collections.abc import Callable

import pytest

from collectors import catalog
from collectors.metric import Cadence
from collectors.nvidia import field_values, reliability
from collectors.nvidia.nvml import Queries
from tests.doubles.nvidia_device import AskedDevice, reasons, values
from tests.doubles.nvml import RECOVERY_ACTION_FIELD, Device, NvmlState, ValueType, h100

ECC, ROWS, PAGES = "nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetRetiredPages"
PENDING = "nvmlDeviceGetRetiredPagesPendingStatus"
QUESTIONS: Queries = (*reliability.QUERIES, field_values.batch(*reliability.ITEMS))
MEDIUM = frozenset({Cadence.MEDIUM})


def hopper() -> Device:
    """Different numbers, the greater of each over its life."""
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
def asked(nvml: NvmlState) -> Callable[[Device], AskedDevice]:
    def asked(card: Device) -> AskedDevice:
        nvml.devices = [card]
        return AskedDevice(nvml, QUESTIONS)

    return asked


Asked = Callable[[Device], AskedDevice]


def test_memory_errors_since_the_driver_was_loaded_and_over_the_life_of_the_device(asked: Asked) -> None:
    findings = asked(hopper()).ask()
    assert values(findings, catalog.MEMORY_ERRORS) == {("corrected",): 10, ("uncorrected",): 20}
    assert values(findings, catalog.MEMORY_LIFETIME_ERRORS) == {("corrected",): 11, ("uncorrected",): 21}


def test_without_ecc_there_are_no_counts_and_no_further_queries(asked: Asked, nvml: NvmlState) -> None:
    bench = asked(hopper())
    bench.card.ecc_mode = 0
    for _ in range(2):
        findings = bench.ask()
        assert values(findings, catalog.MEMORY_ERRORS) == values(findings, catalog.MEMORY_LIFETIME_ERRORS) == {}
        assert findings.faults == []
    assert nvml.calls(ECC) == 4


def test_remapped_rows(asked: Asked, nvml: NvmlState) -> None:
    findings = asked(hopper()).ask()
    assert values(findings, catalog.MEMORY_REMAPPED_ROWS) == {("corrected",): 3, ("uncorrected",): 2}
    assert values(findings, catalog.MEMORY_REPAIR_PENDING) == {(): 1}
    assert values(findings, catalog.MEMORY_REPAIR_FAILED) == {(): 0}
    assert values(findings, catalog.MEMORY_RETIRED_PAGES) == {}
    assert (nvml.calls(PAGES), nvml.calls(PENDING)) == (0, 0)


def test_retired_pages_of_older_devices(asked: Asked) -> None:
    findings = asked(turing()).ask()
    assert values(findings, catalog.MEMORY_RETIRED_PAGES) == {("corrected",): 5, ("uncorrected",): 2}
    assert values(findings, catalog.MEMORY_REPAIR_PENDING) == {(): 1}
    assert values(findings, catalog.MEMORY_REMAPPED_ROWS) == values(findings, catalog.MEMORY_REPAIR_FAILED) == {}


@pytest.mark.parametrize(("pending", "failed"), [(2, 0), (0, 0xFFFFFFFF)])
def test_a_flag_is_0_or_1_or_invalid(asked: Asked, pending: int, failed: int) -> None:
    card = hopper()
    card.remapping_pending, card.remapping_failed = pending, failed
    findings = asked(card).ask()
    assert reasons(findings) == ["invalid_value"]
    assert values(findings, catalog.MEMORY_REPAIR_PENDING) == {}


ACTIONS = {
    0: "none",
    1: "reset",
    2: "reboot",
    3: "drain",
    4: "drain_and_reset",
    5: "recover_fabric",
    6: "bus_reset",
    7: "reboot",
}


@pytest.mark.parametrize(("number", "action"), ACTIONS.items())
def test_the_recovery_action_is_one_of_a_closed_list(asked: Asked, number: int, action: str) -> None:
    bench = asked(hopper())
    bench.card.set_field(RECOVERY_ACTION_FIELD, number, ValueType.UNSIGNED_INT)
    told = values(bench.ask(MEDIUM), catalog.RECOVERY_ACTION)
    assert tuple(label for (label,) in told) == catalog.RECOVERY_ACTION.labels[0].values
    assert [label for (label,), value in told.items() if value] == [action]


@pytest.mark.parametrize("number", [8, 0xFFFFFFFF])
def test_an_unknown_action_is_an_invalid_value(asked: Asked, number: int) -> None:
    bench = asked(hopper())
    bench.card.set_field(RECOVERY_ACTION_FIELD, number, ValueType.UNSIGNED_INT)
    findings = bench.ask()
    assert reasons(findings) == ["invalid_value"]
    assert values(findings, catalog.RECOVERY_ACTION) == {}


def test_an_old_driver_has_no_recovery_action(asked: Asked) -> None:
    bench = asked(hopper())
    bench.card.fields = ()
    assert values(bench.ask(), catalog.RECOVERY_ACTION) == {}
    assert catalog.RECOVERY_ACTION in bench.gaps()


def test_only_the_recovery_action_is_queried_at_medium_polls(asked: Asked, nvml: NvmlState) -> None:
    bench = asked(hopper())
    before = nvml.all_calls(device=0)
    bench.ask(frozenset({Cadence.FAST, Cadence.MEDIUM}))
    assert nvml.all_calls(device=0) - before == nvml.calls("nvmlDeviceGetFieldValues") == 1
