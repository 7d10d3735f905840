"""The calls about single devices: the deadline of a call passes exactly when it hangs, and it returns when released."""

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from collectors.contract import Reason
from collectors.device_calls import MOST_STUCK, DeviceCalls, StartThread, StuckError
from tests.doubles.collectors import BOUND_SECONDS, Clock
from tests.doubles.exporter_process import wait_until

T = TypeVar("T")
DEADLINE = 1.0
ALL_THAT_MAY_BE = tuple(f"gpu-{number}" for number in range(MOST_STUCK))


@dataclass
class Hanging:
    """A call that returns when it is released.

    Attributes:
        released: Set to let it return.
        entered: Set when it is made.
        error: What it raises instead of returning.
        threads: The threads that made it.
        at_the_end: What it does before it returns.
    """

    released: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    threads: set[int] = field(default_factory=set)
    at_the_end: Callable[[], None] = lambda: None

    def __call__(self) -> str:
        self.threads.add(threading.get_ident())
        self.entered.set()
        assert self.released.wait(BOUND_SECONDS), "never released"
        self.at_the_end()
        if self.error is not None:
            raise self.error
        return "late"


class Bench:
    """Calls of devices, with deadlines that pass when the test lets a call hang."""

    def __init__(self, start_thread: StartThread | None = None) -> None:
        self.clock = Clock()
        self.given_seconds: list[float] = []  # of each call that was made
        self.takes_its_time = False  # whether the clock shows the time that a hanging call was given
        self.hanging = Hanging()  # the last one
        self.calls = DeviceCalls("test", DEADLINE, self.clock, self._wait, start_thread)

    def run(self, uuid: str, function: Callable[[], T]) -> T:
        return self.calls.run(uuid, function)

    def hang(self, *uuids: str) -> list[Hanging]:
        """Let a call about each of these devices hang."""
        made = []
        for uuid in uuids:
            made.append(self.next_hanging())
            with pytest.raises(StuckError):
                self.run(uuid, self.hanging)
            self.next_hanging()  # the deadlines of the next calls do not pass
        return made

    def next_hanging(self) -> Hanging:
        self.hanging = Hanging()
        return self.hanging

    def free(self, *hanging: Hanging) -> None:
        """Let the calls return."""
        before = len(self.calls.stuck)
        for call in hanging:
            call.released.set()
        wait_until(lambda: len(self.calls.stuck) == before - len(hanging))

    def _wait(self, condition: threading.Condition, is_over: Callable[[], bool], seconds: float) -> None:
        self.given_seconds.append(seconds)
        while not (is_over() or (self.hanging.entered.is_set() and not self.hanging.released.is_set())):
            condition.wait(0.001)
        if self.takes_its_time:
            self.clock.now += seconds


class CallInAThread:
    """A call in a thread of its own.

    Attributes:
        result: What it returned.
        error: What it raised.
    """

    def __init__(self, bench: Bench, uuid: str, function: Callable[[], object]) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self.thread = in_a_thread(lambda: self._run(bench, uuid, function))

    def _run(self, bench: Bench, uuid: str, function: Callable[[], object]) -> None:
        try:
            self.result = bench.run(uuid, function)
        except StuckError as error:
            self.error = error


