"""Calls about single devices: a thread whose call does not return is left to its device, and the others go on.

Threads: the collector's thread calls every method. Each call about a device is made by a worker thread, one at a time,
while the collector's thread waits for it; so nothing is used by two threads, until a call takes too long. From then on
what belongs to its device belongs to the call: `run` refuses the device until the call has returned, and its late
result is dropped. So a call may use only what belongs to its device, or is safe to share. The lock protects the record
of the calls that are out; it is held neither during a call nor during an action.
"""

import threading
import time
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from collectors.contract import CollectorError, Reason

T = TypeVar("T")
StartThread = Callable[[Callable[[], None]], None]
# Waits until the condition's predicate is true, or for so many seconds.
Wait = Callable[[threading.Condition, Callable[[], bool], float], object]

# A device answers within milliseconds; all of a node together should within `poll.deadline`.
_DEADLINE_SECONDS = 1.0
# A device that was slow and not stuck gets more time, up to so many times the deadline: else it never had a reading.
_MOST_PATIENCE = 4
# It is given more until it has not been slow for so long: only some of its calls may be slow.
_PATIENT_SECONDS = 60.0
# All together get so much more at once, in deadlines, and in the long run so much of the time: the others wait for it.
_MOST_EXTRA, _EXTRA_RATE = 3.0, 0.5
# With more of them the driver is stuck, and not a device: every further call would cost another thread.
MOST_STUCK = 4


class StuckError(CollectorError):
    """A call about this device has not returned: the device has no reading now."""

    reason = Reason.LATE


class _Call(Generic[T]):
    """One call.

    Args:
        subject: What it is about.
        function: What to call.
        report_end: Called with this call when it has ended; returns whether its worker was left behind.

    Attributes:
        ended: Whether it has returned or raised.
        left: Whether its worker was left behind, so that nobody waits for its result.
        cpu_seconds: The CPU time that it has taken, once it has ended.
    """

    def __init__(self, subject: str, function: Callable[[], T], report_end: "Callable[[_Call[T]], bool]") -> None:
        self.subject = subject
        self.ended = False
        self.left = False
        self._function = function
        self._report_end = report_end
        self._results: list[T] = []
        self._error: BaseException | None = None
        self.cpu_seconds = 0.0

    def make(self) -> bool:
        """Call the function. Returns whether the worker is to end."""
        started = time.thread_time()
        try:
            self._results.append(self._function())
        except BaseException as error:  # noqa: BLE001 - raised again in the collector's thread
            self._error = error
        self.cpu_seconds = time.thread_time() - started
        return self._report_end(self)

    def result(self) -> T:
        """What the function returned; raises what it raised. Called once."""
        error, self._error = self._error, None  # without a cycle of the error and its frames
        if error is not None:
            raise error
        return self._results[0]


class _Extra:
    """The time beyond the deadline that slow devices get, all together.

    Args:
        most_seconds: How much there can be.
        now: Seconds of the clock.
    """

    def __init__(self, most_seconds: float, now: float) -> None:
        self._most_seconds = most_seconds
        self._seconds = most_seconds
        self._at = now

    def earn(self, now: float) -> float:
        """How much there is now."""
        self._seconds = min(self._most_seconds, self._seconds + (now - self._at) * _EXTRA_RATE)
        self._at = now
        return self._seconds

    def use(self, seconds: float, now: float) -> None:
        """So much was used until now."""
        self._seconds = max(0.0, self.earn(now) - seconds)


_Queue = SimpleQueue[_Call[Any] | None]


