"""Time in which a device's clocks were reduced, by reason; read with `collect.diagnostics` only.

It has two sources. The bits of `throttle_active` come with the fast readings: a bit that is set at both ends of an
interval counts for all of it, at one end for half of it. The driver also counts, in the fields
`NVML_FI_DEV_CLOCKS_EVENT_REASON_*`: nanoseconds according to `nvml.h` and DCGM, while `nvidia-smi` shows microseconds.
Their numbers depend on the driver, 251 to 253 for release 580 and 269 to 271 by the header of CUDA 13, and each of
these numbers means something else to other drivers. A wrong counter is worse than none, so the fields of a reason are
used only after they have agreed with its bits within a factor of 2, over at least a minute in which the bits say at
least five seconds. Fields that disagree, are refused, fall, or rise by more than the time that has passed are not used
in this session: then the bits count. No device is to blame for that, so it is no fault.

The time is counted over the life of the exporter and never falls: each interval is added, whatever its source. What is
known of the sources ends with the session, or when the device is lost.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, TypeAlias

from collectors import catalog
from collectors.contract import CollectorError, UnavailableError, UnsupportedError
from collectors.nvidia.errors import InvalidValueError, NoDataError
from collectors.nvidia.field_values import Field, read_fields
from collectors.nvidia.nvml import ABSENT_MARKS, Handle, Nvml, Queries, Query
from collectors.nvidia.thermal import THROTTLE_QUERIES
from collectors.query import PermanentlyUnsupportedError, RawValue

# The numbers that the counters of a reason may have. Counters of one reason can overlap, so the longest time is used.
_NUMBERS: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "power": ((74, 77), (74,)),  # the limit of power, and that of the board, if the driver counts it
    "thermal": ((251, 252), (269, 270)),  # by software and by hardware
    "external": ((253,), (271,)),
}
_NANOSECONDS = 1e9
_LONGEST_SECONDS = 70.0  # between two readings of the bits, to be counted; they are read at least once a minute
# The comparison of fields and bits.
_WINDOW_SECONDS, _WINDOW_BIT_SECONDS, _FACTOR = 60.0, 5.0, 2.0
# The driver may have counted a little earlier or later than it was asked.
_SLACK_SECONDS = 0.5

_Answers: TypeAlias = Mapping[Field, float | CollectorError]
_Read: TypeAlias = Callable[[Nvml, Handle], Iterable[RawValue | InvalidValueError]]


class _Interval(NamedTuple):
    """The time from the last reading of the fields to this one, which took from `began` to `ended` (monotonic seconds).

    The bits say that the reason applied for `bit_seconds`; they are known for all of the time if it is `complete`.
    """

    began: float
    ended: float
    bit_seconds: float
    complete: bool


class _Counters:
    """The counters of one reason with one of their numberings.

    Args:
        numbers: Their field numbers.
    """

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.fields = tuple(Field(number, wide=True) for number in numbers)
        self.refused = False  # for the rest of the session
        self.agreed = False
        self._last: tuple[float, ...] | None = None  # None if the last reading has no values
        self._read_at = 0.0
        self._window_began = self._window_bits = self._window_rise = 0.0

    def advance(self, answers: _Answers, now: _Interval) -> float | None:
        """The seconds since the last reading; None if they are unknown, or cannot be trusted."""
        found = [answers[field] for field in self.fields]
        self.refused = any(isinstance(each, UnsupportedError) for each in found)
        counts = (each for each in found if not isinstance(each, CollectorError) and each not in ABSENT_MARKS)
        values = tuple(count for count in counts if count >= 0)
        if self.refused or len(values) < len(found):
            self._last = None
            return None
        last, since = self._last, self._read_at
        self._last, self._read_at = values, now.began
        if last is None or not (now.complete or self.agreed):
            self._window_began, self._window_bits, self._window_rise = now.began, 0.0, 0.0
            return None
        rises = [(value - before) / _NANOSECONDS for value, before in zip(values, last, strict=True)]
        self.refused = min(rises) < 0 or max(rises) > now.ended - since + _SLACK_SECONDS
        if self.refused or self.agreed:
            return None if self.refused else max(rises)
        self._compare(max(rises), now)
        return None

    def _compare(self, rise: float, now: _Interval) -> None:
        """Extend the window by an interval, and decide if it is long enough."""
        self._window_bits += now.bit_seconds
        self._window_rise += rise
        if now.began - self._window_began >= _WINDOW_SECONDS and self._window_bits >= _WINDOW_BIT_SECONDS:
            self.agreed = self._window_bits / _FACTOR <= self._window_rise <= self._window_bits * _FACTOR
            self.refused = not self.agreed


@dataclass(slots=True)
class _Reason:
    """What is known of one reason.

    Attributes:
        counters: The numberings of its counters that may still be right; the one in use only, once there is one.
        active: Whether its bit was set at the last reading.
        bit_seconds: How long it applied since the last reading of the counters, by the bits.
        complete: Whether the bits are known for all of this time.
    """

    counters: list[_Counters]
    active: bool
    bit_seconds: float = 0.0
    complete: bool = True

    def record(self, elapsed: float, *, active: bool) -> None:
        """Add the time between two readings of the bits."""
        if elapsed <= _LONGEST_SECONDS:
            self.bit_seconds += elapsed * (self.active + active) / 2
        else:
            self.complete = False
        self.active = active

    def drain(self, answers: _Answers, began: float, ended: float) -> float:
        """How long it applied since the last call."""
        now = _Interval(began, ended, self.bit_seconds, self.complete)
        self.bit_seconds, self.complete = 0.0, True
        risen = [each.advance(answers, now) for each in self.counters]
        self.counters = [each for each in self.counters if not each.refused]
        self.counters = [each for each in self.counters if each.agreed][:1] or self.counters
        return next((rise for rise in risen if rise is not None), now.bit_seconds)


@dataclass(slots=True)
class ThrottleTime:
    """The time in throttling of one device, in one session of the driver.

    Attributes:
        seconds: By reason, how long it applied since the exporter started. It is continued.
        clock: Monotonic seconds.
    """

    seconds: dict[str, float]
    clock: Callable[[], float]
    _reasons: dict[str, _Reason] = field(default_factory=dict)
    _read_at: float = 0.0
    _refused: str = ""

    def queries(self) -> Queries:
        """The queries for the bits, and after them the one for the time."""
        bits = (replace(query, read=partial(self._read_bits, query.read)) for query in THROTTLE_QUERIES)
        return (*bits, Query(_NAME, (catalog.THROTTLE_SECONDS,), self._read_seconds))

    def _read_bits(self, read: _Read, nvml: Nvml, handle: Handle) -> Sequence[RawValue]:
        try:
            bits = [value for value in read(nvml, handle) if isinstance(value, RawValue)]
        except UnsupportedError as error:
            self._refused = str(error)
            raise
        now = self.clock()
        for bit in bits:
            (name,), active = bit.labels, bool(bit.raw)
            if name in self._reasons:
                self._reasons[name].record(now - self._read_at, active=active)
            else:
                self._reasons[name] = _Reason([_Counters(numbers) for numbers in _NUMBERS.get(name, ())], active)
        self._read_at = now
        return bits

    def _read_seconds(self, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
        if not self._reasons:
            raise UnsupportedError(self._refused) if self._refused else NoDataError("no reasons have been read yet")
        began = self.clock()
        answers = self._answers(nvml, handle)
        for name, reason in self._reasons.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + reason.drain(answers, began, self.clock())
            yield RawValue(catalog.THROTTLE_SECONDS, self.seconds[name], labels=(name,))

    def _answers(self, nvml: Nvml, handle: Handle) -> _Answers:
        """The values of all counters that may be right, or their errors."""
        fields = sorted({each for reason in self._reasons.values() for one in reason.counters for each in one.fields})
        if not fields:
            return {}
        try:
            return dict(zip(fields, read_fields(nvml, handle, fields), strict=True))
        except (NoDataError, UnsupportedError, UnavailableError) as error:
            return dict.fromkeys(fields, error)


def _refuse(_: Nvml, __: Handle) -> Iterator[RawValue]:
    raise PermanentlyUnsupportedError("read only with collect.diagnostics")


_NAME = "throttle time"
# Without the option.
OMITTED = Query(_NAME, (catalog.THROTTLE_SECONDS,), _refuse)
