import pytest

from collectors import catalog, labels
from collectors.contract import Fault, Reason, Sample
from collectors.metric import Metric
from collectors.nvidia.health import HEALTH_ROWS, ErrorCounts, Health
from collectors.nvidia.listener import UNAVAILABLE_EVENT, XID_EVENT, Event, Listening
from collectors.nvidia.xid import FROM_START

GPU = "GPU-0"
LISTENING = Listening({GPU: XID_EVENT}, {})


def xid(code: int, at: float = 1000.0, uuid: str = GPU) -> Event:
    return Event(uuid, "xid", str(code), at)


def values(samples: list[Sample], metric: Metric = catalog.ERRORS) -> dict[tuple[str, ...], float]:
    found = [sample for sample in samples if sample.metric is metric]
    by_labels = {sample.labels: sample.value for sample in found}
    assert len(by_labels) == len(found)
    return by_labels


def counted(samples: list[Sample]) -> dict[str, float]:
    """The counts that are not 0, by code."""
    return {code: value for (_, code, _), value in values(samples).items() if value}


def state(samples: list[Sample]) -> str | None:
    return next((s.labels[0] for s in samples if s.metric is catalog.STATUS_STATE and s.value), None)


def test_severe_events_are_counted_from_0() -> None:
    counts = ErrorCounts()
    assert GPU not in counts
    assert counts.samples(GPU) == []
    counts.start(LISTENING)
    from_start = values(counts.samples(GPU))
    assert {code for _, code, _ in from_start} == set(FROM_START)
    assert set(from_start.values()) == {0}
    assert values(counts.samples(GPU), catalog.ERROR_LAST_TIMESTAMP) == {}


def test_the_unavailable_event_is_counted_from_0_where_supported() -> None:
    counts = ErrorCounts()
    counts.start(Listening({GPU: XID_EVENT | UNAVAILABLE_EVENT}, {}))
    assert values(counts.samples(GPU))["driver", "gpu_unavailable", "hardware"] == 0


def test_events_are_counted_by_code_with_the_time_of_the_last() -> None:
    counts = ErrorCounts()
    counts.start(LISTENING)
    for event in (xid(79, 1.5), xid(13, 2.5), xid(13, 3.5), xid(31, uuid="GPU-1")):
        counts.count(event)
    assert counted(counts.samples(GPU)) == {"79": 1, "13": 2}
    assert values(counts.samples(GPU), catalog.ERROR_LAST_TIMESTAMP) == {
        ("xid", "79", "hardware"): 1.5,
        ("xid", "13", "application"): 3.5,
    }
    assert counted(counts.samples("GPU-1")) == {"31": 1}


def test_a_new_registration_keeps_the_counts() -> None:
    counts = ErrorCounts()
    counts.start(LISTENING)
    counts.count(xid(79))
    counts.start(LISTENING)
    assert counted(counts.samples(GPU)) == {"79": 1}


def test_the_number_of_series_is_limited() -> None:
    counts = ErrorCounts()
    counts.start(LISTENING)
    for code in range(1000, 2000):
        counts.count(xid(code))
    counts_by_code = counted(counts.samples(GPU))
    assert len(values(counts.samples(GPU))) == 65
    assert counts_by_code["other"] == 1000 - (len(counts_by_code) - 1)
    counts.count(xid(1000))
    assert counted(counts.samples(GPU))["1000"] == 2


def test_health_reports_status_and_counts() -> None:
    health = Health(lambda: 0.0)
    assert health.apply_reports([LISTENING]) == []
    samples = health.update(GPU, [])
    assert state(samples) == "ok"
    assert {sample.metric for sample in samples} == HEALTH_ROWS - {catalog.ERROR_LAST_TIMESTAMP}
    health.apply_reports([xid(119)])
    samples = health.update(GPU, [])
    assert (state(samples), counted(samples)) == ("failed", {"119": 1})
    assert {sample.metric for sample in samples} == HEALTH_ROWS


def test_a_lost_device_keeps_its_event_counts() -> None:
    health = Health(lambda: 0.0)
    health.apply_reports([LISTENING, xid(79)])
    samples = health.mark_lost(GPU)
    assert (state(samples), counted(samples)) == ("failed", {"79": 1})
    assert all(sample.metric.persistent for sample in samples)


def test_a_device_whose_calls_all_fail_has_only_event_counts() -> None:
    health = Health(lambda: 0.0)
    health.apply_reports([LISTENING, xid(13)])
    samples = health.event_samples(GPU)
    assert (state(samples), counted(samples)) == (None, {"13": 1})


def test_a_new_session_resets_the_status_and_keeps_the_counts() -> None:
    health = Health(lambda: 0.0)
    health.apply_reports([LISTENING, xid(79)])
    health.new_session()
    samples = health.update(GPU, [])
    assert (state(samples), counted(samples)) == ("ok", {"79": 1})


def test_faults_are_returned() -> None:
    fault = Fault(Reason.UNAVAILABLE, "events", "nvmlEventSetWait_v2: UNKNOWN (999)")
    assert Health(lambda: 0.0).apply_reports([LISTENING, fault, xid(13)]) == [fault]


@pytest.mark.parametrize("registered_before", [False, True])
def test_refused_events_are_unsupported_unless_they_were_registered_before(*, registered_before: bool) -> None:
    health = Health(lambda: 0.0)
    if registered_before:
        health.apply_reports([LISTENING])
    gaps = [(gap.metric, gap.device_uuid, gap.detail) for gap in health.unsupported({GPU: "why"})]
    expected = [(catalog.ERRORS, GPU, "why"), (catalog.ERROR_LAST_TIMESTAMP, GPU, "why")]
    assert gaps == ([] if registered_before else expected)


def test_labels_have_values_of_the_closed_lists() -> None:
    counts = ErrorCounts()
    counts.start(Listening({GPU: XID_EVENT | UNAVAILABLE_EVENT}, {}))
    for code in range(200):
        counts.count(xid(code))
    for sample in counts.samples(GPU):
        source, _, error_class = sample.labels
        assert source in labels.ERROR_SOURCE.values
        assert error_class in labels.ERROR_CLASS.values
