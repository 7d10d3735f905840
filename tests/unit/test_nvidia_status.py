from collections.abc import Callable

import pytest

from collectors import catalog, labels
from collectors.contract import Sample
from collectors.metric import Metric
from collectors.nvidia.status import RULES, HealthFacts, StatusTable, conditions_of, state_of
from collectors.nvidia.xid import Effect
from tests.doubles.collectors import Clock

GPU = "GPU-0"
# For each rule, facts for which only this rule holds.
FACTS: dict[str, Callable[[], HealthFacts]] = {
    "lost": lambda: HealthFacts(lost=True),
    "recovery_required": lambda: HealthFacts(recovery="reset"),
    "fatal_event": lambda: HealthFacts(events={("xid", "79"): Effect.FAILED}),
    "repair_failed": lambda: HealthFacts(repair_failed=True),
    "recovery_advised": lambda: HealthFacts(recovery="drain_and_reset"),
    "recovery_unknown": lambda: HealthFacts(recovery="unknown"),
    "repair_pending": lambda: HealthFacts(repair_pending=True),
    "hardware_event": lambda: HealthFacts(events={("xid", "48"): Effect.DEGRADED}),
    "uncorrected_errors": lambda: HealthFacts(uncorrected_errors=1),
    "fabric_unregistered": lambda: HealthFacts(fabric="failed"),
    "fabric_unhealthy": lambda: HealthFacts(fabric_conditions={"degraded_bandwidth"}),
}
STATES = {
    "lost": "failed",
    "recovery_required": "failed",
    "fatal_event": "failed",
    "repair_failed": "predicted_failure",
    "recovery_advised": "degraded",
    "recovery_unknown": "degraded",
    "repair_pending": "degraded",
    "hardware_event": "degraded",
    "uncorrected_errors": "degraded",
    "fabric_unregistered": "degraded",
    "fabric_unhealthy": "degraded",
}


def sample(metric: Metric, value: float, *own: str, partition: str = "") -> Sample:
    return Sample(metric, GPU, value, partition, own)


def recovery(action: str) -> list[Sample]:
    return [sample(catalog.RECOVERY_ACTION, value == action, value) for value in labels.RECOVERY.values]


def fabric(state: str) -> list[Sample]:
    return [sample(catalog.FABRIC_STATUS, value == state, "nvlink", value) for value in labels.FABRIC_STATE.values]


def state(table: StatusTable, uuid: str = GPU) -> str:
    samples = table.samples(uuid)
    assert tuple(sample.labels[0] for sample in samples) == labels.STATUS.values
    assert sorted(sample.value for sample in samples) == [0, 0, 0, 1]
    assert {(sample.metric, sample.device_uuid) for sample in samples} == {(catalog.STATUS_STATE, uuid)}
    return next(sample.labels[0] for sample in samples if sample.value)


def test_every_rule_is_tested_here() -> None:
    assert [rule.name for rule in RULES] == list(FACTS) == list(STATES)


@pytest.mark.parametrize("name", FACTS)
def test_each_rule_alone_decides_the_state(name: str) -> None:
    facts = FACTS[name]()
    assert [rule.name for rule in RULES if rule.holds(facts)] == [name]
    assert state_of(facts) == STATES[name]


@pytest.mark.parametrize("name", FACTS)
def test_each_rule_says_why_and_what_to_do(name: str) -> None:
    conditions = conditions_of(FACTS[name]())
    assert {condition.state for condition in conditions} == {STATES[name]}
    assert all(condition.text and condition.do and not condition.text.endswith(".") for condition in conditions)


def test_events_and_actions_are_named_in_words_the_worst_first() -> None:
    events = {("xid", "48"): Effect.DEGRADED, ("xid", "79"): Effect.FAILED}
    facts = HealthFacts(recovery="drain_and_reset", events=events, fabric_conditions={"route_unhealthy"})
    assert [(condition.state, condition.text) for condition in conditions_of(facts)] == [
        ("failed", "XID 79: The device has fallen off the bus"),
        ("degraded", "The driver recommends to reset the device when it is free"),
        ("degraded", "XID 48: Double-bit memory error, not corrected"),
        ("degraded", "The NVLink fabric reports an unhealthy route for the device"),
    ]


@pytest.mark.parametrize("action", labels.RECOVERY.values)
def test_every_recovery_action_has_words(action: str) -> None:
    assert bool(conditions_of(HealthFacts(recovery=action))) is (action != "none")


