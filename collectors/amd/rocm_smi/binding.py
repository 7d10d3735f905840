"""Common code of the bindings of AMD's libraries: how a function is called, and what its failure means."""

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import c_uint32
from enum import StrEnum
from typing import NamedTuple, Protocol

SUCCESS = 0
_NOT_SUPPORTED = 2  # in both libraries
_PARTITION_SHIFT, _PARTITION_MASK = 28, 0xF


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
        status: The returned status; `SUCCESS` if the call succeeded but its value is unusable.
        call: The function, and what is wrong with its value.
        meaning: What this means for the reading.
    """

    def __init__(self, status: int, call: str, meaning: Meaning) -> None:
        super().__init__(f"{call}: status {status}" if status != SUCCESS else call)
        self.status = status
        self.call = call
        self.meaning = meaning


class PciLocation(NamedTuple):
    """Where a monitored device is.

    Attributes:
        address: Address in the kernel's spelling, `0000:63:00.0`.
        partition: The partition of the device that it represents; 0 for a whole device too.
    """

    address: str
    partition: int


class Smi(Protocol):
    """An open library."""

    name: str

    def version(self) -> str:
        """The version of the library."""
        ...

    def count(self) -> int:
        """How many devices it monitors."""
        ...

    def location(self, device: int) -> PciLocation:
        """Where one of them is."""
        ...

    def read(self, name: str, device: int) -> float:
        """One reading, a key of `librocm_smi.READINGS`."""
        ...


class Calls:
    """The functions of a library, bound when they are used.

    Args:
        library: The open library.
        meanings: The meaning of each status; with any other status a reading is unavailable at the moment.
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
        OSError: None can be loaded; the text is the loader's error for the first one.
    """
    error_text = ""
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            error_text = error_text or str(error)
    raise OSError(error_text)


def location_of(packed: int) -> PciLocation:
    """The location as both libraries pack it: domain, partition, bus, slot and function, from the highest bits down."""
    domain, rest = packed >> 32, packed & 0xFFFFFFFF
    bus, slot, function = rest >> 8 & 0xFF, rest >> 3 & 0x1F, rest & 0x7
    return PciLocation(f"{domain:04x}:{bus:02x}:{slot:02x}.{function}", rest >> _PARTITION_SHIFT & _PARTITION_MASK)
