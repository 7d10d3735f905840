"""Calls one collector on its cadences, from one thread, and reports each call. Never a second call while one is out."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from collectors.backoff import Backoff
from collectors.contract import AbsentError, Collector, CollectorError, Reading, Reason
from collectors.metric import Cadence

_log = logging.getLogger(__name__)

_ALL = frozenset(Cadence)
_LONGEST_BACKOFF_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A collector's `read` has been called.

    Attributes:
        collector: The collector's name.
        at: Monotonic seconds.
    """

    collector: str
    at: float


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A collector's `read` has returned or raised.

    Attributes:
        collector: The collector's name.
        started: Monotonic seconds.
        ended: Monotonic seconds.
        due: The cadences that were asked for.
        reading: What it returned; None if it raised.
        failure: Why it raised; None also when the vendor is absent.
        text: The error's text for people.
    """

    collector: str
    started: float
    ended: float
    due: frozenset[Cadence]
    reading: Reading | None
    failure: Reason | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """A collector has been closed and is not called until its hardware is taken up again.

    Attributes:
        collector: The collector's name.
    """

    collector: str


PollerEvent = CallStarted | CallEnded | Released
Report = Callable[[PollerEvent], None]


class Schedule:
    """Which cadences are due. Missed turns are skipped, not made up for.

    Args:
        intervals: Seconds between two readings of each cadence.
    """

    def __init__(self, intervals: Mapping[Cadence, float]) -> None:
        self._intervals = intervals
        self._next: dict[Cadence, float] = {}
        self._backoff = Backoff(intervals[Cadence.FAST], _LONGEST_BACKOFF_SECONDS)

    def change(self, intervals: Mapping[Cadence, float], now: float) -> None:
        """Plan with other intervals; nothing is due later than it would be from now on."""
        self._intervals = intervals
        self._backoff.first_seconds = intervals[Cadence.FAST]
        self._next = {cadence: min(at, now + intervals[cadence]) for cadence, at in self._next.items()}

    def due(self, now: float) -> frozenset[Cadence]:
        """The cadences whose time has come; after an error or at the start, all of them."""
        return frozenset(cadence for cadence in Cadence if self._next.get(cadence, now) <= now)

    def done(self, due: frozenset[Cadence], now: float) -> None:
        """These cadences were read; plan their next turn on their own grid."""
        self._backoff.succeeded()
        for cadence in due:
            interval = self._intervals[cadence]
            planned = self._next.get(cadence, now) + interval
            missed = (now - planned) // interval + 1 if planned <= now else 0
            self._next[cadence] = planned + missed * interval

    def everything(self, now: float) -> None:
        """All cadences are due at once, as when there is something new to read."""
        self._next = dict.fromkeys(Cadence, now)

    def failed(self, now: float) -> None:
        """The call failed: everything is due again, after a pause that doubles up to 10 s."""
        self._next = dict.fromkeys(Cadence, now + self._backoff.failed())

    def absent(self, now: float) -> None:
        """The vendor is not here: ask again at the slow cadence."""
        self._next = dict.fromkeys(Cadence, now + self._intervals[Cadence.SLOW])

    def wait_seconds(self, now: float) -> float:
        """Seconds until something is due."""
        return max(0.0, min(self._next.values(), default=now) - now)


class Poller:
    """The thread of one collector.

    Args:
        name: The collector's name.
        collector: Called by this thread only, `close` included.
        intervals: Seconds between two readings of each cadence.
        clock: Monotonic seconds.
        report: Receives every call's start and end, and every release; must not block.
    """

    def __init__(
        self,
        name: str,
        collector: Collector,
        intervals: Mapping[Cadence, float],
        clock: Callable[[], float],
        report: Report,
    ) -> None:
        self._name = name
        self._collector = collector
        self._intervals = intervals
        self._schedule = Schedule(intervals)
        self._clock = clock
        self._report = report
        self._known: frozenset[str] = frozenset()
        self._let_go = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        # A daemon thread: a call that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"collector-{name}", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def set_intervals(self, intervals: Mapping[Cadence, float]) -> None:
        """Poll at other intervals from now on. Called from another thread."""
        self._intervals = intervals
        self._wake.set()

    def release(self) -> None:
        """Close the collector, once a call that is out has returned, and leave it so. Called from another thread."""
        self._let_go = True
        self._wake.set()

    def resume(self) -> None:
        """Take the hardware up again: everything is due at once. Called from another thread."""
        self._let_go = False
        self._wake.set()

    def stop(self) -> None:
        """Ask the thread to close the collector and end. Returns at once."""
        self._stop.set()
        self._wake.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread to end; False when a call is still out by then and is left behind."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        intervals = self._intervals
        while not self._stop.is_set():
            if self._let_go:
                self._rest()
                continue
            due = self._schedule.due(self._clock())
            if due:
                self._call(due)
            self._wake.wait(self._schedule.wait_seconds(self._clock()))
            self._wake.clear()
            if self._intervals is not intervals:
                intervals = self._intervals
                self._schedule.change(intervals, self._clock())
        self._close()

    def _rest(self) -> None:
        """Hold nothing open until told otherwise."""
        self._close()
        self._report(Released(self._name))
        while self._let_go and not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
        self._schedule = Schedule(self._intervals)

    def _call(self, due: frozenset[Cadence]) -> None:
        started = self._clock()
        self._report(CallStarted(self._name, started))
        reading, failure, text = self._read(due)
        ended = self._clock()
        if reading is not None:
            self._schedule.done(due, ended)
            self._look_at_news(due, reading, ended)
        elif failure is not None:
            self._schedule.failed(ended)
        else:
            self._schedule.absent(ended)
        self._report(CallEnded(self._name, started, ended, due, reading, failure, text))

    def _look_at_news(self, due: frozenset[Cadence], reading: Reading, now: float) -> None:
        """Devices and partitions that were not there before: unless everything has just been read, read it at once."""
        known = frozenset(device.uuid for device in reading.devices) | frozenset(p.uuid for p in reading.partitions)
        if known - self._known and due != _ALL:
            self._schedule.everything(now)
        self._known = known

    def _read(self, due: frozenset[Cadence]) -> tuple[Reading | None, Reason | None, str]:
        try:
            return self._collector.read(due), None, ""
        except AbsentError as error:
            return None, None, str(error)
        except CollectorError as error:
            if error.reason is Reason.BROKEN:
                self._log_bug("collector failed: this is a bug in the collector, please report it")
            return None, error.reason, str(error)
        except Exception as error:  # noqa: BLE001 - a third party's bug must cost one reading, not the thread
            self._log_bug("collector failed: this is a bug in the collector, please report it")
            return None, Reason.BROKEN, f"{type(error).__name__}: {error}"

    def _close(self) -> None:
        try:
            self._collector.close()
        except Exception:  # noqa: BLE001 - a third party's bug must not keep the thread from ending in order
            self._log_bug("collector not closed: this is a bug in the collector, please report it")

    def _log_bug(self, what: str) -> None:
        _log.exception(what, extra={"fields": {"collector": self._name}})