class DeviceCalls:
    """Makes the calls about the devices of one collector, one at a time, each with a deadline.

    Args:
        name: The name of the threads.
        deadline_seconds: How long a call may take before its thread is left behind.
        clock: Monotonic seconds.
        wait: Waits for the end of a call.
        start_thread: Starts a thread that runs a function; by default a daemon thread, because a call that never
            returns must not keep the process from ending.
    """

    def __init__(
        self,
        name: str,
        deadline_seconds: float = _DEADLINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = threading.Condition.wait_for,
        start_thread: StartThread | None = None,
    ) -> None:
        self._name = name
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._wait = wait
        self._start_thread = start_thread or self._start_daemon
        self._changed = threading.Condition()
        self._stuck: dict[str, _Call[Any]] = {}
        self._patience: dict[str, float] = {}  # of devices that were slow, in seconds
        self._slow_at: dict[str, float] = {}  # when they were slow, by the clock
        self._cpu_seconds = 0.0
        self._extra = _Extra(_MOST_EXTRA * deadline_seconds, clock())
        self._waiting: list[Callable[[], object]] = []
        self._acting = 0  # threads that do what has waited
        self._worker: _Queue | None = None
        self._end_worker: weakref.finalize[..., DeviceCalls] | None = None

    @property
    def stuck(self) -> frozenset[str]:
        """The devices, and what else is called, with a call that has not returned."""
        with self._changed:
            return frozenset(self._stuck)

    @property
    def none_is_out(self) -> bool:
        """Whether no call is out, and what waited for that has been done. See `when_none_is_out`."""
        with self._changed:
            return not self._stuck and not self._acting

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of the threads that have worked for the collector, without that of calls that are out."""
        with self._changed:
            return self._cpu_seconds

    def add_cpu_time(self, seconds: float) -> None:
        """Add the CPU time of another thread that works for the collector. Called from any thread."""
        with self._changed:
            self._cpu_seconds += seconds

    def run(self, subject: str, function: Callable[[], T]) -> T:
        """Call a function that reads a device, and wait for its result.

        While as many calls are out as there may be, it waits without a deadline: the collector becomes late.

        Args:
            subject: A name of the device, always the same one; or of something else that can hang by itself. Nothing
                that belongs to it may be used elsewhere while it is stuck.
            function: Called by another thread.

        Raises:
            StuckError: It has not returned within the deadline, or an earlier call about the device has not returned.
            Exception: What the function raised.
        """
        if subject in self.stuck:
            raise StuckError(f"{subject}: an earlier call has not returned")
        call = _Call(subject, function, self._report_end)
        started = self._clock()
        if not self._give(call):
            return function()
        patience = self._patience_with(subject, started)
        with self._changed:
            self._wait(self._changed, lambda: call.ended, patience)
            if not call.ended:
                self._changed.wait_for(lambda: call.ended or len(self._stuck) < MOST_STUCK)
            ended = self._clock()
            if ended - started > self._deadline_seconds:
                self._extra.use(ended - started - self._deadline_seconds, ended)
                self._slow_at[subject] = ended
            if not call.ended:
                self._leave(call, patience)
                raise StuckError(f"{subject}: the call has not returned within {patience:g} s")
        return call.result()

    def when_none_is_out(self, action: Callable[[], object]) -> None:
        """Do this now, or when the last call that is out has returned, by its thread; such as shutting down a library.

        Args:
            action: Must not raise. It may be done while `run` makes calls in a later session.
        """
        with self._changed:
            if self._stuck:
                self._waiting.append(action)
                return
        action()

    def _give(self, call: _Call[T]) -> bool:
        """Let the worker make a call. Returns False if there is no thread for it."""
        if self._worker is None:
            worker: _Queue = SimpleQueue()
            try:
                self._start_thread(lambda: _work(worker))
            except RuntimeError:  # the process may have no more threads: better a collector that can hang than none
                return False
            self._worker = worker
            self._end_worker = weakref.finalize(self, worker.put, None)
            self._end_worker.atexit = False
        self._worker.put(call)
        return True

    def _patience_with(self, subject: str, now: float) -> float:
        """How long a call about it may take, in seconds."""
        if now - self._slow_at.get(subject, now) > _PATIENT_SECONDS:
            self._patience.pop(subject, None)
            self._slow_at.pop(subject, None)
        wanted = self._patience.get(subject)
        return self._deadline_seconds if wanted is None else min(wanted, self._deadline_seconds + self._extra.earn(now))

    def _leave(self, call: _Call[T], patience: float) -> None:
        """Leave the worker to its call; the next call gets another one. The lock is held."""
        call.left = True
        self._stuck[call.subject] = call
        wanted = max(2 * patience, self._patience.get(call.subject, 0.0))
        self._patience[call.subject] = min(wanted, _MOST_PATIENCE * self._deadline_seconds)
        self._slow_at[call.subject] = self._clock()
        self._worker = None
        if self._end_worker is not None:
            self._end_worker.detach()

    def _report_end(self, call: _Call[T]) -> bool:
        """Record that a call has returned. Called by its worker; returns whether that was left behind."""
        actions: list[Callable[[], object]] = []
        with self._changed:
            call.ended = True
            self._cpu_seconds += call.cpu_seconds
            if call.left:
                del self._stuck[call.subject]
                if not self._stuck and self._waiting:
                    actions, self._waiting = self._waiting, []
                    self._acting += 1
            self._changed.notify_all()
        for action in actions:
            action()
        if actions:
            with self._changed:
                self._acting -= 1
        return call.left

    def _start_daemon(self, function: Callable[[], None]) -> None:
        threading.Thread(target=function, name=self._name, daemon=True).start()


def _work(calls: _Queue) -> None:
    """The thread of a worker. Between two calls it refers to its queue only, so that it ends with its `DeviceCalls`."""
    while not _make_next(calls):
        pass


def _make_next(calls: _Queue) -> bool:
    call = calls.get()
    return call is None or call.make()
