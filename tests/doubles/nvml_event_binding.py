"""NVML's binding in memory, with event sets: what a wait brings is put into a queue by the test."""

import ctypes
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import SimpleNamespace

import pynvml

from collectors.nvidia.nvml import Handle
from tests.doubles.nvml_binding import FakeBinding, FakeGpu

XID, UNAVAILABLE, ALL_TYPES = 0x8, 0x4000, 0xC10B
TIMEOUT = 10


@dataclass(eq=False)
class EventGpu(FakeGpu):
    """A GPU whose handle points somewhere, as handles of the real binding do.

    Attributes:
        place: Where it points to.
        registered: The types of each registration.
    """

    place: int = 0x1000
    registered: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers = {
            "nvmlDeviceGetSupportedEventTypes": ALL_TYPES,
            "nvmlDeviceRegisterEvents": lambda types, _: self.registered.append(types),
        } | self.answers

    @property
    def _as_parameter_(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.place)

    @property
    def handle(self) -> Handle:
        """As the library gives it."""
        return Handle(self)


def event_gpus(count: int) -> list[EventGpu]:
    """GPUs with different uuids and handles."""
    return [EventGpu(uuid=f"GPU-{n}", bus_id=f"00000000:{0x10 + n:02X}:00.0", place=0x1000 + n) for n in range(count)]


def event(gpu: FakeGpu, data: int, kind: int = XID) -> SimpleNamespace:
    """What a wait brings."""
    return SimpleNamespace(device=gpu, eventType=kind, eventData=data)


Outcome = SimpleNamespace | int | Exception | Callable[[], object]


class EventBinding(FakeBinding):
    """A wait takes the next of `coming`: an event, an error's code, what to raise, or what to do instead.

    With nothing coming it waits as long as it was told to, in real time; `at_once` makes it not wait at all.

    Args:
        devices: In the order of their indices.
    """

    def __init__(self, devices: list[EventGpu]) -> None:
        super().__init__([*devices])
        self.coming: SimpleQueue[Outcome] = SimpleQueue()
        self.left_over: deque[SimpleNamespace] = deque()  # what a wait of no time brings
        self.open: list[object] = []
        self.most_open = 0
        self.waits: list[int] = []

    def nvmlEventSetCreate(self) -> object:  # noqa: N802 - the binding's name
        self._enter("nvmlEventSetCreate")
        made = object()
        self.open.append(made)
        self.most_open = max(self.most_open, len(self.open))
        return made

    def nvmlEventSetFree(self, event_set: object) -> None:  # noqa: N802 - the binding's name
        self._enter("nvmlEventSetFree")
        self.open.remove(event_set)

    def nvmlEventSetWait_v2(self, event_set: object, milliseconds: int) -> object:  # noqa: N802 - the binding's name
        self._enter("nvmlEventSetWait_v2")
        assert event_set in self.open
        self.waits.append(milliseconds)
        if milliseconds == 0:
            return self.left_over.popleft() if self.left_over else _fail(TIMEOUT)
        try:
            outcome = self.coming.get(timeout=milliseconds / 1000)
        except Empty:
            return _fail(TIMEOUT)
        if isinstance(outcome, int | Exception):
            return _fail(outcome)
        if isinstance(outcome, SimpleNamespace):
            return outcome
        return outcome() or _fail(TIMEOUT)

    def _enter(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.errors:
            _fail(self.errors[name])


def _fail(error: int | Exception) -> object:
    raise error if isinstance(error, Exception) else pynvml.NVMLError(error)
