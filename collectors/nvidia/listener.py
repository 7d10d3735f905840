"""The thread that receives events of a session. It shares two queues with other threads, and the start of its call."""

import ctypes
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, NewType, TypeVar

from collectors.backoff import Backoff
from collectors.contract import CollectorError, DeviceLostError, Fault, Reason, UnavailableError, UnsupportedError
from collectors.nvidia.errors import NoDataError, TimedOutError, fault_of
from collectors.nvidia.nvml import Handle, Nvml
from collectors.nvidia.xid import DRIVER_SOURCE, GPU_UNAVAILABLE, XID_SOURCE

EventSet = NewType("EventSet", object)
_T = TypeVar("_T")

XID_EVENT = 0x8  # nvmlEventTypeXidCriticalError
UNAVAILABLE_EVENT = 0x4000  # nvmlEventTypeGpuUnavailableError, driver 565 or later
# All other critical events (uncorrectable error, retired memory, poison, recovery action) are also reported as XIDs. If
# the exporter listened to both, it would count them twice.
WANTED_EVENTS = XID_EVENT | UNAVAILABLE_EVENT

_WHERE = "events"
# The driver keeps events until they are asked for, so a call of the library need not wait for them. A command ends a
# pause at once; it could not end a call, so that the end of a session would take as long as that.
_PAUSE_SECONDS = 1.0
_WAIT_MILLISECONDS = 1
_MAX_REMAINING_EVENTS = 256
_MAX_UNREAD_REPORTS = 10_000


class Watched(NamedTuple):
    """A device to listen to.

    Attributes:
        handle: The device.
        address: The address that the handle points to. An event identifies its device by this address.
        types: The types of events to listen to, all supported by the device.
    """

    handle: Handle
    address: int | None
    types: int


class Event(NamedTuple):
    """A critical event.

    Attributes:
        uuid: The device.
        source: What reported it: `xid` or `driver`.
        code: The XID, or the name of the driver's event.
        at: Unix time at which it was received.
    """

    uuid: str
    source: str
    code: str
    at: float


class Listening(NamedTuple):
    """The report that the thread now receives events.

    Attributes:
        types: The types of events it listens to, by uuid.
        refused: The reason, by uuid, why events of a device are unavailable in this session.
    """

    types: Mapping[str, int]
    refused: Mapping[str, str]


class Ended(NamedTuple):
    """The last report.

    Attributes:
        event_set: The event set that is still open and must be freed by the owner of the session; None if none is open.
    """

    event_set: EventSet | None


Report = Event | Listening | Fault | Ended
# The devices by uuid; None ends the thread.
Command = Mapping[str, Watched] | None


class _EndedError(Exception):
    """The session is being closed. No further call may be made."""


