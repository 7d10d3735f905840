"""Queries the kubelet periodically, and publishes the allocations whenever they change."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from collectors.backoff import Backoff
from exporter.attribution.allocation_cache import AllocationCache
from exporter.attribution.holding import Holding, PodResourcesList
from exporter.attribution.podresources import KubeletError, SocketAbsentError

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_STOP_SECONDS = 0.5  # for each of two threads
# A restarted kubelet knows its pods again within seconds. After this time, its answers are used unchanged.
_SUSPECT_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class AttributionState:
    """The known allocations.

    Attributes:
        holdings: Sorted; None while unknown.
        up: True while the last call succeeded.
        last_success_timestamp_seconds: Unix time; None before the first success.
        source: The `source` label of the attribution's health.
    """

    holdings: tuple[Holding, ...] | None
    up: bool
    last_success_timestamp_seconds: float | None
    source: str = "podresources"


class KubeletClient(Protocol):
    """The client that the watcher needs; `PodResourcesClient` is the real one."""

    @property
    def connections(self) -> int:
        """Number of connections made so far."""
        ...

    def list(self) -> PodResourcesList:
        """Return one complete answer, within a bounded time.

        Raises:
            KubeletError: There is no usable answer.
        """
        ...

    def close(self) -> None:
        """End a call in progress. Called from another thread than `list`."""
        ...


class _Health(Enum):
    UP = auto()
    ABSENT = auto()
    DOWN = auto()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one call ended: with an answer or an error."""

    at: float
    connections: int
    result: PodResourcesList | Exception


class KubeletWatcher:
    """Keeps the map of allocations.

    One thread calls the kubelet; another keeps the map, so that the map also expires while a call hangs.

    Args:
        client: Called by one thread only; closed by `stop`.
        interval_seconds: Between the end of a call and the next. After a failure: the back-off, from 0.2 s to 5 s.
        hold_seconds: How long an answer is used if no newer one comes.
        publish: Receives every new state, the first after the first call; must not block.
        monotonic: Monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self,
        client: KubeletClient,
        *,
        interval_seconds: float,
        hold_seconds: float,
        publish: Callable[[AttributionState], None],
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._interval_seconds = interval_seconds
        self._publish = publish
        self._monotonic = monotonic
        self._wall = wall
        self._cache = AllocationCache(hold_seconds, min(hold_seconds, _SUSPECT_SECONDS))
        self._connections = 0
        self._health: _Health | None = None
        self._published: AttributionState | None = None
        self._last_success: float | None = None
        self._stop = threading.Event()
        self._outcomes: queue.SimpleQueue[_Outcome | None] = queue.SimpleQueue()
        # Daemon threads: a call that never returns must not keep the process from ending.
        self._caller = threading.Thread(target=self._call_repeatedly, name="kubelet-calls", daemon=True)
        self._keeper = threading.Thread(target=self._keep_map, name="kubelet-map", daemon=True)

    def start(self) -> None:
        """Start querying and publishing."""
        self._keeper.start()
        self._caller.start()

    def stop(self) -> None:
        """Stop within a second, also during a call. Nothing is published afterwards. Safe to call twice."""
        self._stop.set()
        self._outcomes.put(None)
        self._client.close()
        for thread in (self._caller, self._keeper):
            if thread.is_alive():
                thread.join(_STOP_SECONDS)

    def _call_repeatedly(self) -> None:
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while not self._stop.is_set():
            result = self._call()
            self._outcomes.put(_Outcome(self._monotonic(), self._client.connections, result))
            if isinstance(result, PodResourcesList):
                backoff.succeeded()
                pause = self._interval_seconds
            else:
                pause = backoff.failed()
            self._stop.wait(pause)

    def _call(self) -> PodResourcesList | Exception:
        try:
            return self._client.list()
        except Exception as error:  # noqa: BLE001 - a bug fails one call and must not end the thread; it is logged with its trace
            return error

    def _keep_map(self) -> None:
        while True:
            now = self._monotonic()
            changes_at = self._cache.changes_at(now)
            try:
                outcome = self._outcomes.get(timeout=None if changes_at is None else changes_at - now)
            except queue.Empty:
                pass  # the map changes because time has passed
            else:
                if outcome is None:  # stopped
                    return
                self._record(outcome)
            self._publish_change()

    def _record(self, outcome: _Outcome) -> None:
        if isinstance(outcome.result, PodResourcesList):
            reconnected = outcome.connections != self._connections
            self._connections = outcome.connections
            self._cache.answered(outcome.result, outcome.at, reconnected=reconnected)
            self._last_success = self._wall()
            self._record_success(outcome.result)
        else:
            self._record_failure(outcome.result)

    def _publish_change(self) -> None:
        if self._health is None:
            return
        holdings = self._cache.current(self._monotonic())
        state = AttributionState(holdings, self._health is _Health.UP, self._last_success)
        if state != self._published:
            self._published = state
            self._publish(state)

    def _record_success(self, answer: PodResourcesList) -> None:
        if self._health is not _Health.UP:
            _log.info("kubelet connected: pods %d, allocated device ids %d", len(answer.pods), len(answer.holdings))
        self._health = _Health.UP

    def _record_failure(self, error: Exception) -> None:
        """Log one line for each change, also if a socket that was absent now exists and fails, but not the reverse."""
        before = self._health
        if before is None and isinstance(error, SocketAbsentError):
            self._health = _Health.ABSENT
            _log.info("no pod information, device metrics only: %s", error)
        elif before is _Health.UP or (before is not _Health.DOWN and not isinstance(error, SocketAbsentError)):
            self._health = _Health.DOWN
            trace = None if isinstance(error, KubeletError) else error
            _log.warning("kubelet unavailable: %s", error, exc_info=trace)
