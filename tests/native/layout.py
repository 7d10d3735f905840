"""Records in shared memory, declared once in Python: a C header is generated from the same declaration.

Everything is made of 64-bit words, so that Python and C agree on offsets without any padding.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, overload

WORD_BYTES = 8
UNSUPPORTED = -(2**63)  # INT64_MIN: the device does not support this reading

_R = TypeVar("_R", bound="Record")


class Field(Protocol):
    """A member of a record."""

    words: int
    offset: int

    def declaration(self, name: str) -> str:
        """The member as C declares it."""
        ...

    def nested(self) -> "type[Record] | None":
        """The type of its records, if any; C needs its declaration first."""
        ...


class Record:
    """A record of fields, separate or part of a larger record.

    Args:
        words: The memory, of 64-bit signed words; new memory where omitted.
        changing: Called around every write.
    """

    __slots__ = ("changing", "words")  # so that a misspelt field is an error

    WORDS: ClassVar[int] = 0
    FIELDS: ClassVar[dict[str, Field]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Number | Text | Many)}
        for field in own.values():
            field.offset = cls.WORDS
            cls.WORDS += field.words
        cls.FIELDS = cls.FIELDS | own

    def __init__(
        self,
        words: "memoryview[int] | None" = None,
        changing: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.words = memoryview(bytearray(self.WORDS * WORD_BYTES)).cast("q") if words is None else words
        self.changing = changing

    def copy_from(self, other: Self) -> None:
        """Copy every field of another record of the same type."""
        with self.changing():
            self.words[:] = other.words


class Number:
    """An integer. None marks a reading that the device does not support; it then reads as `UNSUPPORTED`."""

    words = 1
    offset = 0

    def declaration(self, name: str) -> str:
        return f"int64_t {name};"

    def nested(self) -> None:
        return None

    @overload
    def __get__(self, record: None, owner: type[Record]) -> Self: ...
    @overload
    def __get__(self, record: Record, owner: type[Record]) -> int: ...
    def __get__(self, record: Record | None, owner: type[Record]) -> Self | int:
        return self if record is None else record.words[self.offset]

    def __set__(self, record: Record, value: int | None) -> None:
        """Write a number of 64 bits; 2^63 or more is stored as the negative number with the same bits."""
        word = UNSUPPORTED if value is None else value - 2**64 if value >= 2**63 else value
        with record.changing():
            record.words[self.offset] = word


class Text:
    """A text that ends with a zero byte.

    Args:
        size: Bytes, the zero byte included; a multiple of eight.
    """

    offset = 0

    def __init__(self, size: int) -> None:
        assert size % WORD_BYTES == 0, size
        self.words = size // WORD_BYTES
        self._size = size

    def declaration(self, name: str) -> str:
        return f"char {name}[{self._size}];"

    def nested(self) -> None:
        return None

    @overload
    def __get__(self, record: None, owner: type[Record]) -> Self: ...
    @overload
    def __get__(self, record: Record, owner: type[Record]) -> str: ...
    def __get__(self, record: Record | None, owner: type[Record]) -> Self | str:
        if record is None:
            return self
        return self._memory(record).tobytes().partition(b"\0")[0].decode()

    def __set__(self, record: Record, value: str | bytes) -> None:
        """Write a text; bytes are written unchanged, for a library that returns text that is not UTF-8."""
        raw = value.encode() if isinstance(value, str) else value
        assert len(raw) < self._size, f"{value!r} is longer than {self._size - 1} bytes"
        with record.changing():
            self._memory(record)[:] = memoryview(struct.pack(f"{self._size}s", raw)).cast("q")

    def _memory(self, record: Record) -> "memoryview[int]":
        return record.words[self.offset : self.offset + self.words]


class Records(Generic[_R]):
    """The records of a `Many`, each created on access.

    Args:
        record: Their type.
        words: The memory of all of them.
        changing: Called around every write.
    """

    def __init__(
        self, record: type[_R], words: "memoryview[int]", changing: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._record = record
        self._words = words
        self._changing = changing

    def __len__(self) -> int:
        return len(self._words) // self._record.WORDS

    def __getitem__(self, index: int) -> _R:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._record.__name__} {index} of {len(self)}")
        start = index * self._record.WORDS
        return self._record(self._words[start : start + self._record.WORDS], self._changing)

    def __iter__(self) -> Iterator[_R]:
        return (self[index] for index in range(len(self)))


class Many(Generic[_R]):
    """A fixed number of records one after the other.

    Args:
        record: Their type.
        count: How many.
    """

    offset = 0

    def __init__(self, record: type[_R], count: int) -> None:
        self._record = record
        self.count = count
        self.words = record.WORDS * count

    def declaration(self, name: str) -> str:
        return f"struct {c_name(self._record)} {name}[{self.count}];"

    def nested(self) -> type[Record]:
        return self._record

    @overload
    def __get__(self, record: None, owner: type[Record]) -> Self: ...
    @overload
    def __get__(self, record: Record, owner: type[Record]) -> Records[_R]: ...
    def __get__(self, record: Record | None, owner: type[Record]) -> Self | Records[_R]:
        if record is None:
            return self
        return Records(self._record, record.words[self.offset : self.offset + self.words], record.changing)

    def __set__(self, record: Record, values: Iterable[_R | None]) -> None:
        """Write records from the first place on; places with None and all later places are cleared."""
        given = list(values)
        assert len(given) <= self.count, f"{len(given)} {self._record.__name__} where there is room for {self.count}"
        padded = [*given, *[None] * (self.count - len(given))]
        with record.changing():
            for place, value in zip(self.__get__(record, type(record)), padded, strict=True):
                place.copy_from(self._record() if value is None else value)


def c_name(record: type[Record]) -> str:
    """The tag of the C structure for a record: `MigDevice` is `struct double_mig_device`."""
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in record.__name__)
    return f"double{words}"


def structures(record: type[Record]) -> str:
    """C declarations of a record and of all records in it, innermost first."""
    return "\n".join(_structure(each) for each in dict.fromkeys(_innermost_first(record)))


def _innermost_first(record: type[Record]) -> Iterator[type[Record]]:
    for field in record.FIELDS.values():
        nested: Any = field.nested()
        if nested is not None:
            yield from _innermost_first(nested)
    yield record


def _structure(record: type[Record]) -> str:
    members = "\n".join(f"    {field.declaration(name)}" for name, field in record.FIELDS.items())
    size = record.WORDS * WORD_BYTES
    name = f"struct {c_name(record)}"
    return f'{name} {{\n{members}\n}};\n_Static_assert(sizeof({name}) == {size}, "{name}");\n'
