"""A binary table of the driver: reads its fields by the names of the kernel's header."""

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable
from ctypes import LittleEndianStructure


class Table(ABC):
    """The fields of a table; fields that the driver did not fill are None."""

    @abstractmethod
    def number(self, name: str) -> int | None:
        """A field."""

    @abstractmethod
    def numbers(self, name: str) -> list[int | None]:
        """An array field."""

    def converted(self, name: str, convert: Callable[[float], float]) -> float | None:
        """A field in another unit."""
        value = self.number(name)
        return None if value is None else convert(value)

    def all_converted(self, name: str, convert: Callable[[float], float]) -> list[float | None]:
        """An array field in another unit."""
        return [None if value is None else convert(value) for value in self.numbers(name)]


class StructureTable(Table):
    """A table with a fixed layout.

    Args:
        structure: A structure of any layout.
    """

    def __init__(self, structure: LittleEndianStructure) -> None:
        self._structure = structure

    def number(self, name: str) -> int | None:
        """A field."""
        value: int = getattr(self._structure, name)
        return None if value == _ones(getattr(type(self._structure), name).size) else value

    def numbers(self, name: str) -> list[int | None]:
        """An array field."""
        array: ctypes.Array[ctypes.c_uint64] = getattr(self._structure, name)
        unfilled = _ones(ctypes.sizeof(array) // len(array))
        return [None if value == unfilled else value for value in map(int, array)]

    def parts(self, name: str) -> "list[StructureTable]":
        """An array of structures."""
        return [StructureTable(part) for part in getattr(self._structure, name)]


def _ones(size: int) -> int:
    return (1 << 8 * size) - 1
