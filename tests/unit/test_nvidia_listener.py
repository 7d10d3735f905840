"""The listener's thread, without the thread: its commands end it when the test has seen enough."""

from collections.abc import Mapping
from queue import Empty, SimpleQueue

import pytest

from collectors.contract import Fault, Reason
from collectors.nvidia.listener import (
    UNAVAILABLE_EVENT,
    WANTED_EVENTS,
    Command,
    Ended,
    Event,
    EventSet,
    Listener,
    Listening,
    Report,
    Watched,
    address_of,
)
from collectors.nvidia.nvml import Nvml
from tests.doubles.nvml_binding import GPU_IS_LOST
from tests.doubles.nvml_event_binding import TIMEOUT, UNAVAILABLE, EventBinding, EventGpu, event, event_gpus

NO_PERMISSION, UNKNOWN = 4, 999
WALL_TIME = 1_700_000_000.0


class Commands(SimpleQueue[Command]):
    """Commands put by the test; instead of pausing, the pause is noted. After so many pauses comes the end."""

    def __init__(self, most_pauses: int) -> None:
        super().__init__()
        self.pauses: list[float | None] = []
        self.most_pauses = most_pauses

    def get(self, block: bool = True, timeout: float | None = None) -> Command:  # noqa: ARG002, FBT001, FBT002 - as is
        try:
            return self.get_nowait()
        except Empty:
            self.pauses.append(timeout)
            if len(self.pauses) > self.most_pauses:
                return None
            raise


class Desk:
    """A listener, and what it was told and tells."""

    def __init__(self, binding: EventBinding, most_pauses: int = 0) -> None:
        self.binding = binding
        self.commands = Commands(most_pauses)
        self.queue: SimpleQueue[Report] = SimpleQueue()
        self.now = 0.0
        self.listener = Listener(Nvml(binding), self.commands, self.queue, lambda: self.now, lambda: WALL_TIME)

    def end(self) -> None:
        """The command to end."""
        self.commands.put(None)

    def run(self) -> list[Report]:
        self.listener.run()
        reports = []
        while not self.queue.empty():
            reports.append(self.queue.get_nowait())
        return reports


def watched(*gpus: EventGpu) -> Mapping[str, Watched]:
    return {gpu.uuid: Watched(gpu.handle, address_of(gpu.handle), WANTED_EVENTS) for gpu in gpus}


def events(reports: list[Report]) -> list[tuple[str, str, str]]:
    return [(report.uuid, report.source, report.code) for report in reports if isinstance(report, Event)]


def faults(reports: list[Report]) -> list[tuple[Reason, str]]:
    return [(report.reason, report.where) for report in reports if isinstance(report, Fault)]


def listening(reports: list[Report]) -> list[set[str]]:
    return [set(report.types) for report in reports if isinstance(report, Listening)]


def test_an_event_has_the_name_of_its_device_and_its_time() -> None:
    first, second = event_gpus(2)
    desk = Desk(EventBinding([first, second]))
    desk.commands.put(watched(first, second))
    for outcome in (event(second, 79), TIMEOUT, event(first, 13), event(first, 0, UNAVAILABLE), desk.end):
        desk.binding.coming.put(outcome)
    reports = desk.run()
    assert [report for report in reports if isinstance(report, Event)] == [
        Event("GPU-1", "xid", "79", WALL_TIME),
        Event("GPU-0", "xid", "13", WALL_TIME),
        Event("GPU-0", "driver", "gpu_unavailable", WALL_TIME),
    ]
    assert faults(reports) == []


def test_only_wanted_events_are_registered_and_told_before_any_of_them() -> None:
    (gpu,) = event_gpus(1)
    desk = Desk(EventBinding([gpu]))
    desk.commands.put({gpu.uuid: Watched(gpu.handle, gpu.place, UNAVAILABLE_EVENT)})
    for outcome in (event(gpu, 0, 0x100), event(gpu, 0, UNAVAILABLE), desk.end):
        desk.binding.coming.put(outcome)
    reports = desk.run()
    assert gpu.registered == [UNAVAILABLE_EVENT]
    assert reports[0] == Listening({"GPU-0": UNAVAILABLE_EVENT}, {})
    assert events(reports) == [("GPU-0", "driver", "gpu_unavailable")]