@pytest.mark.parametrize(("seconds", "named"), [(590.0, True), (610.0, False)])
def test_an_event_is_the_cause_of_a_loss_also_if_the_device_worked_for_a_moment(
    seconds: float,
    named: bool,  # noqa: FBT001 - the two cases
) -> None:
    clock = Clock()
    table = StatusTable(clock)
    table.apply_event(GPU, "xid", "79")
    for _ in range(2):
        table.update(GPU, recovery("none"))
    assert state(table) == "ok"
    clock.now += seconds
    table.mark_lost(GPU)
    assert state(table) == "failed"
    assert ("Before that: XID 79" in table.conditions(GPU)[0].text) is named


def test_events_before_a_loss_are_its_likely_cause_until_the_device_is_back() -> None:
    table = StatusTable(lambda: 0.0)
    for code in ("48", "79", "31"):
        table.apply_event(GPU, "xid", code)
    for _ in range(2):
        table.mark_lost(GPU)
    assert state(table) == "failed"
    [lost] = table.conditions(GPU)
    assert lost.text == (
        "The device no longer answers. Before that: XID 79: The device has fallen off the bus; XID 48: Double-bit "
        "memory error, not corrected"
    )
    assert lost.do.startswith("Drain the node and power-cycle it.")
    table.update(GPU, [])
    assert (state(table), table.conditions(GPU)) == ("ok", ())
    table.mark_lost(GPU)
    assert state(table) == "failed"
    assert "Before that" not in table.conditions(GPU)[0].text


def test_without_a_matching_rule_the_state_is_ok() -> None:
    assert state_of(HealthFacts(recovery="none")) == state_of(HealthFacts()) == "ok"


def test_the_worst_state_wins() -> None:
    severity = {state: place for place, state in enumerate(labels.STATUS.values)}
    ranks = [severity[rule.state] for rule in RULES]
    assert ranks == sorted(ranks, reverse=True)
    assert state_of(HealthFacts(repair_pending=True, repair_failed=True, recovery="drain")) == "predicted_failure"
    assert (
        state_of(HealthFacts(repair_failed=True, events={("xid", "48"): Effect.DEGRADED, ("xid", "79"): Effect.FAILED}))
        == "failed"
    )


@pytest.mark.parametrize("action", labels.RECOVERY.values)
def test_every_recovery_action_has_a_state(action: str) -> None:
    table = StatusTable(lambda: 0.0)
    table.update(GPU, recovery(action))
    expected = {"none": "ok", "reset": "failed", "reboot": "failed", "bus_reset": "failed"}
    assert state(table) == expected.get(action, "degraded")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([sample(catalog.MEMORY_REPAIR_PENDING, 1)], "degraded"),
        ([sample(catalog.MEMORY_REPAIR_FAILED, 1)], "predicted_failure"),
        ([sample(catalog.MEMORY_ERRORS, 1, "uncorrected")], "degraded"),
        ([sample(catalog.MEMORY_ERRORS, 1, "corrected")], "ok"),
        ([sample(catalog.MEMORY_REMAPPED_ROWS, 5, "uncorrected")], "ok"),
        ([sample(catalog.MEMORY_REPAIR_FAILED, 1, partition="MIG-0")], "ok"),
    ],
)
def test_readings_determine_the_state(samples: list[Sample], expected: str) -> None:
    table = StatusTable(lambda: 0.0)
    table.update(GPU, samples)
    assert state(table) == expected


def test_a_reading_keeps_its_value_until_the_next() -> None:
    table = StatusTable(lambda: 0.0)
    table.update(GPU, [sample(catalog.MEMORY_REPAIR_PENDING, 1)])
    table.update(GPU, [])
    assert state(table) == "degraded"
    table.update(GPU, [sample(catalog.MEMORY_REPAIR_PENDING, 0)])
    assert state(table) == "ok"


def test_devices_do_not_share_a_state() -> None:
    table = StatusTable(lambda: 0.0)
    table.apply_event(GPU, "xid", "79")
    assert (state(table), state(table, "GPU-1")) == ("failed", "ok")


@pytest.mark.parametrize(
    ("source", "code", "expected"),
    [
        ("xid", "79", "failed"),
        ("xid", "48", "degraded"),
        ("xid", "31", "ok"),
        ("xid", "9999", "ok"),
        ("driver", "gpu_unavailable", "failed"),
        ("driver", "79", "ok"),
    ],
)
def test_events_determine_the_state(source: str, code: str, expected: str) -> None:
    table = StatusTable(lambda: 0.0)
    table.apply_event(GPU, source, code)
    assert state(table) == expected


def test_the_state_of_an_event_lasts_without_a_recovery_action() -> None:
    table = StatusTable(lambda: 0.0)
    table.apply_event(GPU, "xid", "119")
    for _ in range(100):
        table.update(GPU, [])
    assert state(table) == "failed"


