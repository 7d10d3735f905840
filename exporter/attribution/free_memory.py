"""Returns free memory to the system, where the C library can."""

import ctypes
from collections.abc import Callable
from functools import cache


def return_free_memory() -> None:
    """Return the free memory of the C library to the system: glibc keeps what lies between blocks that are in use.

    It takes a few milliseconds at most. Without glibc it does nothing. Source: malloc_trim(3).
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """Function `malloc_trim` of the C library; None if there is none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    return trim
