"""Calls one collector on its cadences, from one thread, and reports each call. Calls never overlap."""

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple

from collectors.backoff import Backoff
from collectors.contract import (
    AbsentError,
    Collector,
    CollectorError,
    Device,
    Partition,
    Reading,
    Reason,
    UnavailableError,
)
from collectors.metric import Cadence
from collectors.releasing import ClosesLate, ReleasesDevices

_log = logging.getLogger(__name__)

_ALL = frozenset(Cadence)
_LONGEST_BACKOFF_SECONDS = 10.0
# How often a collector that is not closed yet is asked.
_LATE_SECONDS = 0.2


class CallStarted(NamedTuple):
    """A collector's `read` has been called.

    Attributes:
        collector: The collector's name.
        at: Monotonic seconds.
    """

    collector: str
    at: float


class CallEnded(NamedTuple):
    """A collector's `read` has returned or raised.

    Attributes:
        collector: The collector's name.
        started: Monotonic seconds.
        ended: Monotonic seconds.
        due: The cadences that were requested.
        reading: What it returned; None if it raised.
        failure: Why it raised; also None when the vendor is absent.
        text: The error's text for people.
        cpu_seconds: The CPU time that the collector has used since it was created, in all its threads; None if unknown.
    """

    collector: str
    started: float
    ended: float
    due: frozenset[Cadence]
    reading: Reading | None
    failure: Reason | None = None
    text: str = ""
    cpu_seconds: float | None = None


class Released(NamedTuple):
    """A collector is not called until its hardware is resumed.

    Attributes:
        collector: The collector's name.
        closed: Whether it has closed the hardware. If not, the same is reported again when it has.
    """

    collector: str
    closed: bool = True


class DevicesReleased(NamedTuple):
    """Only these devices of a collector are closed now, and are not opened until they are resumed.

    Attributes:
        collector: The collector's name.
        addresses: Their addresses, as `Device.device`; also those that other collectors list.
    """

    collector: str
    addresses: frozenset[str]


class _Outcome(NamedTuple):
    """What a call of a collector led to.

    Attributes:
        reading: What it returned; None if it raised.
        subjects: The devices and partitions in it.
        failure: Why it raised; also None when the vendor is absent.
        text: The error's text for people.
    """

    reading: Reading | None
    subjects: frozenset[Hashable] = frozenset()
    failure: Reason | None = None
    text: str = ""


PollerEvent = CallStarted | CallEnded | Released | DevicesReleased
Report = Callable[[PollerEvent], None]


class Schedule:
    """Which cadences are due. Missed reads are skipped and not repeated later.

    Args:
        intervals: Seconds between two reads of each cadence.
    """

    def __init__(self, intervals: Mapping[Cadence, float]) -> None:
        self._intervals = intervals
        self._next: dict[Cadence, float] = {}
        self._backoff = Backoff(intervals[Cadence.FAST], _LONGEST_BACKOFF_SECONDS)
        self._completion = Backoff(intervals[Cadence.FAST], intervals[Cadence.SLOW])
        self._subjects: frozenset[Hashable] = frozenset()

    def set_intervals(self, intervals: Mapping[Cadence, float], now: float) -> None:
        """Use these intervals; no cadence becomes due later than one new interval from now."""
        self._intervals = intervals
        self._backoff.first_seconds = intervals[Cadence.FAST]
        self._completion = Backoff(intervals[Cadence.FAST], intervals[Cadence.SLOW])
        self._next = {cadence: min(at, now + intervals[cadence]) for cadence, at in self._next.items()}

    def due(self, now: float) -> frozenset[Cadence]:
        """The cadences that are due now; at the start and after an error, all of them."""
        return frozenset(cadence for cadence in Cadence if self._next.get(cadence, now) <= now)

    def succeeded(self, due: frozenset[Cadence], now: float) -> None:
        """These cadences were read; schedule their next read on their own time grid."""
        self._backoff.succeeded()
        for cadence in due:
            interval = self._intervals[cadence]
            planned = self._next.get(cadence, now) + interval
            missed = (now - planned) // interval + 1 if planned <= now else 0
            self._next[cadence] = planned + missed * interval

    def add_missing(
        self, due: frozenset[Cadence], subjects: frozenset[Hashable], now: float, *, incomplete: bool
    ) -> None:
        """Make all cadences due at once for what is new or back, and again until that has been read completely.

        The pause doubles with each incomplete slow reading, up to the slow interval.

        Args:
            due: The cadences that were read.
            subjects: What was read; see `answering_subjects`.
            now: Monotonic seconds.
            incomplete: Whether something of it has failed ever since it is new or back.
        """
        new = bool(subjects - self._subjects)
        self._subjects = subjects
        if new or not incomplete:
            self._completion.succeeded()
        if new and due != _ALL:
            self.all_due(now)
        elif incomplete and Cadence.SLOW in due:
            at = self._on_fast_grid(now + self._completion.failed())
            self._next = {cadence: min(planned, at) for cadence, planned in self._next.items()}

    def all_due(self, now: float) -> None:
        """All cadences become due now, because there is something to read."""
        self._next = dict.fromkeys(Cadence, now)

    def _on_fast_grid(self, at: float) -> float:
        """The fast reading that is next to a time, so that all cadences are read by one call."""
        following, interval = self._next[Cadence.FAST], self._intervals[Cadence.FAST]
        return following + max(0, round((at - following) / interval)) * interval

    def failed(self, now: float) -> None:
        """The call failed: all cadences become due after a back-off that doubles up to 10 s."""
        self._next = dict.fromkeys(Cadence, now + self._backoff.failed())

    def absent(self, now: float) -> None:
        """The vendor is absent: try again at the slow cadence."""
        self._next = dict.fromkeys(Cadence, now + self._intervals[Cadence.SLOW])

    def wait_seconds(self, now: float) -> float:
        """Seconds until a cadence is due."""
        return max(0.0, min(self._next.values(), default=now) - now)


