"""Calls every collector once, all at the same time, and waits for them at most for the deadline."""

import queue
from collections.abc import Callable, Sequence
from dataclasses import replace

from collectors import registry
from collectors.contract import CollectorSpec, Fault, Node, Reading, Reason
from exporter.check.facts import CallOutcome, CollectorFacts
from exporter.configuration.settings import PollSettings
from exporter.conformity import Conformity
from exporter.inputs import intervals
from exporter.poller import CallEnded, Poller, PollerEvent

_CLOSE_SECONDS = 0.5


class CollectorCalls:
    """One call of each collector, started at once.

    Args:
        specs: The collectors.
        node: The machine.
        poll: Has the daemon's deadline, so that a call that is late there is late here too.
        clock: Monotonic seconds.
    """

    def __init__(
        self, specs: Sequence[CollectorSpec], node: Node, poll: PollSettings, clock: Callable[[], float]
    ) -> None:
        self._specs = specs
        self._clock = clock
        self._deadline_seconds = poll.deadline
        self._ended: queue.SimpleQueue[CallEnded] = queue.SimpleQueue()
        self._pollers = {
            spec.name: Poller(spec.name, registry.create(spec, node), intervals(poll), clock, self._on_event)
            for spec in specs
        }
        self._started = clock()
        for poller in self._pollers.values():
            poller.start()

    def results(self) -> tuple[CollectorFacts, ...]:
        """Return how each collector's call ended, in the order of the specifications; late if it has not ended."""
        ended = self._wait()
        for name, poller in self._pollers.items():
            poller.stop()
            if name in ended:
                poller.join(_CLOSE_SECONDS)
        return tuple(self._facts(spec, ended.get(spec.name)) for spec in self._specs)

    def _on_event(self, event: PollerEvent) -> None:
        """Stop the poller after its first call. The poller's thread calls this."""
        if isinstance(event, CallEnded):
            self._pollers[event.collector].stop()
            self._ended.put(event)

    def _wait(self) -> dict[str, CallEnded]:
        ended: dict[str, CallEnded] = {}
        while len(ended) < len(self._pollers):
            left = self._started + self._deadline_seconds - self._clock()
            try:
                event = self._ended.get(timeout=max(0.0, left))
            except queue.Empty:
                break
            ended[event.collector] = event
        return ended

    def _facts(self, spec: CollectorSpec, call: CallEnded | None) -> CollectorFacts:
        if call is None:
            return CollectorFacts(
                spec.name,
                CallOutcome.LATE,
                spec.resource_prefixes,
                self._deadline_seconds,
                dra_drivers=spec.dra_drivers,
            )
        state = CallOutcome.FAILED if call.failure is not None else CallOutcome.ABSENT
        facts = CollectorFacts(
            name=spec.name,
            state=state,
            resource_prefixes=spec.resource_prefixes,
            seconds=call.ended - call.started,
            reason=call.failure,
            text=call.text,
            dra_drivers=spec.dra_drivers,
        )
        if call.reading is None:
            return facts
        try:
            return replace(facts, state=CallOutcome.OK, reading=_understood(call.reading))
        except Exception as error:  # noqa: BLE001 - what a third-party collector returns must fail only itself
            text = f"its reading is not understood: {type(error).__name__}: {error}"
            return replace(facts, state=CallOutcome.FAILED, reason=Reason.BROKEN, text=text)


def _understood(reading: Reading) -> Reading:
    """A reading as the daemon uses it."""
    faults: list[Fault] = []
    conform = Conformity().conforming(reading, faults)
    return replace(conform, faults=(*conform.faults, *faults))
