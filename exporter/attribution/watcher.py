"""Queries the kubelet periodically, and publishes the allocations after each answer and when they expire."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, Protocol

from collectors.backoff import Backoff
from exporter.advice import FOR_KUBELET
from exporter.attribution.allocation_cache import AllocationCache
from exporter.attribution.holding import ClaimDevice, Holding, PodResourcesList
from exporter.attribution.podresources import KubeletError, SocketAbsentError
from exporter.durations import spell_duration

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_STOP_SECONDS = 0.5  # for each of two threads
# A restarted kubelet knows its pods again within seconds. After this time, its answers are used unchanged.
_SUSPECT_SECONDS = 8.0


class AttributionState(NamedTuple):
    """The known allocations.

    Attributes:
        holdings: Sorted, each once, a tuple or `Holdings`; None while unknown.
        up: True while the last call succeeded.
        last_success_timestamp_seconds: Unix time; None before the first success.
        source: The `source` label of the attribution's health.
        claim_devices: The devices of resource claims, sorted; empty while unknown.
        answers: Number of complete answers so far: two states with the same number are about the same answer.
    """

    holdings: Collection[Holding] | None
    up: bool
    last_success_timestamp_seconds: float | None
    source: str = "podresources"
    claim_devices: tuple[ClaimDevice, ...] = ()
    answers: int = 0


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


class KubeletHealth(Enum):
    """How the last call of the kubelet ended."""

    UP = auto()
    ABSENT = auto()
    DOWN = auto()


class _Outcome(NamedTuple):
    """How one call ended: with an answer or an error."""

    at: float
    connections: int
    result: PodResourcesList | Exception


@dataclass(slots=True)
class WatcherMemory:
    """What a watcher knows. With other settings, its successor continues with it.

    Attributes:
        cache: The answers.
        health: How the last call ended; None before the first.
        published: The last published state.
        last_success: Unix time of the last answer; None before the first.
        connections: Number of the client's connections at that time.
    """

    cache: AllocationCache
    health: KubeletHealth | None = None
    published: AttributionState | None = None
    last_success: float | None = None
    connections: int = 0


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

    Attributes:
        memory: What it knows. Only its own thread uses it until it has stopped.
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
        self.memory = WatcherMemory(AllocationCache(hold_seconds, min(hold_seconds, _SUSPECT_SECONDS)))
        self._stop = threading.Event()
        self._outcomes: queue.SimpleQueue[_Outcome | None] = queue.SimpleQueue()
        # Daemon threads: a call that never returns must not keep the process from ending.
        self._caller = threading.Thread(target=self._call_repeatedly, name="kubelet-calls", daemon=True)
        self._keeper = threading.Thread(target=self._keep_map, name="kubelet-map", daemon=True)

    def successor(self, client: KubeletClient, *, interval_seconds: float, hold_seconds: float) -> "KubeletWatcher":
        """Return a watcher with other settings. It uses the map of this one, which is stopped, until its first answer.

        Args:
            client: As for this class.
            interval_seconds: As for this class.
            hold_seconds: As for this class; it also applies to the last answer of this watcher.
        """
        other = KubeletWatcher(
            client,
            interval_seconds=interval_seconds,
            hold_seconds=hold_seconds,
            publish=self._publish,
            monotonic=self._monotonic,
            wall=self._wall,
        )
        other.memory = self.memory
        other.memory.cache.set_limits(hold_seconds, min(hold_seconds, _SUSPECT_SECONDS))
        other.memory.connections = 0  # its first connection may be to a kubelet that has just restarted
        return other

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
            changes_at = self.memory.cache.changes_at(now)
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
            reconnected = outcome.connections != self.memory.connections
            self.memory.connections = outcome.connections
            self.memory.cache.answered(outcome.result, outcome.at, reconnected=reconnected)
            self.memory.last_success = self._wall()
            self._record_success(outcome.result)
        else:
            self._record_failure(outcome.result)

    def _publish_change(self) -> None:
        if self.memory.health is None:
            return
        current = self.memory.cache.current(self._monotonic())
        state = AttributionState(
            None if current is None else current.holdings,
            up=self.memory.health is KubeletHealth.UP,
            last_success_timestamp_seconds=self.memory.last_success,
            claim_devices=() if current is None else current.claim_devices,
            answers=self.memory.cache.answers,
        )
        if state != self.memory.published:
            self.memory.published = state
            self._publish(state)

    def _record_success(self, answer: PodResourcesList) -> None:
        if self.memory.health is not KubeletHealth.UP:
            _log.info("kubelet connected: pods %d, allocated device ids %d", len(answer.pods), len(answer.holdings))
        self.memory.health = KubeletHealth.UP

    def _record_failure(self, error: Exception) -> None:
        """Log one line for each change, also if a socket that was absent now exists and fails, but not the reverse."""
        before = self.memory.health
        if before is None and isinstance(error, SocketAbsentError):
            self.memory.health = KubeletHealth.ABSENT
            _log.info("no pod information, device metrics only: %s", error)
        elif before is KubeletHealth.UP or (
            before is not KubeletHealth.DOWN and not isinstance(error, SocketAbsentError)
        ):
            self.memory.health = KubeletHealth.DOWN
            trace = None if isinstance(error, KubeletError) else error
            fields = {"do": FOR_KUBELET}
            if self.memory.last_success is not None:
                fields["allocations_kept_for"] = spell_duration(self.memory.cache.hold_seconds)
            _log.error("kubelet unavailable: %s", error, exc_info=trace, extra={"fields": fields})