class Listener:
    """The work of the thread.

    A library call can hang for minutes and return long after its session was closed. Therefore the thread checks
    for the command to end before each call, and the session's owner frees the event set if the thread ends in time.

    Args:
        nvml: The open library.
        commands: The devices to listen to, or None to end.
        reports: Receives the reports for the collector's thread.
        clock: Monotonic seconds.
        wall_clock: Unix time.
        add_cpu_time: Receives the CPU time of the thread, in seconds, from call to call.

    Attributes:
        call_started_at: When its present call of the library started, by the clock; None between two calls.
    """

    def __init__(
        self,
        nvml: Nvml,
        commands: "SimpleQueue[Command]",
        reports: "SimpleQueue[Report]",
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        add_cpu_time: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._nvml = nvml
        self._add_cpu_time = add_cpu_time
        self._counted_cpu_seconds = 0.0
        self._commands = commands
        self._reports = reports
        self._clock = clock
        self._wall_clock = wall_clock
        self._devices: Mapping[str, Watched] = {}
        self._changed = False
        self._set: EventSet | None = None
        self._uuid_at: dict[int | None, str] = {}
        self._backoff = Backoff()
        self.call_started_at: float | None = None

    def run(self) -> None:
        """Listen until the command to end."""
        try:
            while True:
                self._listen()
        except _EndedError:
            self._reports.put(Ended(self._set))

    def _listen(self) -> None:
        """Listen with one event set, until the devices change or a call fails."""
        try:
            complete = self._open()
            retry_at = math.inf if complete else self._clock() + self._backoff.failed()
            while self._may_continue(retry_at):
                if self._uuid_at:
                    self._receive()
                    if complete:
                        self._backoff.succeeded()
                else:
                    self._wait_for_command(None if complete else max(0.0, retry_at - self._clock()))
        except CollectorError as error:
            self._fail(fault_of(error, _WHERE))
        except _EndedError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug must be reported and must not end the thread
            self._fail(Fault(Reason.BROKEN, _WHERE, f"{type(error).__name__}: {error}"))

    def _may_continue(self, retry_at: float) -> bool:
        self._apply_commands()
        return not self._changed and self._clock() < retry_at

    def _fail(self, fault: Fault) -> None:
        self._reports.put(fault)
        self._wait_for_command(self._backoff.failed())

    def _open(self) -> bool:
        """Create an event set for all devices. Returns False if a device must be retried later."""
        self._apply_commands()
        self._close()
        self._changed = False
        if not self._devices:
            return True
        types: dict[str, int] = {}
        refused: dict[str, str] = {}
        complete = True
        self._set = self._call("nvmlEventSetCreate", read=EventSet)
        for uuid, watched in self._devices.items():
            try:
                self._register(watched)
            except (UnsupportedError, NoDataError, UnavailableError, DeviceLostError) as error:
                if isinstance(error, UnsupportedError) or error.reason is Reason.PERMISSION_DENIED:
                    refused[uuid] = str(error)
                else:
                    complete = False
                    self._reports.put(fault_of(error, uuid))
            else:
                self._uuid_at[watched.address] = uuid
                types[uuid] = watched.types
        self._reports.put(Listening(types, refused))
        return complete

    def _register(self, watched: Watched) -> None:
        self._call("nvmlDeviceRegisterEvents", watched.handle, watched.types, self._set, read=_ignore)

    def _close(self) -> None:
        """Report the events that remain in the event set, then free it."""
        if self._set is None:
            return
        with suppress(CollectorError):  # no event remains, or none can be read
            for _ in range(_MAX_REMAINING_EVENTS):
                self._report_event(self._call("nvmlEventSetWait_v2", self._set, 0, read=_event_fields))
        with suppress(CollectorError):
            self._call("nvmlEventSetFree", self._set, read=_ignore)
        self._set = None
        self._uuid_at.clear()

    def _receive(self) -> None:
        """Report the next event; pause if there is none."""
        try:
            event = self._call("nvmlEventSetWait_v2", self._set, _WAIT_MILLISECONDS, read=_event_fields)
        except TimedOutError:
            self._wait_for_command(_PAUSE_SECONDS)
        else:
            self._report_event(event)

    def _report_event(self, event: tuple[int | None, int, int]) -> None:
        address, kind, data = event
        uuid = self._uuid_at.get(address)
        if self._reports.qsize() >= _MAX_UNREAD_REPORTS:
            return  # the collector's thread hangs in a call and does not read the reports
        if uuid is None:
            self._reports.put(Fault(Reason.INVALID_VALUE, _WHERE, f"event {kind:#x} ({data}) of an unknown device"))
        elif kind == XID_EVENT:
            self._reports.put(Event(uuid, XID_SOURCE, str(data), self._wall_clock()))
        elif kind == UNAVAILABLE_EVENT:
            self._reports.put(Event(uuid, DRIVER_SOURCE, GPU_UNAVAILABLE, self._wall_clock()))

    def _call(self, name: str, *arguments: object, read: Callable[[Any], _T]) -> _T:
        self._apply_commands()
        self.call_started_at = self._clock()
        try:
            return self._nvml.call(name, *arguments, read=read)
        finally:
            self.call_started_at = None
            before, self._counted_cpu_seconds = self._counted_cpu_seconds, time.thread_time()
            self._add_cpu_time(self._counted_cpu_seconds - before)

    def _apply_commands(self) -> None:
        try:
            while True:
                self._apply(self._commands.get_nowait())
        except Empty:
            return

    def _wait_for_command(self, seconds: float | None) -> None:
        """Wait for a command, at most this long."""
        try:
            self._apply(self._commands.get(timeout=seconds))
        except Empty:
            return

    def _apply(self, command: Command) -> None:
        """Set the devices. A missing device remains in the event set, because its last events may be in it."""
        if command is None:
            raise _EndedError
        for uuid, watched in command.items():
            known = self._devices.get(uuid)
            self._changed |= known is None or known.address != watched.address
        self._devices = command


def address_of(handle: Any) -> int | None:  # noqa: ANN401 - a ctypes pointer of the binding
    """The address that a handle points to. Different handle objects of a device point to the same address."""
    return ctypes.cast(handle, ctypes.c_void_p).value


def _event_fields(data: Any) -> tuple[int | None, int, int]:  # noqa: ANN401 - nvmlEventData_t of the binding
    return address_of(data.device), int(data.eventType), int(data.eventData)


def _ignore(_: object) -> None:
    pass
