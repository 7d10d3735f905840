"""The code of the listener thread, run without the thread: a test lists what happens before each wait."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import pynvml
import pytest

from collectors.contract import Fault, Reason
from collectors.nvidia import listener
from collectors.nvidia.listener import (
    UNAVAILABLE_EVENT,
    WANTED_EVENTS,
    Command,
    Ended,
    Event,
    Listener,
    Listening,
    Report,
    Watched,
    address_of,
)
from collectors.nvidia.nvml import Nvml
from tests.doubles.nvidia_device import gpus
from tests.doubles.nvml import XID_EVENT, NvmlState
from tests.doubles.nvml_loaded import open_nvml

CREATE, FREE, WAIT = "nvmlEventSetCreate", "nvmlEventSetFree", "nvmlEventSetWait_v2"
PAUSE_SECONDS = 0.25  # unlike every pause after a failure
REGISTER = "nvmlDeviceRegisterEvents"
NO_PERMISSION, TIMEOUT, GPU_IS_LOST, UNKNOWN = 4, 10, 15, 999
ALL_TYPES, MIG_EVENT = 0xC10B, 0x100
WALL_TIME = 1_700_000_000.0

Step = Callable[[], object]
T = TypeVar("T")


class Commands(SimpleQueue[Command]):
    """Commands of the test. Pauses are only recorded; after `most_pauses` pauses the command is to end.

    The pauses between two waits for events take no time and are not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []
        self.most_pauses = 0

    def get(self, block: bool = True, timeout: float | None = None) -> Command:  # noqa: ARG002, FBT001, FBT002 - as is
        try:
            return self.get_nowait()
        except Empty:
            if timeout == PAUSE_SECONDS:
                raise
            self.pauses.append(timeout)
            if len(self.pauses) > self.most_pauses:
                return None
            raise


class ObservedNvml(Nvml):
    """The binding wrapper, with a callback before each call."""

    def __init__(self, before: Callable[[str, tuple[object, ...]], None]) -> None:
        super().__init__(pynvml)
        self._before = before

    def call(self, name: str, *arguments: object, read: Callable[[Any], T]) -> T:
        self._before(name, arguments)
        return super().call(name, *arguments, read=read)


class Bench:
    """A listener with its commands, its reports and steps: one step runs before each wait, then the listener ends."""

    def __init__(self, state: NvmlState) -> None:
        self.state = state
        self.library = open_nvml()
        self.commands = Commands()
        self.queue: SimpleQueue[Report] = SimpleQueue()
        self.now = 0.0
        self.steps: deque[Step] = deque()
        self.at_registration: deque[Step] = deque()
        library = ObservedNvml(self._before)
        self.listener = Listener(library, self.commands, self.queue, lambda: self.now, lambda: WALL_TIME)

    def watched(self, *slots: int, types: int = WANTED_EVENTS) -> Mapping[str, Watched]:
        handles = {slot: self.library.device(slot) for slot in slots}
        return {f"GPU-{slot}": Watched(handle, address_of(handle), types) for slot, handle in handles.items()}

    def watch(self, *slots: int) -> None:
        """The command to listen to these devices."""
        self.commands.put(self.watched(*slots))

    def end(self) -> None:
        """The command to end."""
        self.commands.put(None)

    def run(self, *steps: Step) -> list[Report]:
        self.steps.extend(steps)
        self.listener.run()
        reports = []
        while not self.queue.empty():
            reports.append(self.queue.get_nowait())
        return reports

    # Steps

    def nothing(self) -> None:
        """There is no event."""
        self.state.fail(WAIT, TIMEOUT, times=1)

    def does(self, *actions: Step) -> Step:
        """Actions run during the wait, which then ends without an event."""

        def step() -> None:
            for action in actions:
                action()
            self.nothing()

        return step

    def happens(self, slot: int, data: int, kind: int = XID_EVENT) -> Step:
        """An event ends the wait."""
        return partial(self.state.happen, slot, data, kind)

    def fails(self, code: int) -> Step:
        """The wait fails."""
        return partial(self.state.fail, WAIT, code, times=1)

    def _before(self, name: str, arguments: tuple[object, ...]) -> None:
        if name == CREATE:
            assert open_sets(self.state) == 0
        if name == REGISTER and self.at_registration:
            self.at_registration.popleft()()
        if name == WAIT and arguments[1] != 0:
            step = self.steps.popleft() if self.steps else self.does(self.end)
            step()


def open_sets(state: NvmlState) -> int:
    return state.calls(CREATE) - state.calls(FREE)


