import threading
import time
from collections.abc import Iterator

import pytest

from collectors.contract import Fault, Reason
from collectors.device_calls import DeviceCalls
from collectors.nvidia.errors import SessionError
from collectors.nvidia.events import EventWatch
from collectors.nvidia.listener import WANTED_EVENTS, Event, Listening
from collectors.nvidia.nvml import Handle
from tests.doubles.exporter_process import wait_until
from tests.doubles.nvidia_collector import shorten_waits
from tests.doubles.nvidia_device import gpus
from tests.doubles.nvml import NvmlState
from tests.doubles.nvml_loaded import open_nvml
from tests.native.nvml_calls import CALLS

SUPPORTED, REGISTER = "nvmlDeviceGetSupportedEventTypes", "nvmlDeviceRegisterEvents"
CREATE, FREE, WAIT = "nvmlEventSetCreate", "nvmlEventSetFree", "nvmlEventSetWait_v2"
UNINITIALIZED, NOT_SUPPORTED, NO_PERMISSION, GPU_IS_LOST, UNKNOWN = 1, 3, 4, 15, 999
ALL_TYPES, WITHOUT_XID = 0xC10B, 0x10
HANG_MILLISECONDS = 600_000


class Bench:
    """A watch over two cards."""

    def __init__(self, state: NvmlState) -> None:
        self.state = state
        self.library = open_nvml()
        self.skipped_seconds = 0.0
        self.watcher = EventWatch(self.library, DeviceCalls("test"), self.clock, time.time)

    def clock(self) -> float:
        return time.monotonic() + self.skipped_seconds

    def devices(self) -> dict[str, Handle]:
        return {f"GPU-{index}": self.library.device(index) for index in range(self.library.device_count())}

    def watch(self) -> None:
        self.watcher.watch(self.devices())

    def registrations(self) -> list[Listening]:
        return [report for report in self.watcher.drain() if isinstance(report, Listening)]

    def faults(self) -> list[tuple[Reason, str]]:
        return [(report.reason, report.where) for report in self.watcher.drain() if isinstance(report, Fault)]

    def next_event(self) -> Event:
        def first() -> Event | None:
            return next((report for report in self.watcher.drain() if isinstance(report, Event)), None)

        return wait_until(first)

    def support_queries(self) -> list[int]:
        return [self.state.calls(SUPPORTED, device=slot) for slot in (0, 1)]


@pytest.fixture
def bench(nvml: NvmlState, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    shorten_waits(monkeypatch)
    nvml.devices = gpus(2)
    for slot in (0, 1):
        nvml.devices[slot].supported_event_types = ALL_TYPES
    made = Bench(nvml)
    yield made
    made.watcher.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nvidia-events"]


def test_registered_devices_are_known_at_the_first_poll(bench: Bench) -> None:
    bench.watch()
    assert bench.watcher.drain() == [Listening({"GPU-0": WANTED_EVENTS, "GPU-1": WANTED_EVENTS}, {})]
    assert bench.state.calls(REGISTER) == 2


def test_an_event_is_reported_by_the_next_poll(bench: Bench) -> None:
    bench.watch()
    before = time.time()
    bench.state.happen(1, 79)
    event = bench.next_event()
    assert event[:3] == ("GPU-1", "xid", "79")
    assert before <= event.at <= time.time()


def test_the_same_devices_are_registered_once(bench: Bench) -> None:
    for _ in range(5):
        bench.watch()
    assert bench.support_queries() == [1, 1]
    bench.state.happen(0, 31)
    bench.next_event()
    assert bench.state.calls(CREATE) == 1


def test_without_a_device_that_supports_events_there_is_no_thread(bench: Bench) -> None:
    bench.state.devices[0].supported_event_types = WITHOUT_XID
    bench.state.fail(SUPPORTED, NOT_SUPPORTED, device=1)
    for _ in range(3):
        bench.watch()
    assert threads() == []
    assert set(bench.watcher.refused) == {"GPU-0", "GPU-1"}
    assert bench.watcher.drain() == []
    assert bench.support_queries() == [1, 1]


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION])
def test_a_device_that_refused_for_a_moment_is_asked_again(bench: Bench, code: int) -> None:
    bench.state.fail(SUPPORTED, code)
    for _ in range(3):
        bench.watcher.retry_refused()
        bench.watch()
    assert len(bench.faults()) == (2 if code == NO_PERMISSION else 0)  # one for each device
    bench.state.heal()
    bench.watch()
    assert threads() == []
    bench.watcher.retry_refused()
    bench.watch()
    assert [set(report.types) for report in bench.registrations()] == [{"GPU-0", "GPU-1"}]
    assert bench.watcher.refused == {}