def test_an_event_of_no_known_device_is_an_invalid_value() -> None:
    (gpu,) = event_gpus(1)
    desk = Desk(EventBinding([gpu]))
    desk.commands.put(watched(gpu))
    desk.binding.coming.put(event(EventGpu(place=7), 79))
    desk.binding.coming.put(desk.end)
    reports = desk.run()
    assert (events(reports), faults(reports)) == ([], [(Reason.INVALID_VALUE, "events")])


def test_the_end_leaves_the_set_to_its_owner_and_makes_no_further_call() -> None:
    (gpu,) = event_gpus(1)
    desk = Desk(EventBinding([gpu]))
    desk.commands.put(watched(gpu))
    desk.binding.coming.put(desk.end)
    reports = desk.run()
    assert reports[-1] == Ended(EventSet(desk.binding.open[0]))
    assert desk.binding.calls == {"nvmlEventSetCreate": 1, "nvmlEventSetWait_v2": 1}


def test_an_end_that_comes_while_a_set_is_made_lets_nothing_follow() -> None:
    first, second = event_gpus(2)
    desk = Desk(EventBinding([first, second]))
    first.answers["nvmlDeviceRegisterEvents"] = lambda *_: desk.end()
    desk.commands.put(watched(first, second))
    assert desk.run()[-1] == Ended(EventSet(desk.binding.open[0]))
    assert second.registered == []
    assert desk.binding.waits == []


def test_an_end_that_comes_while_a_set_is_renewed_does_not_lose_the_set() -> None:
    first, second = event_gpus(2)
    desk = Desk(EventBinding([first, second]))

    def renew_and_end() -> None:
        desk.commands.put(watched(first, second))
        desk.end()

    desk.commands.put(watched(first))
    desk.binding.coming.put(renew_and_end)
    assert desk.run()[-1] == Ended(EventSet(desk.binding.open[0]))


def test_without_devices_nothing_is_asked_of_the_library() -> None:
    desk = Desk(EventBinding([]))
    desk.run()
    assert desk.commands.pauses == [None]
    assert desk.binding.calls == {}


def test_failing_waits_are_tried_again_after_pauses_that_double_up_to_half_a_minute() -> None:
    (gpu,) = event_gpus(1)
    desk = Desk(EventBinding([gpu]), most_pauses=7)
    desk.commands.put(watched(gpu))
    for _ in range(8):
        desk.binding.coming.put(UNKNOWN)
    reports = desk.run()
    assert desk.commands.pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert faults(reports) == [(Reason.UNAVAILABLE, "events")] * 8
    assert desk.binding.most_open == 1


def test_a_wait_that_works_makes_the_next_pause_short_again() -> None:
    (gpu,) = event_gpus(1)
    desk = Desk(EventBinding([gpu]), most_pauses=3)
    desk.commands.put(watched(gpu))
    for outcome in (UNKNOWN, UNKNOWN, TIMEOUT, UNKNOWN, UNKNOWN):
        desk.binding.coming.put(outcome)
    desk.run()
    assert desk.commands.pauses == [1, 2, 1, 2]


@pytest.mark.parametrize("code", [GPU_IS_LOST, UNKNOWN])
def test_a_device_that_fails_does_not_stop_the_events_of_the_others(code: int) -> None:
    first, second = event_gpus(2)
    desk = Desk(EventBinding([first, second]))
    first.errors["nvmlDeviceRegisterEvents"] = code
    desk.commands.put(watched(first, second))
    desk.binding.coming.put(event(second, 31))
    desk.binding.coming.put(desk.end)
    reports = desk.run()
    assert listening(reports) == [{"GPU-1"}]
    assert events(reports) == [("GPU-1", "xid", "31")]
    assert [where for _, where in faults(reports)] == ["GPU-0"]


def test_a_device_that_failed_is_tried_again_after_a_pause() -> None:
    first, second = event_gpus(2)
    desk = Desk(EventBinding([first, second]))
    first.errors["nvmlDeviceRegisterEvents"] = UNKNOWN

    def a_second_later() -> None:
        desk.now += 1
        first.errors.clear()

    desk.commands.put(watched(first, second))
    for outcome in (TIMEOUT, a_second_later, event(first, 8), desk.end):
        desk.binding.coming.put(outcome)
    reports = desk.run()
    assert listening(reports) == [{"GPU-1"}, {"GPU-0", "GPU-1"}]
    assert events(reports) == [("GPU-0", "xid", "8")]


