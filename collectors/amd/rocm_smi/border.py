"""What the borders to AMD's libraries have in common: how a call is made, and what its failure means."""

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import c_uint32
from enum import StrEnum
from typing import NamedTuple, Protocol

SUCCESS = 0
_NOT_SUPPORTED = 2  # in both libraries


class Meaning(StrEnum):
    """What a status means for a reading."""

    UNSUPPORTED = "unsupported"
    DENIED = "denied"
    NOTHING = "nothing"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"


class LibraryError(Exception):
    """A call failed, or the library lacks it.

    Args:
        status: What it returned.
        call: The function.
        meaning: Of the status.
    """

    def __init__(self, status: int, call: str, meaning: Meaning) -> None:
        super().__init__(f"{call}: status {status}")
        self.status = status
        self.call = call
        self.meaning = meaning


class Place(NamedTuple):
    """Where a monitored device is.

    Attributes:
        address: As the kernel writes it, `0000:63:00.0`.
        partition: Which partition of the device it stands for; 0 also for a whole one.
    """

    address: str
    partition: int


class Smi(Protocol):
    """An open library."""

    name: str

    def version(self) -> str:
        """Of the library."""
        ...

    def count(self) -> int:
        """How many devices it monitors."""
        ...

    def place(self, device: int) -> Place:
        """Where one of them is."""
        ...

    def read(self, name: str, device: int) -> float:
        """One reading, a key of `library.READINGS`."""
        ...


class Calls:
    """The functions of a library, bound when they are used.

    Args:
        library: Open.
        meanings: Of the statuses it returns; every other one makes a reading unavailable for now.
    """

    def __init__(self, library: ctypes.CDLL, meanings: Mapping[int, Meaning]) -> None:
        self._library = library
        self._meanings = meanings

    def __call__(self, name: str, *arguments: object) -> None:
        """Call a function.

        Raises:
            LibraryError: It failed, or the library lacks it.
        """
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise LibraryError(_NOT_SUPPORTED, name, Meaning.UNSUPPORTED) from None
        function.restype = c_uint32
        status: int = function(*arguments)
        if status != SUCCESS:
            raise LibraryError(status, name, self._meanings.get(status, Meaning.UNAVAILABLE))


def load(names: Sequence[str]) -> ctypes.CDLL:
    """The first library that can be loaded.

    Raises:
        OSError: None can; the text is the loader's, of the first.
    """
    told = ""
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            told = told or str(error)
    raise OSError(told)


def address_of(domain: int, bus: int, slot: int, function: int) -> str:
    """A PCI address as the kernel writes it."""
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function}"
