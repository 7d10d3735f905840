import threading
import time
from collections.abc import Iterator

import pytest

from collectors.contract import Fault, Reason
from collectors.nvidia.errors import SessionError
from collectors.nvidia.events import EventWatch
from collectors.nvidia.listener import WANTED_EVENTS, Event, Listening
from collectors.nvidia.nvml import Handle, Nvml
from tests.doubles.exporter_process import wait_until
from tests.doubles.nvml_binding import GPU_IS_LOST
from tests.doubles.nvml_event_binding import TIMEOUT, EventBinding, EventGpu, event, event_gpus

ASK = "nvmlDeviceGetSupportedEventTypes"


class Bench:
    """A watch over a library in memory."""

    def __init__(self, count: int) -> None:
        self.gpus = event_gpus(count)
        self.binding = EventBinding(self.gpus)
        self.watch = EventWatch(Nvml(self.binding), time.monotonic, time.time)

    def devices(self) -> dict[str, Handle]:
        return {gpu.uuid: gpu.handle for gpu in self.gpus}

    def next_event(self) -> Event:
        def heard() -> Event | None:
            return next((report for report in self.watch.drain() if isinstance(report, Event)), None)

        return wait_until(heard)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(2)
    yield made
    made.watch.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nvidia-events"]


def test_the_first_poll_knows_already_who_is_listened_to(bench: Bench) -> None:
    bench.watch.watch(bench.devices())
    assert bench.watch.drain() == [Listening(dict.fromkeys(bench.devices(), WANTED_EVENTS), {})]
    assert [gpu.registered for gpu in bench.gpus] == [[WANTED_EVENTS]] * 2


def test_an_event_arrives_at_the_next_poll_after_it(bench: Bench) -> None:
    bench.watch.watch(bench.devices())
    before = time.time()
    bench.binding.coming.put(event(bench.gpus[1], 79))
    heard = bench.next_event()
    assert heard[:3] == ("GPU-1", "xid", "79")
    assert before <= heard.at <= time.time()


def test_the_same_devices_are_told_once(bench: Bench) -> None:
    for _ in range(5):
        bench.watch.watch(bench.devices())
    assert [gpu.calls[ASK] for gpu in bench.gpus] == [1, 1]
    bench.binding.coming.put(event(bench.gpus[0], 31))
    bench.next_event()
    assert bench.binding.calls["nvmlEventSetCreate"] == 1


def test_without_a_device_that_supports_events_there_is_no_thread(bench: Bench) -> None:
    bench.gpus[0].answers[ASK] = 0x10
    bench.gpus[1].errors[ASK] = 3
    for _ in range(3):
        bench.watch.watch(bench.devices())
    assert threads() == []
    assert set(bench.watch.refused) == {"GPU-0", "GPU-1"}
    assert bench.watch.drain() == []
    assert [gpu.calls[ASK] for gpu in bench.gpus] == [1, 1]


def test_a_missing_permission_is_told_once_and_remembered(bench: Bench) -> None:
    bench.gpus[0].errors[ASK] = 4
    bench.watch.watch(bench.devices())
    bench.watch.watch(bench.devices())
    (fault,) = [report for report in bench.watch.drain() if isinstance(report, Fault)]
    assert (fault.reason, fault.where) == (Reason.PERMISSION_DENIED, "GPU-0")
    assert set(bench.watch.refused) == {"GPU-0"}


def test_what_the_thread_was_refused_is_known_here(bench: Bench) -> None:
    bench.gpus[0].errors["nvmlDeviceRegisterEvents"] = 4
    bench.watch.watch(bench.devices())
    bench.watch.drain()
    assert set(bench.watch.refused) == {"GPU-0"}


def test_a_device_that_cannot_say_what_it_supports_is_asked_again(bench: Bench) -> None:
    bench.gpus[0].errors[ASK] = 999
    bench.gpus[1].errors[ASK] = GPU_IS_LOST
    bench.watch.watch(bench.devices())
    assert [report.where for report in bench.watch.drain() if isinstance(report, Fault)] == ["GPU-0"]
    for gpu in bench.gpus:
        gpu.errors.clear()
    bench.watch.watch(bench.devices())
    assert [set(report.types) for report in bench.watch.drain() if isinstance(report, Listening)] == [
        {"GPU-0", "GPU-1"}
    ]


def test_the_end_of_the_session_is_not_swallowed(bench: Bench) -> None:
    bench.gpus[0].errors[ASK] = 1
    with pytest.raises(SessionError):
        bench.watch.watch(bench.devices())


def test_closing_frees_everything_and_tells_what_was_heard_last(bench: Bench) -> None:
    bench.watch.watch(bench.devices())
    bench.watch.drain()
    bench.binding.coming.put(event(bench.gpus[0], 119))
    wait_until(lambda: bench.binding.calls["nvmlEventSetWait_v2"] > 1)
    (last,) = bench.watch.close()
    assert isinstance(last, Event)
    assert last.code == "119"
    assert (bench.binding.open, threads()) == ([], [])
    assert bench.watch.close() == []


def test_a_library_that_is_gone_at_the_close_is_no_trouble(bench: Bench) -> None:
    bench.watch.watch(bench.devices())
    bench.binding.errors["nvmlEventSetFree"] = 1
    bench.watch.close()
    assert threads() == []


def test_closing_what_never_listened_does_nothing() -> None:
    bench = Bench(0)
    bench.watch.watch({})
    assert bench.watch.close() == []
    assert bench.binding.calls == {}


def test_a_wait_that_hangs_is_left_behind_and_touches_nothing_when_it_returns() -> None:
    bench = Bench(1)
    let_go = threading.Event()

    def hang() -> None:
        let_go.wait(60)

    bench.binding.coming.put(hang)
    bench.watch.watch(bench.devices())
    wait_until(bench.binding.coming.empty)
    bench.watch.close()
    (left,) = threads()
    assert len(bench.binding.open) == 1
    calls = bench.binding.calls.total()
    let_go.set()
    left.join(60)
    assert not left.is_alive()
    assert bench.binding.calls.total() == calls


def test_a_device_that_comes_is_listened_to() -> None:
    bench = Bench(1)
    bench.watch.watch(bench.devices())
    bench.gpus.append(EventGpu(uuid="GPU-new", place=0x2000))
    bench.watch.watch(bench.devices())
    bench.binding.coming.put(TIMEOUT)  # the wait that runs ends now, not after its second
    wait_until(lambda: bench.gpus[1].registered)
    bench.binding.coming.put(event(bench.gpus[1], 48))
    assert bench.next_event().uuid == "GPU-new"
    bench.watch.close()