def test_a_lost_device_ends_every_wait_until_it_is_taken_out() -> None:
    first, second = event_gpus(2)
    desk = Desk(EventBinding([first, second]), most_pauses=1)
    desk.commands.put(watched(first, second))

    def lose() -> None:
        desk.commands.put(watched(second))
        raise desk.binding.NVMLError(GPU_IS_LOST)

    for outcome in (lose, event(second, 43), desk.end):
        desk.binding.coming.put(outcome)
    reports = desk.run()
    assert listening(reports) == [{"GPU-0", "GPU-1"}, {"GPU-1"}]
    assert events(reports) == [("GPU-1", "xid", "43")]
    assert faults(reports) == [(Reason.DEVICE_LOST, "events")]


@pytest.mark.parametrize("code", [3, 13, NO_PERMISSION])
def test_what_is_not_supported_or_permitted_is_not_tried_again(code: int) -> None:
    (gpu,) = event_gpus(1)
    gpu.errors["nvmlDeviceRegisterEvents"] = code
    desk = Desk(EventBinding([gpu]))
    desk.commands.put(watched(gpu))
    reports = desk.run()
    (told,) = [report for report in reports if isinstance(report, Listening)]
    assert (list(told.types), list(told.refused)) == ([], ["GPU-0"])
    assert faults(reports) == []
    assert desk.commands.pauses == [None]


def test_with_a_new_device_all_are_listened_to_and_nothing_is_lost() -> None:
    first, second = event_gpus(2)
    desk = Desk(EventBinding([first, second]))

    def arrives() -> None:
        desk.binding.left_over.extend([event(first, 48), event(first, 63)])
        desk.commands.put(watched(first, second))

    desk.commands.put(watched(first))
    for outcome in (arrives, event(second, 79), desk.end):
        desk.binding.coming.put(outcome)
    reports = desk.run()
    assert listening(reports) == [{"GPU-0"}, {"GPU-0", "GPU-1"}]
    assert events(reports) == [("GPU-0", "xid", "48"), ("GPU-0", "xid", "63"), ("GPU-1", "xid", "79")]
    assert desk.binding.most_open == 1


def test_a_device_that_goes_is_heard_to_the_last_and_one_that_comes_back_is_registered_anew() -> None:
    first, second = event_gpus(2)
    desk = Desk(EventBinding([first, second]))
    for outcome in (
        lambda: desk.commands.put(watched(second)),
        event(first, 79),
        lambda: desk.commands.put(watched(first, second)),
        desk.end,
    ):
        desk.binding.coming.put(outcome)
    desk.commands.put(watched(first, second))
    reports = desk.run()
    assert events(reports) == [("GPU-0", "xid", "79")]
    assert len(first.registered) == len(second.registered) == 2


def test_another_object_for_the_same_handle_changes_nothing() -> None:
    (gpu,) = event_gpus(1)
    again = EventGpu(uuid=gpu.uuid, place=gpu.place)
    desk = Desk(EventBinding([gpu]))
    desk.commands.put(watched(gpu))
    for outcome in (lambda: desk.commands.put(watched(again)), TIMEOUT, desk.end):
        desk.binding.coming.put(outcome)
    desk.run()
    assert (len(gpu.registered), again.registered) == (1, [])


def test_a_bug_costs_a_pause_and_not_the_thread() -> None:
    (gpu,) = event_gpus(1)
    desk = Desk(EventBinding([gpu]), most_pauses=1)
    desk.commands.put(watched(gpu))
    for outcome in (ZeroDivisionError("a bug"), event(gpu, 31), desk.end):
        desk.binding.coming.put(outcome)
    reports = desk.run()
    (fault,) = [report for report in reports if isinstance(report, Fault)]
    assert (fault.reason, fault.detail) == (Reason.BROKEN, "ZeroDivisionError: a bug")
    assert events(reports) == [("GPU-0", "xid", "31")]


def test_a_flood_that_nobody_reads_is_kept_within_bounds() -> None:
    (gpu,) = event_gpus(1)
    desk = Desk(EventBinding([gpu]))
    desk.commands.put(watched(gpu))
    for _ in range(10_100):
        desk.binding.coming.put(event(gpu, 31))
    desk.binding.coming.put(desk.end)
    assert len(events(desk.run())) == 9_999  # with the first report 10,000