class Poller:
    """The thread of one collector.

    Args:
        name: The collector's name.
        collector: Called by this thread only, `close` included.
        intervals: Seconds between two reads of each cadence.
        clock: Monotonic seconds.
        report: Receives every call's start and end, and what was released; must not block.
        cpu_clock: The CPU time of the calling thread, in seconds.
    """

    def __init__(
        self,
        name: str,
        collector: Collector,
        intervals: Mapping[Cadence, float],
        clock: Callable[[], float],
        report: Report,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._name = name
        self._cpu_clock = cpu_clock
        self._cpu_seconds_of_others = 0.0
        self._collector = collector
        self._intervals = intervals
        self._schedule = Schedule(intervals)
        self._clock = clock
        self._report = report
        # The devices to keep closed, by address; None for all. Then the same as it is in force.
        self._wanted_closed: frozenset[str] | None = frozenset()
        self._closed: frozenset[str] | None = frozenset()
        self._refused: frozenset[str] | None = None  # what could not be closed at the last attempt
        self._addresses: frozenset[str] = frozenset()  # of the devices last listed
        self._all_requested = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        # A daemon thread: a call that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"collector-{name}", daemon=True)

    def start(self) -> None:
        """Start to poll."""
        self._thread.start()

    def set_intervals(self, intervals: Mapping[Cadence, float]) -> None:
        """Poll at these intervals from now on. Called from another thread."""
        self._intervals = intervals
        self._wake.set()

    def read_now(self) -> None:
        """Call the collector at once, with all cadences due. Called from another thread."""
        self._all_requested = True
        self._wake.set()

    def release(self, devices: frozenset[str] = frozenset()) -> None:
        """Close devices after the call in progress, and keep them closed; read the others. Called from another thread.

        Args:
            devices: Their addresses; empty to close the collector.
        """
        self._wanted_closed = devices or None
        self._wake.set()

    def resume(self) -> None:
        """Call the collector again, with all cadences due at once. Called from another thread."""
        self._wanted_closed = frozenset()
        self._wake.set()

    def stop(self) -> None:
        """Request that the thread closes the collector and ends. Returns at once."""
        self._stop.set()
        self._wake.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread to end. False when its call has not returned in time; the thread is then abandoned."""
        if self._thread.is_alive():  # it may have failed to start
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        intervals = self._intervals
        while not self._stop.is_set():
            if self._wanted_closed != self._closed and self._close_wanted():
                continue
            if self._all_requested:
                self._all_requested = False
                self._schedule.all_due(self._clock())
            due = self._schedule.due(self._clock())
            if due:
                self._call(due)
            self._wake.wait(self._schedule.wait_seconds(self._clock()))
            self._wake.clear()
            if self._intervals is not intervals:
                intervals = self._intervals
                self._schedule.set_intervals(intervals, self._clock())
        self._close()

    def _close_wanted(self) -> bool:
        """Close what is to be closed; returns when something is to be read again, then all of it at once.

        Returns:
            False if it cannot be closed now: then the collector is read as before, and it is tried again.
        """
        wanted = self._wanted_closed
        if wanted is None or not (isinstance(self._collector, ReleasesDevices) or wanted.isdisjoint(self._addresses)):
            self._stay_closed(wanted)
        elif isinstance(self._collector, ReleasesDevices) and not self._release_devices(self._collector, wanted):
            return False
        self._closed = wanted
        self._schedule = Schedule(self._intervals)
        return True

    def _release_devices(self, collector: ReleasesDevices, wanted: frozenset[str]) -> bool:
        try:
            collector.release_devices(wanted)
        except UnavailableError as error:
            if wanted != self._refused:
                _log.warning("devices not released yet: %s", error, extra={"fields": {"collector": self._name}})
            self._refused = wanted
            return False
        except (Exception, SystemExit):  # noqa: BLE001 - a bug must not end the thread
            self._log_bug("devices not released: this is a bug in the collector, please report it")
        self._refused = None
        self._report(DevicesReleased(self._name, wanted))
        return True

    def _stay_closed(self, wanted: frozenset[str] | None) -> None:
        """Keep the collector closed as long as this is wanted, or until it is stopped."""
        self._close()
        closed = self._is_closed()
        self._report(Released(self._name, closed))
        while self._wanted_closed == wanted and not self._stop.is_set():
            self._wake.wait(None if closed else _LATE_SECONDS)
            self._wake.clear()
            if not closed and self._is_closed():
                closed = True
                self._report(Released(self._name))

    def _is_closed(self) -> bool:
        return not isinstance(self._collector, ClosesLate) or self._collector.closed is not False

    def _call(self, due: frozenset[Cadence]) -> None:
        started = self._clock()
        self._report(CallStarted(self._name, started))
        outcome = self._read(due)
        ended = self._clock()
        if outcome.reading is not None:
            self._schedule.succeeded(due, ended)
            # A collector of another package may return anything.
            incomplete = outcome.reading.incomplete is True
            self._schedule.add_missing(due, outcome.subjects, ended, incomplete=incomplete)
        elif outcome.failure is not None:
            self._schedule.failed(ended)
        else:
            self._schedule.absent(ended)
        spent = self._cpu_clock() + self._cpu_seconds_of_others
        self._report(CallEnded(self._name, started, ended, due, outcome.reading, outcome.failure, outcome.text, spent))

    def _read(self, due: frozenset[Cadence]) -> _Outcome:
        try:
            reading = self._collector.read(due)
            self._cpu_seconds_of_others = max(self._cpu_seconds_of_others, _seconds(reading.cpu_seconds))
            self._addresses = frozenset(str(device.device) for device in reading.devices if isinstance(device, Device))
            return _Outcome(reading, answering_subjects(reading))
        except AbsentError as error:
            return _Outcome(None, text=str(error))
        except CollectorError as error:
            if error.reason is Reason.BROKEN and not isinstance(error, UnavailableError):
                self._log_bug("collector failed: this is a bug in the collector, please report it")
            return _Outcome(None, failure=error.reason, text=str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a bug must fail one reading, and not end the thread
            self._log_bug("collector failed: this is a bug in the collector, please report it")
            return _Outcome(None, failure=Reason.BROKEN, text=f"{type(error).__name__}: {error}")

    def _close(self) -> None:
        try:
            self._collector.close()
        except (Exception, SystemExit):  # noqa: BLE001 - a bug must not stop the thread from ending
            self._log_bug("collector not closed: this is a bug in the collector, please report it")

    def _log_bug(self, message: str) -> None:
        _log.exception(message, extra={"fields": {"collector": self._name}})


def _seconds(given: object) -> float:
    """A time; 0 for anything else, which a collector of another package may return."""
    return float(given) if isinstance(given, (int, float)) and 0 <= given < math.inf else 0.0


def answering_subjects(reading: Reading) -> frozenset[Hashable]:
    """What was read, also partitions: a device that was lost or stuck is then new.

    A partition that was created again may have the same uuid and another size.
    """
    answering = (device for device in reading.devices if isinstance(device, Device) and not device.lost)
    devices = {str(device.uuid) for device in answering} - reading.stuck
    listed = [part for part in reading.partitions if isinstance(part, Partition)]
    parts = {(str(part.uuid), str(part.profile)) for part in listed if str(part.device_uuid) in devices}
    return frozenset(devices | parts)
