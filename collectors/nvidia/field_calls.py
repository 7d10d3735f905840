"""Calls for field values: readings with a number, of which one NVML call returns any. Each has its own return code.

All readings of a device in one poll share one call. Which fields a poll needs is known from the last poll with the same
cadences: the first reading asks for all of them, and the others use its answers. Only fields that are new need a call
of their own, for example those of a fallback, in the poll in which the driver refuses what it replaces.
"""

from collections.abc import Callable, Sequence
from ctypes import Array, c_uint64, memmove, sizeof
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import NamedTuple, TypeAlias

from collectors.contract import CollectorError, UnavailableError, UnsupportedError
from collectors.metric import Cadence
from collectors.nvidia.errors import InvalidValueError, NoDataError, NvmlCode, from_code
from collectors.query import PermanentlyUnsupportedError

_CALL = "nvmlDeviceGetFieldValues"
# nvmlFieldValue_t: number, scope, two times, the type and the code of the value, and the value. The fields of the
# binding's structure are many times slower.
_REQUESTED = Struct("=II32x")
_ANSWERED = Struct("=24xII8s")
_WORDS = _ANSWERED.size // sizeof(c_uint64)
# nvmlValue_t for each nvmlValueType_t, in its order: d, ui, ul, ull, sll, si and us.
_VALUES = (Struct("=d"), Struct("=I4x"), Struct("=Q"), Struct("=Q"), Struct("=q"), Struct("=i4x"), Struct("=H6x"))
_WIDE_TYPES = (2, 3, 4)
_SUCCESS = int(NvmlCode.SUCCESS)
# A bound of ours, as nvml.h states no limit: 36 links with their states, speeds and three counters are 180 fields. What
# does not fit is read by a second call.
_MOST_FIELDS = 256


class Field(NamedTuple):
    """A field in a scope.

    Attributes:
        id: `NVML_FI_...`.
        scope: A part of the device, such as a link or a power domain; its meaning depends on the field.
        wide: Whether the value must have 64 bits, for example for byte counters, which would wrap within seconds.
        wraps_at: The value at which the counter of some drivers starts again from 0, although it has 64 bits.
    """

    id: int
    scope: int = 0
    wide: bool = False
    wraps_at: float = 0.0


@lru_cache(maxsize=64)  # asked for in every poll of the links, and the same for all devices
def fields_of_links(numbers: tuple[int, ...], links: Sequence[int]) -> tuple[Field, ...]:
    """The fields with these numbers of each link: all links of the first number, then those of the next.

    Args:
        numbers: `NVML_FI_...`.
        links: The numbers of the links; hashable.
    """
    return tuple(Field(number, link) for number in numbers for link in links)


FieldAnswer: TypeAlias = float | CollectorError
# Makes the call for a device: fills that many structures in place.
Fill: TypeAlias = Callable[[object, int, Array[c_uint64]], None]


class _Request:
    """Fields that are asked for together, with the buffer of the call, which is used again.

    Args:
        fields: The fields.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._blank = b"".join(_REQUESTED.pack(field.id, field.scope) for field in self.fields)
        self._buffer = (c_uint64 * (_WORDS * len(self.fields)))()

    def answers(self, fill: Fill, handle: object) -> list[FieldAnswer]:
        """The value of each field, or its error.

        Raises:
            CollectorError: The call as a whole failed.
        """
        memmove(self._buffer, self._blank, len(self._blank))  # nothing of the last call remains
        fill(handle, len(self.fields), self._buffer)
        answered = _ANSWERED.iter_unpack(self._buffer)
        return [_value(field, *answer) for field, answer in zip(self.fields, answered, strict=True)]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the readings of a poll ask for, in their order, and the request for all of it."""

    readings: list[Sequence[Field]]
    request: _Request


class FieldCalls:
    """The calls for the field values of one device. Between polls each reading has a call and a buffer of its own.

    An object belongs to the thread that reads the device, because a call that hangs may write to its buffer later.

    Args:
        fill: Makes the call.
    """

    def __init__(self, fill: Fill) -> None:
        self._fill = fill
        self._plans: dict[frozenset[Cadence], _Plan] = {}
        self._plan: _Plan | None = None
        self._due: frozenset[Cadence] | None = None  # of the poll; None between polls
        self._asked = False  # in this poll, for what is planned
        self._answers: dict[Field, FieldAnswer] = {}
        self._readings: list[Sequence[Field]] = []

    def begin(self, due: frozenset[Cadence]) -> None:
        """Begin a poll of one device: nothing is known yet. A poll that was given up is forgotten.

        Args:
            due: Its cadences.
        """
        self._due, self._plan, self._asked = due, self._plans.get(due), False
        self._answers, self._readings = {}, []

    def end(self) -> None:
        """End a poll that is complete: the next one with these cadences asks for the same fields."""
        if self._due is not None and (self._plan is None or self._readings != self._plan.readings):
            fields = tuple(dict.fromkeys(chain.from_iterable(self._readings)))
            self._plans[self._due] = _Plan(self._readings, _Request(fields[:_MOST_FIELDS]))
        self._due, self._answers = None, {}

    def read(self, handle: object, fields: Sequence[Field]) -> list[FieldAnswer]:
        """The value of each field, or its error: nvmlDeviceGetFieldValues.

        Args:
            handle: The device, in a poll always the same.
            fields: The fields.

        Raises:
            CollectorError: The call as a whole failed.
        """
        if self._due is None:
            return _Request(fields).answers(self._fill, handle)
        if self._plan is not None and not self._asked:
            self._ask_for_all(handle, self._plan.request, fields)
        answers = self._answers
        missing = [field for field in fields if field not in answers]
        if missing:
            answers.update(zip(missing, _Request(missing).answers(self._fill, handle), strict=True))
        self._readings.append(fields)
        return [answers[field] for field in fields]

    def _ask_for_all(self, handle: object, request: _Request, fields: Sequence[Field]) -> None:
        """Ask for what the poll needs. If this fails, one reading may be the cause: then each has its own call."""
        self._asked = True
        if not any(field in fields for field in request.fields):
            return  # all of it is new, so what else is needed may be too
        try:
            self._answers.update(zip(request.fields, request.answers(self._fill, handle), strict=True))
        except (NoDataError, UnsupportedError, UnavailableError):
            if set(request.fields) <= set(fields):
                raise


def _value(field: Field, value_type: int, code: int, value: bytes) -> FieldAnswer:
    if code != _SUCCESS:
        return _error(field, code)
    if value_type >= len(_VALUES):
        return InvalidValueError(f"{_CALL}({field.id}): unknown value type {value_type}")
    if field.wide and value_type not in _WIDE_TYPES:
        why = "the driver's counter has 32 bits and wraps within seconds"
        return PermanentlyUnsupportedError(f"{_CALL}({field.id}): {why}")
    number: float = _VALUES[value_type].unpack(value)[0]
    return number


def _error(field: Field, code: int) -> CollectorError:
    call = f"{_CALL}({field.id})"
    if code == NvmlCode.INVALID_ARGUMENT:  # the field and its scope are the only arguments
        return PermanentlyUnsupportedError(f"{call}: the driver does not know it in scope {field.scope:#x}")
    return from_code(code, call)
