import pytest

from collectors import catalog
from collectors.contract import Reason, SubjectKey
from collectors.metric import Cadence, Metric
from collectors.nvidia import field_values, reliability
from collectors.nvidia.nvml import Handle, Queries, QueryRunner
from collectors.query_runner import QueryResult
from tests.doubles.nvml_binding import FakeGpu, border

ECC, ROWS, PAGES = "nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetRetiredPages"
PENDING = "nvmlDeviceGetRetiredPagesPendingStatus"
RECOVERY = 230
QUESTIONS: Queries = (*reliability.QUERIES, field_values.batch(*reliability.ITEMS))
ALL = frozenset(Cadence)


def ecc(error_type: int, counter: int) -> int:
    """Different numbers: corrected 10 and 11, uncorrected 20 and 21, the latter of each over its life."""
    return 10 * (error_type + 1) + counter


def pages(cause: int) -> list[int]:
    """Five for corrected errors, two for others."""
    return [0x1000] * (5 if cause == 0 else 2)


def hopper() -> FakeGpu:
    gpu = FakeGpu(answers={ECC: ecc, ROWS: (3, 2, 1, 0)}, fields={(RECOVERY, 0): (0, 1, 0)})
    gpu.errors |= {PAGES: 3, PENDING: 3}
    return gpu


def turing() -> FakeGpu:
    gpu = FakeGpu(answers={ECC: ecc, PAGES: pages, PENDING: 1})
    gpu.errors[ROWS] = 3
    return gpu


def ask(gpu: FakeGpu, runner: QueryRunner | None = None, due: frozenset[Cadence] = ALL) -> QueryResult:
    return (runner or QueryRunner(border(gpu))).run(SubjectKey(gpu.uuid), Handle(gpu), QUESTIONS, due)


def values(findings: QueryResult, metric: Metric) -> dict[tuple[str, ...], float]:
    return {sample.labels: sample.value for sample in findings.samples if sample.metric is metric}


def test_memory_errors_since_the_driver_was_loaded_and_over_its_life() -> None:
    findings = ask(hopper())
    assert values(findings, catalog.MEMORY_ERRORS) == {("corrected",): 10, ("uncorrected",): 20}
    assert values(findings, catalog.MEMORY_LIFETIME_ERRORS) == {("corrected",): 11, ("uncorrected",): 21}


def test_without_ecc_there_are_no_counts_and_no_further_questions() -> None:
    gpu = hopper()
    gpu.errors[ECC] = 3
    runner = QueryRunner(border(gpu))
    for _ in range(2):
        findings = ask(gpu, runner)
        assert values(findings, catalog.MEMORY_ERRORS) == values(findings, catalog.MEMORY_LIFETIME_ERRORS) == {}
        assert findings.faults == []
    assert gpu.calls[ECC] == 4


def test_remapped_rows() -> None:
    findings = ask(hopper())
    assert values(findings, catalog.MEMORY_REMAPPED_ROWS) == {("corrected",): 3, ("uncorrected",): 2}
    assert values(findings, catalog.MEMORY_REPAIR_PENDING) == {(): 1}
    assert values(findings, catalog.MEMORY_REPAIR_FAILED) == {(): 0}
    assert values(findings, catalog.MEMORY_RETIRED_PAGES) == {}


def test_a_device_that_remaps_rows_is_not_asked_for_retired_pages() -> None:
    gpu = hopper()
    ask(gpu)
    assert (gpu.calls[PAGES], gpu.calls[PENDING]) == (0, 0)


def test_retired_pages_of_older_devices() -> None:
    findings = ask(turing())
    assert values(findings, catalog.MEMORY_RETIRED_PAGES) == {("corrected",): 5, ("uncorrected",): 2}
    assert values(findings, catalog.MEMORY_REPAIR_PENDING) == {(): 1}
    assert values(findings, catalog.MEMORY_REMAPPED_ROWS) == values(findings, catalog.MEMORY_REPAIR_FAILED) == {}


@pytest.mark.parametrize("rows", [(0, 0, 2, 0), (0, 0, 0, 0xFFFFFFFF)])
def test_a_flag_is_0_or_1_or_invalid(rows: tuple[int, ...]) -> None:
    gpu = hopper()
    gpu.answers[ROWS] = rows
    findings = ask(gpu)
    assert [fault.reason for fault in findings.faults] == [Reason.INVALID_VALUE]
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
def test_the_recovery_action_is_one_of_a_closed_list(number: int, action: str) -> None:
    gpu = hopper()
    gpu.fields[RECOVERY, 0] = (number, 1, 0)
    told = values(ask(gpu, due=frozenset({Cadence.MEDIUM})), catalog.RECOVERY_ACTION)
    assert tuple(label for (label,) in told) == catalog.RECOVERY_ACTION.labels[0].values
    assert [label for (label,), value in told.items() if value] == [action]


@pytest.mark.parametrize("number", [8, 0xFFFFFFFF])
def test_an_action_nobody_knows_is_an_invalid_value(number: int) -> None:
    gpu = hopper()
    gpu.fields[RECOVERY, 0] = (number, 1, 0)
    findings = ask(gpu)
    assert [fault.reason for fault in findings.faults] == [Reason.INVALID_VALUE]
    assert values(findings, catalog.RECOVERY_ACTION) == {}


def test_an_old_driver_does_not_say_what_must_be_done() -> None:
    gpu = hopper()
    gpu.fields.clear()
    runner = QueryRunner(border(gpu))
    assert values(ask(gpu, runner), catalog.RECOVERY_ACTION) == {}
    assert catalog.RECOVERY_ACTION in {gap.metric for gap in runner.unsupported()}


def test_only_the_recovery_action_is_asked_more_often_than_slowly() -> None:
    gpu = hopper()
    ask(gpu, due=frozenset({Cadence.FAST, Cadence.MEDIUM}))
    assert gpu.calls == {"nvmlDeviceGetFieldValues": 1}
