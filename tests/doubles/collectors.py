"""A collector that follows a script, and the devices, readings and clocks that several tests use."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from collectors import catalog
from collectors.contract import Alias, Device, Fault, Partition, Reading, Reason, Sample, Unsupported
from collectors.metric import Cadence
from exporter.collector_state import Limits
from exporter.poller import CallEnded, CallStarted

EVERY = frozenset(Cadence)
FAST = frozenset({Cadence.FAST})
INTERVALS = {Cadence.FAST: 1.0, Cadence.MEDIUM: 10.0, Cadence.SLOW: 60.0}
LIMITS = Limits(2.0, {Cadence.FAST: 11.0, Cadence.MEDIUM: 20.0, Cadence.SLOW: 70.0})
BOUND_SECONDS = 30.0  # generous: reached only when something is broken


class Clock:
    """A clock that only the test advances."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Hang:
    """A step that does not end until it is released."""

    then: Reading | Exception
    released: threading.Event = field(default_factory=threading.Event)


Step = Reading | Exception | Hang


class ScriptedCollector:
    """Performs one step of its script at each `read`; the last step is repeated.

    Args:
        script: Readings to return, errors to raise, calls that hang.
        close_error: Raised by `close`.
    """

    def __init__(self, *script: Step, close_error: Exception | None = None) -> None:
        self._script: Sequence[Step] = script
        self._close_error = close_error
        self._out = threading.Lock()
        self.calls: list[frozenset[Cadence]] = []
        self.overlapped = False
        self.threads: set[int] = set()
        self.closed = threading.Event()

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Perform the next step of the script."""
        self.threads.add(threading.get_ident())
        if not self._out.acquire(blocking=False):
            self.overlapped = True
            raise AssertionError("a second call during the first")
        try:
            self.calls.append(due)
            step = self._script[min(len(self.calls), len(self._script)) - 1]
            if isinstance(step, Hang):
                assert step.released.wait(BOUND_SECONDS), "never released"
                step = step.then
            if isinstance(step, Exception):
                raise step
            return step
        finally:
            self._out.release()

    def close(self) -> None:
        """Record that it was closed, and by which thread."""
        self.threads.add(threading.get_ident())
        self.closed.set()
        if self._close_error is not None:
            raise self._close_error


def gpu(name: str, *, lost: bool = False, vendor: str = "acme", model: str = "A1") -> Device:
    """A device named `name`, allocated by that name."""
    return Device(name, f"dev-{name}", vendor, model, frozenset({Alias(name)}), lost)


def part(device: str, name: str, profile: str = "1g") -> Partition:
    """A partition named `name`, allocated by that name."""
    return Partition(name, device, profile, frozenset({Alias(name)}))


def utilization(device: str, ratio: float, partition: str = "") -> Sample:
    return Sample(catalog.UTILIZATION, device, ratio, partition)


def power(device: str, watts: float) -> Sample:
    return Sample(catalog.POWER, device, watts)


def energy(device: str, joules: float) -> Sample:
    return Sample(catalog.ENERGY, device, joules)


def compute(device: str, partition: str, ratio: float) -> Sample:
    return Sample(catalog.COMPUTE_RATIO, device, ratio, partition)


def temperature(device: str, celsius: float, sensor: str = "core") -> Sample:
    return Sample(catalog.TEMPERATURE, device, celsius, labels=(sensor,))


def info(device: str, partition: str = "", index: str = "0") -> Sample:
    return Sample(catalog.INFO, device, 1, partition, (index, *("",) * (len(catalog.INFO.labels) - 1)))


def status(device: str, state: str) -> Sample:
    return Sample(catalog.STATUS_STATE, device, 1, labels=(state,))


def no_energy(device: str) -> Unsupported:
    return Unsupported(catalog.ENERGY, device, "has no counter")


def fault(reason: Reason = Reason.UNAVAILABLE) -> Fault:
    return Fault(reason, "gpu-a: power", "busy")


def started(at: float, collector: str = "acme") -> CallStarted:
    return CallStarted(collector, at)


def ended(
    at: float, reading: Reading, due: frozenset[Cadence] = EVERY, collector: str = "acme", took: float = 0.5
) -> CallEnded:
    """A call that returned a reading."""
    return CallEnded(collector, at - took, at, due, reading)


def failed(at: float, reason: Reason, text: str = "no answer", collector: str = "acme") -> CallEnded:
    """A call that raised."""
    return CallEnded(collector, at - 0.5, at, EVERY, None, reason, text)


def absent(at: float, collector: str = "acme") -> CallEnded:
    """A call that found the vendor absent."""
    return CallEnded(collector, at - 0.5, at, EVERY, None, None, "no device")