def test_a_missing_permission_is_reported_once_and_remembered(bench: Bench) -> None:
    bench.state.fail(SUPPORTED, NO_PERMISSION, device=0)
    bench.watch()
    bench.watch()
    assert bench.faults() == [(Reason.PERMISSION_DENIED, "GPU-0")]
    assert set(bench.watcher.refused) == {"GPU-0"}


def test_devices_refused_in_the_thread_are_known(bench: Bench) -> None:
    bench.state.fail(REGISTER, NO_PERMISSION, device=0)
    bench.watch()
    bench.watcher.drain()
    assert set(bench.watcher.refused) == {"GPU-0"}


def test_a_failed_query_of_supported_events_is_retried(bench: Bench) -> None:
    bench.state.fail(SUPPORTED, UNKNOWN, device=0)
    bench.state.fail(SUPPORTED, GPU_IS_LOST, device=1)
    bench.watch()
    assert bench.faults() == [(Reason.UNAVAILABLE, "GPU-0")]
    bench.state.heal()
    bench.watch()
    assert [set(report.types) for report in bench.registrations()] == [{"GPU-0", "GPU-1"}]


def test_the_end_of_the_session_is_raised(bench: Bench) -> None:
    bench.state.fail(SUPPORTED, UNINITIALIZED, device=0)
    with pytest.raises(SessionError):
        bench.watch()


def test_closing_frees_everything_and_returns_the_last_events(bench: Bench) -> None:
    bench.watch()
    bench.watcher.drain()
    bench.state.happen(0, 119)
    waits = bench.state.calls(WAIT)
    wait_until(lambda: bench.state.calls(WAIT) > waits)
    (last,) = bench.watcher.close()
    assert isinstance(last, Event)
    assert last.code == "119"
    assert (bench.state.calls(CREATE), bench.state.calls(FREE), threads()) == (1, 1, [])
    assert bench.watcher.close() == []


def test_closing_does_not_fail_after_the_session_ended(bench: Bench) -> None:
    bench.watch()
    bench.state.fail(FREE, UNINITIALIZED)
    bench.watcher.close()
    assert (bench.state.calls(FREE), threads()) == (1, [])


def test_closing_a_watch_without_devices_does_nothing(bench: Bench) -> None:
    bench.watcher.watch({})
    assert bench.watcher.close() == []
    assert [bench.state.calls(call) for call in (SUPPORTED, CREATE, WAIT, FREE)] == [0, 0, 0, 0]


def test_a_hung_wait_makes_no_call_when_it_returns(bench: Bench) -> None:
    bench.state.delay(WAIT, HANG_MILLISECONDS)
    bench.watch()
    wait_until(lambda: bench.state.waiting(WAIT) == 1)
    bench.watcher.close()
    (left,) = threads()
    assert bench.state.calls(FREE) == 0
    calls = [bench.state.calls(call) for call in CALLS]
    bench.state.release()
    left.join(60)
    assert not left.is_alive()
    assert [bench.state.calls(call) for call in CALLS] == calls


def test_a_wait_that_hangs_is_late_once_until_it_returns(bench: Bench) -> None:
    bench.watch()
    bench.watcher.drain()
    assert not bench.watcher.late
    bench.state.delay(WAIT, HANG_MILLISECONDS)
    wait_until(lambda: bench.state.waiting(WAIT) == 1)
    bench.skipped_seconds = 9.0
    assert bench.faults() == []
    bench.skipped_seconds = 11.0
    assert not bench.watcher.late  # it agrees with the reports of the last call
    assert bench.faults() == [(Reason.LATE, "events")]
    assert bench.faults() == []
    assert bench.watcher.late
    bench.state.delay(WAIT, 0)
    bench.state.release()
    wait_until(lambda: bench.faults() == [] and not bench.watcher.late)
    bench.state.happen(1, 79)
    assert bench.next_event().code == "79"


def test_a_new_device_is_registered(bench: Bench) -> None:
    bench.state.devices = [bench.state.devices[0]]
    bench.watch()
    assert [set(report.types) for report in bench.registrations()] == [{"GPU-0"}]
    bench.state.add(bench.state.devices[0]).uuid = "GPU-1"
    bench.watch()
    [now] = wait_until(lambda: bench.registrations() or None)
    assert set(now.types) == {"GPU-0", "GPU-1"}
    bench.state.happen(1, 48)
    assert bench.next_event().uuid == "GPU-1"