@pytest.fixture
def bench(nvml: NvmlState, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(listener, "_PAUSE_SECONDS", PAUSE_SECONDS)
    nvml.devices = gpus(2)
    for slot in range(2):
        nvml.devices[slot].supported_event_types = ALL_TYPES
    yield Bench(nvml)
    assert open_sets(nvml) <= 1  # the last set is freed by the owner of the session


def events(reports: list[Report]) -> list[tuple[str, str, str]]:
    return [(report.uuid, report.source, report.code) for report in reports if isinstance(report, Event)]


def faults(reports: list[Report]) -> list[tuple[Reason, str]]:
    return [(report.reason, report.where) for report in reports if isinstance(report, Fault)]


def listening(reports: list[Report]) -> list[set[str]]:
    return [set(report.types) for report in reports if isinstance(report, Listening)]


def leaves_its_set_open(bench: Bench, reports: list[Report]) -> bool:
    """Whether the last report has the only open set, so that its owner can free it."""
    ended = reports[-1]
    assert isinstance(ended, Ended)
    assert open_sets(bench.state) == 1
    bench.library.call(FREE, ended.event_set, read=lambda _: None)
    return open_sets(bench.state) == 0


def test_an_event_has_the_uuid_of_its_device_and_its_time(bench: Bench) -> None:
    bench.watch(0, 1)
    reports = bench.run(
        bench.happens(1, 79), bench.nothing, bench.happens(0, 13), bench.happens(0, 0, UNAVAILABLE_EVENT)
    )
    assert [report for report in reports if isinstance(report, Event)] == [
        Event("GPU-1", "xid", "79", WALL_TIME),
        Event("GPU-0", "xid", "13", WALL_TIME),
        Event("GPU-0", "driver", "gpu_unavailable", WALL_TIME),
    ]
    assert faults(reports) == []


def test_only_wanted_events_are_registered_and_the_registration_is_reported_first(bench: Bench) -> None:
    bench.commands.put(bench.watched(0, types=UNAVAILABLE_EVENT))
    others = bench.does(bench.happens(0, 0, MIG_EVENT), bench.happens(0, 31))
    reports = bench.run(others, bench.happens(0, 0, UNAVAILABLE_EVENT))
    assert reports[0] == Listening({"GPU-0": UNAVAILABLE_EVENT}, {})
    assert events(reports) == [("GPU-0", "driver", "gpu_unavailable")]


def test_an_event_of_an_unknown_device_is_an_invalid_value(bench: Bench) -> None:
    elsewhere = Watched(bench.library.device(0), 7, WANTED_EVENTS)
    bench.commands.put({"GPU-0": elsewhere})
    reports = bench.run(bench.happens(0, 79))
    assert (events(reports), faults(reports)) == ([], [(Reason.INVALID_VALUE, "events")])


def test_the_end_leaves_the_set_to_its_owner_and_makes_no_further_call(bench: Bench) -> None:
    bench.watch(0)
    reports = bench.run()
    assert [bench.state.calls(call) for call in (CREATE, REGISTER, WAIT, FREE)] == [1, 1, 1, 0]
    assert leaves_its_set_open(bench, reports)


def test_an_end_during_the_registration_makes_no_further_call(bench: Bench) -> None:
    bench.at_registration.append(bench.end)
    bench.watch(0, 1)
    reports = bench.run()
    assert [bench.state.calls(call) for call in (CREATE, REGISTER, WAIT, FREE)] == [1, 1, 0, 0]
    assert leaves_its_set_open(bench, reports)


def test_an_end_while_a_set_is_replaced_does_not_leak_the_set(bench: Bench) -> None:
    bench.watch(0)
    reports = bench.run(bench.does(partial(bench.watch, 0, 1), bench.end))
    assert leaves_its_set_open(bench, reports)


def test_without_devices_the_library_is_not_called(bench: Bench) -> None:
    bench.run()
    assert bench.commands.pauses == [None]
    assert [bench.state.calls(call) for call in (CREATE, REGISTER, WAIT, FREE)] == [0, 0, 0, 0]


def test_failed_waits_are_retried_after_pauses_that_double_to_30_seconds(bench: Bench) -> None:
    bench.commands.most_pauses = 7
    bench.watch(0)
    reports = bench.run(*[bench.fails(UNKNOWN)] * 8)
    assert bench.commands.pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert faults(reports) == [(Reason.UNAVAILABLE, "events")] * 8


def test_a_successful_wait_resets_the_backoff(bench: Bench) -> None:
    bench.commands.most_pauses = 3
    bench.watch(0)
    failing = bench.fails(UNKNOWN)
    bench.run(failing, failing, bench.nothing, failing, failing)
    assert bench.commands.pauses == [1, 2, 1, 2]


@pytest.mark.parametrize("code", [GPU_IS_LOST, UNKNOWN])
def test_a_device_that_fails_does_not_stop_the_events_of_the_others(bench: Bench, code: int) -> None:
    bench.state.fail(REGISTER, code, device=0)
    bench.watch(0, 1)
    reports = bench.run(bench.happens(1, 31))
    assert listening(reports) == [{"GPU-1"}]
    assert events(reports) == [("GPU-1", "xid", "31")]
    assert [where for _, where in faults(reports)] == ["GPU-0"]


def test_a_failed_registration_is_retried_after_a_pause(bench: Bench) -> None:
    bench.state.fail(REGISTER, UNKNOWN, device=0, times=1)

    def a_second_later() -> None:
        bench.now += 1

    bench.watch(0, 1)
    reports = bench.run(bench.nothing, bench.does(a_second_later), bench.happens(0, 8))
    assert listening(reports) == [{"GPU-1"}, {"GPU-0", "GPU-1"}]
    assert events(reports) == [("GPU-0", "xid", "8")]


def test_a_lost_device_ends_every_wait_until_it_is_removed(bench: Bench) -> None:
    bench.commands.most_pauses = 1
    bench.watch(0, 1)

    def lose() -> None:
        bench.state.lose(0)
        bench.watch(1)

    reports = bench.run(lose, bench.happens(1, 43))
    assert listening(reports) == [{"GPU-0", "GPU-1"}, {"GPU-1"}]
    assert events(reports) == [("GPU-1", "xid", "43")]
    assert faults(reports) == [(Reason.DEVICE_LOST, "events")]


@pytest.mark.parametrize("code", [3, 13, NO_PERMISSION])
def test_an_unsupported_or_forbidden_registration_is_not_retried(bench: Bench, code: int) -> None:
    bench.state.fail(REGISTER, code)
    bench.watch(0)
    reports = bench.run()
    (registration,) = [report for report in reports if isinstance(report, Listening)]
    assert (list(registration.types), list(registration.refused)) == ([], ["GPU-0"])
    assert faults(reports) == []
    assert bench.commands.pauses == [None]


def test_without_a_registered_device_there_is_no_wait(bench: Bench) -> None:
    bench.watch(0)
    refuse = partial(bench.state.fail, REGISTER, NO_PERMISSION)
    bench.run(bench.does(refuse, partial(bench.watch, 0, 1)))
    assert bench.commands.pauses == [None]
    assert bench.state.calls(WAIT) == 2  # the second has no timeout: it drains the old set


def test_a_new_device_is_registered_without_losing_events(bench: Bench) -> None:
    bench.watch(0)
    arrives = bench.does(bench.happens(0, 48), bench.happens(0, 63), partial(bench.watch, 0, 1))
    reports = bench.run(arrives, bench.happens(1, 79))
    assert listening(reports) == [{"GPU-0"}, {"GPU-0", "GPU-1"}]
    assert events(reports) == [("GPU-0", "xid", "48"), ("GPU-0", "xid", "63"), ("GPU-1", "xid", "79")]


def test_a_removed_device_reports_its_last_event_and_is_registered_again_when_it_returns(bench: Bench) -> None:
    bench.watch(0, 1)
    reports = bench.run(
        bench.does(partial(bench.watch, 1)), bench.happens(0, 79), bench.does(partial(bench.watch, 0, 1)), bench.nothing
    )
    assert events(reports) == [("GPU-0", "xid", "79")]
    assert [bench.state.calls(REGISTER, device=slot) for slot in (0, 1)] == [2, 2]


def test_another_object_for_the_same_handle_changes_nothing(bench: Bench) -> None:
    assert bench.library.device(0) is not bench.library.device(0)
    bench.watch(0)
    bench.run(bench.does(partial(bench.watch, 0)), bench.nothing)
    assert bench.state.calls(REGISTER) == 1


def test_a_bug_causes_a_pause_and_does_not_end_the_thread(bench: Bench) -> None:
    def bug() -> None:
        raise ZeroDivisionError("a bug")

    bench.commands.most_pauses = 1
    bench.watch(0)
    reports = bench.run(bug, bench.happens(0, 31))
    (fault,) = [report for report in reports if isinstance(report, Fault)]
    assert (fault.reason, fault.detail) == (Reason.BROKEN, "ZeroDivisionError: a bug")
    assert events(reports) == [("GPU-0", "xid", "31")]


def test_the_number_of_unread_reports_is_limited(bench: Bench) -> None:
    bench.watch(0)
    assert len(events(bench.run(*[bench.happens(0, 31)] * 10_100))) == 9_999  # with the first report 10,000
