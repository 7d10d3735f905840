"""Critical events of the devices of one session: the side of the collector's thread. `listener` is the other side."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from collectors.contract import CollectorError, DeviceLostError, Fault, Reason, UnavailableError, UnsupportedError
from collectors.device_calls import DeviceCalls, StuckError
from collectors.nvidia.errors import NoDataError, fault_of
from collectors.nvidia.listener import (
    WANTED_EVENTS,
    XID_EVENT,
    Command,
    Ended,
    Event,
    Listener,
    Listening,
    Report,
    Watched,
    address_of,
)
from collectors.nvidia.nvml import Handle, Nvml

# How long the first poll waits until the thread has registered its events, so that counters start at 0 in that poll.
_FIRST_REPORT_SECONDS = 1.0
# Many times longer than one wait for events. A call that takes longer is late: events are missed meanwhile.
_LATE_SECONDS = 10.0
# Longer than one wait for events. A thread that takes longer hangs in the library and is abandoned.
_END_SECONDS = 2.0


class EventWatch:
    """Listens to events of the devices of one session. There is no thread while no device supports critical events.

    Args:
        nvml: The open library.
        calls: Makes the calls about single devices.
        clock: Monotonic seconds.
        wall_clock: Unix time.

    Attributes:
        late: Whether a call of the thread had not returned for much too long at the last `drain`: events are missed.
        refused: The reason, by uuid, why events are unavailable now.
    """

    def __init__(
        self, nvml: Nvml, calls: DeviceCalls, clock: Callable[[], float], wall_clock: Callable[[], float]
    ) -> None:
        self._nvml = nvml
        self._calls = calls
        self._clock = clock
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._listener = Listener(nvml, self._commands, self._reports, clock, wall_clock, calls.add_cpu_time)
        self._thread: threading.Thread | None = None
        self._types: dict[str, int] = {}
        self._watched: dict[str, Handle] = {}
        self._sent_addresses: dict[str, int | None] = {}
        self._unread: list[Report] = []
        self.late = False
        self._denied: set[str] = set()
        self._without_types: set[str] = set()  # refused because the device supports no type of events
        self.refused: dict[str, str] = {}

    def watch(self, devices: Mapping[str, Handle]) -> None:
        """Listen to events of these devices. Does nothing if they have not changed.

        Args:
            devices: Handles of all devices that answer, by uuid.

        Raises:
            SessionError: The session is no longer usable.
        """
        if devices == self._watched and all(uuid in self._types or uuid in self.refused for uuid in devices):
            return
        self._watched = dict(devices)
        watched: dict[str, Watched] = {}
        for uuid, handle in devices.items():
            types = self._supported(uuid, handle)
            if types:
                watched[uuid] = Watched(handle, address_of(handle), types)
        addresses = {uuid: device.address for uuid, device in watched.items()}
        if addresses != self._sent_addresses:
            self._sent_addresses = addresses
            self._commands.put(watched)
            self._start()

    def retry_refused(self) -> None:
        """Ask devices that support no events again at the next poll: they may have refused for a moment only."""
        for uuid in self._without_types:
            self.refused.pop(uuid, None)
        self._without_types.clear()

    def drain(self) -> list[Event | Listening | Fault]:
        """The reports since the last call. Never waits."""
        since, late_before = self._listener.call_started_at, self.late
        self.late = since is not None and self._clock() - since > _LATE_SECONDS
        if self.late and not late_before:
            detail = f"the library has not returned from the wait for events within {_LATE_SECONDS:g} s"
            self._unread.append(Fault(Reason.LATE, "events", detail))
        return [report for report in self._all() if not isinstance(report, Ended)]

    def close(self) -> list[Event | Listening | Fault]:
        """End the thread and free its event set; then the library can be shut down. May be called twice.

        Returns:
            The last reports.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return []
        self._commands.put(None)
        thread.join(_END_SECONDS)
        reports = self._all()
        for report in reports:
            if isinstance(report, Ended) and report.event_set is not None:
                with suppress(CollectorError):  # the driver was unloaded, which freed it
                    self._nvml.call("nvmlEventSetFree", report.event_set, read=_ignore)
        return [report for report in reports if not isinstance(report, Ended)]

    def _supported(self, uuid: str, handle: Handle) -> int:
        """The supported types of events among those listened to: nvmlDeviceGetSupportedEventTypes, called once."""
        if uuid in self._types or uuid in self.refused:
            return self._types.get(uuid, 0)
        call = "nvmlDeviceGetSupportedEventTypes"
        try:
            types = self._calls.run(uuid, partial(self._nvml.call, call, handle, read=int)) & WANTED_EVENTS
        except UnsupportedError as error:
            self._refuse(uuid, str(error))
        except (UnavailableError, NoDataError) as error:
            denied = error.reason is Reason.PERMISSION_DENIED
            if not denied or uuid not in self._denied:  # a missing permission counts once
                self._unread.append(fault_of(error, uuid))
            if denied:
                self._denied.add(uuid)
                self._refuse(uuid, str(error))
        except (DeviceLostError, StuckError):
            return 0  # the readings of the device report it
        else:
            if types & XID_EVENT:
                self._types[uuid] = types
            else:
                self._refuse(uuid, f"{call}: the device does not support critical events")
        return self._types.get(uuid, 0)

    def _refuse(self, uuid: str, why: str) -> None:
        self.refused[uuid] = why
        self._without_types.add(uuid)

    def _start(self) -> None:
        if self._thread is not None:
            return
        # A daemon thread: a wait that never returns must not prevent the end of the process.
        self._thread = threading.Thread(target=self._listener.run, name="nvidia-events", daemon=True)
        self._thread.start()
        with suppress(Empty):
            self._unread.append(self._reports.get(timeout=_FIRST_REPORT_SECONDS))

    def _all(self) -> list[Report]:
        reports, self._unread = self._unread, []
        with suppress(Empty):
            while True:
                reports.append(self._reports.get_nowait())
        for report in reports:
            if isinstance(report, Listening):
                self.refused |= report.refused
        return reports


def _ignore(_: object) -> None:
    pass
