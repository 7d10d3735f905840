"""Single devices are released: what the poller asks of collectors, and what is exported meanwhile."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest

from collectors import catalog
from collectors.contract import Process, Reading, Sample, UnavailableError
from collectors.metric import Cadence
from exporter.collector_state import CollectorState
from exporter.poller import CallEnded, DevicesReleased, Poller, PollerEvent, Released
from tests.doubles.collectors import BOUND_SECONDS, EVERY, LIMITS, ScriptedCollector, gpu
from tests.doubles.exporter_process import wait_until

ONCE = dict.fromkeys(Cadence, 3600.0)
A, B = replace(gpu("gpu-a"), device="0000:3b:00.0"), replace(gpu("gpu-b"), device="0000:86:00.0")
READING = Reading((A, B))


class Releasing(ScriptedCollector):
    """A collector that can release single devices."""

    def __init__(self, *script: Reading, error: Exception | None = None) -> None:
        super().__init__(*script)
        self.released: list[frozenset[str]] = []
        self.error = error

    def release_devices(self, addresses: frozenset[str]) -> None:
        self.released.append(addresses)
        if self.error is not None:
            raise self.error


@contextmanager
def polling(
    collector: ScriptedCollector, intervals: Mapping[Cadence, float] = ONCE
) -> Iterator[tuple[Poller, list[PollerEvent]]]:
    """A poller whose collector has been read once."""
    reports: list[PollerEvent] = []
    poller = Poller("acme", collector, intervals, time.monotonic, reports.append)
    poller.start()
    try:
        wait_until(lambda: CallEnded in kinds(reports), BOUND_SECONDS)
        yield poller, reports
    finally:
        poller.stop()
        assert poller.join(BOUND_SECONDS)


def kinds(reports: list[PollerEvent]) -> list[type]:
    return [type(report) for report in reports]


def test_a_collector_that_can_releases_the_device_and_is_read_again_at_once() -> None:
    collector = Releasing(READING)
    wanted = frozenset({A.device})
    with polling(collector) as (poller, reports):
        poller.release(wanted)
        wait_until(lambda: kinds(reports).count(CallEnded) == 2, BOUND_SECONDS)
        assert collector.released == [wanted]
        assert DevicesReleased("acme", wanted) in reports
        assert collector.calls == [EVERY, EVERY]
        assert not collector.closed.is_set()
        poller.resume()
        wait_until(lambda: kinds(reports).count(CallEnded) == 3, BOUND_SECONDS)
        assert collector.released == [wanted, frozenset()]


def test_a_collector_that_cannot_is_closed_if_the_device_is_one_of_its_own() -> None:
    collector = ScriptedCollector(READING)
    with polling(collector) as (poller, reports):
        poller.release(frozenset({"0000:ff:00.0"}))
        wait_until(lambda: kinds(reports).count(CallEnded) == 2, BOUND_SECONDS)
        assert not collector.closed.is_set()
        poller.release(frozenset({B.device}))
        wait_until(lambda: Released("acme") in reports, BOUND_SECONDS)
        assert collector.closed.is_set()
        assert len(collector.calls) == 2
        poller.resume()
        wait_until(lambda: kinds(reports).count(CallEnded) == 3, BOUND_SECONDS)


def test_release_of_everything_follows_that_of_a_device_and_both_end_together() -> None:
    collector = Releasing(READING)
    with polling(collector) as (poller, reports):
        poller.release(frozenset({A.device}))
        wait_until(lambda: kinds(reports).count(CallEnded) == 2, BOUND_SECONDS)
        poller.release()
        wait_until(lambda: Released("acme") in reports, BOUND_SECONDS)
        assert collector.closed.is_set()
        poller.resume()
        wait_until(lambda: kinds(reports).count(CallEnded) == 3, BOUND_SECONDS)
        assert collector.released[-1] == frozenset()


def test_a_release_that_is_not_possible_is_tried_again_after_the_next_reading(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Releasing(READING, error=UnavailableError("a call has not returned"))
    wanted = frozenset({A.device})
    with polling(collector, dict.fromkeys(Cadence, 0.01)) as (poller, reports):
        poller.release(wanted)
        wait_until(lambda: len(collector.released) > 3, BOUND_SECONDS)
        assert DevicesReleased not in kinds(reports)
        assert len(collector.calls) > 2
        collector.error = None
        wait_until(lambda: DevicesReleased("acme", wanted) in reports, BOUND_SECONDS)
    assert caplog.messages == ["devices not released yet: a call has not returned"]


def test_an_error_of_a_release_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    with polling(Releasing(READING, error=ValueError("bad"))) as (poller, reports):
        poller.release(frozenset({A.device}))
        wait_until(lambda: kinds(reports).count(CallEnded) == 2, BOUND_SECONDS)
    assert "devices not released: this is a bug in the collector, please report it" in caplog.messages


def test_only_the_identity_and_past_events_of_a_released_device_are_exported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    state = CollectorState("acme", LIMITS, lambda: 0.0)
    samples = {
        device.uuid: (
            Sample(catalog.INFO, device.uuid, 1, labels=("",) * len(catalog.INFO.labels)),
            Sample(catalog.ERRORS, device.uuid, 0, labels=("xid", "79", "hardware")),
            Sample(catalog.UTILIZATION, device.uuid, 0.5),
            Sample(catalog.STATUS_STATE, device.uuid, 1, labels=("ok",)),
        )
        for device in (A, B)
    }
    processes = (Process(1, A.uuid), Process(2, B.uuid))
    reading = Reading((A, B), samples=(*samples[A.uuid], *samples[B.uuid]), processes=processes)
    state.ended(CallEnded("acme", 0.0, 0.0, EVERY, reading))
    state.released_only(frozenset({A.device, "0000:ff:00.0"}))
    assert set(state.samples(1.0)) == {*samples[A.uuid][:2], *samples[B.uuid]}
    assert state.processes(1.0) == processes[1:]
    health = state.health(1.0)
    assert (health.up, health.released, health.released_devices) == (True, False, frozenset({A.uuid}))
    state.released_only(frozenset())
    assert state.health(1.0).released_devices == frozenset()
    assert caplog.messages[1:] == ["device released: closed until SIGUSR2", "device resumed"]