def test_the_recovery_action_none_ends_the_state_of_an_event() -> None:
    table = StatusTable(lambda: 0.0)
    table.apply_event(GPU, "xid", "119")
    table.update(GPU, recovery("reset"))
    table.update(GPU, [])
    assert state(table) == "failed"
    table.update(GPU, recovery("none"))
    assert state(table) == "ok"


def test_a_recovery_action_of_the_same_poll_does_not_end_the_state_of_an_event() -> None:
    table = StatusTable(lambda: 0.0)
    table.apply_event(GPU, "xid", "95")
    table.update(GPU, recovery("none"))
    assert state(table) == "failed"
    table.update(GPU, recovery("none"))
    assert state(table) == "ok"


def test_a_recovered_device_has_a_new_state() -> None:
    table = StatusTable(lambda: 0.0)
    table.update(GPU, [*recovery("reset"), sample(catalog.MEMORY_REPAIR_FAILED, 1)])
    table.apply_event(GPU, "xid", "79")
    table.mark_lost(GPU)
    assert state(table) == "failed"
    table.update(GPU, [])
    assert state(table) == "ok"


@pytest.mark.parametrize("unfinished", ["not_started", "in_progress"])
def test_a_registration_that_does_not_finish_degrades_the_device_after_five_minutes(unfinished: str) -> None:
    now = 1000.0
    table = StatusTable(lambda: now)
    table.update(GPU, fabric("not_started"))
    now += 200
    table.update(GPU, fabric(unfinished))
    now += 99
    table.update(GPU, fabric(unfinished))
    assert state(table) == "ok"
    now += 1
    table.update(GPU, fabric(unfinished))
    assert state(table) == "degraded"
    table.update(GPU, fabric("completed"))
    assert state(table) == "ok"


def test_a_registration_that_is_no_longer_read_is_not_late() -> None:
    now = 0.0
    table = StatusTable(lambda: now)
    table.update(GPU, fabric("in_progress"))
    now += 3600
    table.update(GPU, [])
    assert state(table) == "ok"


@pytest.mark.parametrize("lost", [False, True])
def test_the_time_starts_again_after_a_registration_has_finished_or_a_device_was_lost(*, lost: bool) -> None:
    now = 0.0
    table = StatusTable(lambda: now)
    table.update(GPU, fabric("in_progress"))
    now += 299
    if lost:
        table.mark_lost(GPU)
    else:
        table.update(GPU, fabric("completed"))
    for _ in range(2):
        table.update(GPU, fabric("in_progress"))
        assert state(table) == "ok"
        now += 299


def test_a_failed_registration_degrades_the_device_at_once() -> None:
    table = StatusTable(lambda: 0.0)
    table.update(GPU, fabric("failed"))
    assert state(table) == "degraded"


def test_a_device_that_does_not_belong_to_a_fabric_is_ok() -> None:
    now = 0.0
    table = StatusTable(lambda: now)
    for _ in range(2):
        table.update(GPU, fabric("not_supported"))
        now += 3600
    assert state(table) == "ok"


@pytest.mark.parametrize("condition", labels.FABRIC_CONDITION.values)
def test_a_lasting_condition_of_the_fabric_degrades_the_device_until_it_ends(condition: str) -> None:
    table = StatusTable(lambda: 0.0)
    holds, ended = (sample(catalog.FABRIC_CONDITION, value, "nvlink", condition) for value in (1, 0))
    for at_its_end in ([*fabric("completed"), ended], fabric("completed")):  # or it is no longer supported
        table.update(GPU, [*fabric("completed"), holds])
        assert state(table) == ("ok" if "recovery" in condition else "degraded")
        table.update(GPU, [])  # not due
        assert state(table) == ("ok" if "recovery" in condition else "degraded")
        table.update(GPU, at_its_end)
        assert state(table) == "ok"


@pytest.mark.parametrize("trouble", ["failed", "condition"])
def test_nothing_is_known_of_a_fabric_that_is_no_longer_supported(trouble: str) -> None:
    table = StatusTable(lambda: 0.0)
    condition = sample(catalog.FABRIC_CONDITION, 1, "nvlink", "route_unhealthy")
    table.update(GPU, fabric("failed") if trouble == "failed" else [*fabric("completed"), condition])
    assert state(table) == "degraded"
    table.update(GPU, [], {catalog.FABRIC_STATUS})
    assert state(table) == "ok"


def test_a_registration_that_fails_and_is_tried_again_does_not_begin_anew() -> None:
    now = 0.0
    table = StatusTable(lambda: now)
    for attempt in range(12):
        table.update(GPU, fabric("failed" if attempt % 2 else "in_progress"))
        now += 60
    table.update(GPU, fabric("in_progress"))
    assert state(table) == "degraded"