def in_a_thread(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def end_with_code_3() -> None:
    raise SystemExit(3)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_call_returns_its_result_or_raises_its_error(bench: Bench) -> None:
    assert bench.run("gpu-a", lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        bench.run("gpu-a", lambda: 1 // 0)
    with pytest.raises(SystemExit):
        bench.run("gpu-a", end_with_code_3)
    assert bench.calls.stuck == frozenset()


def work() -> None:
    """Use 10 ms of CPU time."""
    started = time.thread_time()
    while time.thread_time() - started < 0.01:
        pass


def test_the_cpu_time_of_the_calls_is_counted_also_that_of_one_that_was_left_behind(bench: Bench) -> None:
    bench.run("gpu-0", work)
    first = bench.calls.cpu_seconds
    assert first >= 0.01

    [hanging] = bench.hang("gpu-0")
    hanging.at_the_end = work
    assert bench.calls.cpu_seconds == first
    hanging.released.set()
    wait_until(lambda: not bench.calls.stuck)
    assert bench.calls.cpu_seconds >= first + 0.01

    bench.calls.add_cpu_time(5)
    assert bench.calls.cpu_seconds >= first + 5.01


def test_one_worker_makes_all_calls_that_return(bench: Bench) -> None:
    threads = {bench.run(uuid, threading.get_ident) for uuid in ("gpu-a", "gpu-b", "gpu-a")}

    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_a_call_that_hangs_is_left_behind_and_the_others_go_on(bench: Bench) -> None:
    [hanging] = bench.hang("gpu-a")

    others = {bench.run(uuid, threading.get_ident) for uuid in ("gpu-b", "gpu-c")}

    assert bench.calls.stuck == {"gpu-a"}
    assert len(others) == 1
    assert not others & hanging.threads
    bench.free(hanging)


def test_a_stuck_device_is_not_called(bench: Bench) -> None:
    [hanging] = bench.hang("gpu-a")
    made: list[str] = []

    with pytest.raises(StuckError, match="gpu-a: an earlier call has not returned") as raised:
        bench.run("gpu-a", lambda: made.append("again"))

    assert raised.value.reason is Reason.LATE
    assert made == []
    bench.free(hanging)


@pytest.mark.parametrize("error", [None, ValueError("late")])
def test_a_late_answer_is_dropped_and_the_device_can_be_read_again(bench: Bench, error: Exception | None) -> None:
    [hanging] = bench.hang("gpu-a")
    hanging.error = error
    bench.free(hanging)

    assert bench.run("gpu-a", lambda: "new") == "new"
    assert bench.calls.stuck == frozenset()


def test_a_late_answer_does_not_end_a_call_about_another_device(bench: Bench) -> None:
    [first] = bench.hang("gpu-a")
    entered, released = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert released.wait(BOUND_SECONDS)
        return "own answer"

    call = CallInAThread(bench, "gpu-b", slow)
    assert entered.wait(BOUND_SECONDS)
    bench.free(first)
    assert call.thread.is_alive()
    released.set()
    call.thread.join(BOUND_SECONDS)

    assert (call.result, call.error) == ("own answer", None)


def test_when_as_many_are_stuck_as_may_be_the_next_call_is_waited_for(bench: Bench) -> None:
    hanging = bench.hang(*ALL_THAT_MAY_BE)
    last = bench.next_hanging()
    call = CallInAThread(bench, "gpu-last", last)

    assert last.entered.wait(BOUND_SECONDS)
    call.thread.join(0.2)
    assert call.thread.is_alive(), "it waits, so that the collector is late"
    assert bench.calls.stuck == {*ALL_THAT_MAY_BE}
    last.released.set()
    call.thread.join(BOUND_SECONDS)

    assert call.result == "late"
    bench.free(*hanging)


def test_a_call_that_is_waited_for_is_left_behind_once_another_has_returned(bench: Bench) -> None:
    first, *others = bench.hang(*ALL_THAT_MAY_BE)
    last = bench.next_hanging()
    call = CallInAThread(bench, "gpu-last", last)
    assert last.entered.wait(BOUND_SECONDS)

    first.released.set()
    call.thread.join(BOUND_SECONDS)

    assert isinstance(call.error, StuckError)
    assert bench.calls.stuck == {*ALL_THAT_MAY_BE[1:], "gpu-last"}
    bench.free(*others, last)


def test_a_slow_device_gets_more_time_until_it_was_fast_for_a_minute(bench: Bench) -> None:
    def slowly() -> None:
        bench.clock.now += 2 * DEADLINE

    for _ in range(4):
        bench.free(*bench.hang("gpu-a"))
    bench.run("gpu-b", lambda: None)
    assert bench.given_seconds == [1, 2, 4, 4, 1]

    bench.run("gpu-a", lambda: None)  # only one of its calls is slow
    bench.clock.now += 59
    bench.run("gpu-a", slowly)
    bench.clock.now += 59
    bench.run("gpu-a", lambda: None)
    bench.clock.now += 2
    bench.run("gpu-a", lambda: None)
    assert bench.given_seconds[5:] == [4, 4, 4, 1]


def test_all_slow_devices_together_get_three_deadlines_more(bench: Bench) -> None:
    devices = ALL_THAT_MAY_BE
    for _ in range(3):
        bench.free(*bench.hang(*devices))
    bench.given_seconds.clear()
    bench.takes_its_time = True
    bench.free(*bench.hang(*devices))
    assert bench.given_seconds == [4, 1, 1.5, 1.75], "half of the time that passes is given again"

    bench.clock.now += 6
    bench.free(*bench.hang(devices[0]))
    assert bench.given_seconds[-1] == 4


def test_an_action_is_done_at_once_while_no_call_is_out(bench: Bench) -> None:
    done: list[int] = []

    bench.calls.when_none_is_out(lambda: done.append(threading.get_ident()))

    assert done == [threading.get_ident()]


def test_actions_wait_for_all_calls_that_are_out_and_are_done_once(bench: Bench) -> None:
    first, second = bench.hang("gpu-a", "gpu-b")
    done: list[str] = []
    bench.calls.when_none_is_out(lambda: done.append("free the samples"))
    bench.calls.when_none_is_out(lambda: done.append("shut down"))

    bench.free(first)
    bench.run("gpu-c", lambda: None)
    assert done == []
    assert not bench.calls.none_is_out
    second.released.set()
    wait_until(lambda: bench.calls.none_is_out)
    assert len(done) == 2

    assert done == ["free the samples", "shut down"]
    bench.free(*bench.hang("gpu-a"))
    assert len(done) == 2


def test_without_a_thread_the_call_is_made_by_the_collectors_own() -> None:
    starts = iter((True, False))

    def start(function: Callable[[], None]) -> None:
        if not next(starts):
            raise RuntimeError("can't start new thread")
        in_a_thread(function)

    bench = Bench(start)
    [hanging] = bench.hang("gpu-a")

    assert bench.run("gpu-b", threading.get_ident) == threading.get_ident()
    with pytest.raises(StuckError):
        bench.run("gpu-a", lambda: None)
    bench.free(hanging)


def test_no_thread_outlives_its_owner_and_its_call() -> None:
    started: list[threading.Thread] = []
    bench = Bench(lambda function: started.append(in_a_thread(function)))
    [hanging] = bench.hang("gpu-a")
    bench.run("gpu-b", lambda: None)
    assert [thread.is_alive() for thread in started] == [True, True]

    bench.free(hanging)
    started[0].join(BOUND_SECONDS)
    assert [thread.is_alive() for thread in started] == [False, True]
    del bench
    gc.collect()
    started[1].join(BOUND_SECONDS)
    assert not started[1].is_alive()


def test_many_hangs_leave_no_thread_behind(bench: Bench) -> None:
    before = threading.active_count()
    for _ in range(20):
        bench.free(*bench.hang("gpu-a", "gpu-b"))

    wait_until(lambda: threading.active_count() <= before + 1)
