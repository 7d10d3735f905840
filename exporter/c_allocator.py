"""What the C library does with memory that is free. Python allocates with it what is longer than 512 bytes."""

import ctypes
from functools import cache

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def use_one_arena() -> None:
    """Let all threads allocate from one arena, from now on: call it before they are started.

    glibc gives each thread an arena of its own, which keeps what is free in it. Threads of Python gain little from
    that, because mostly one runs at a time. Measured with hung calls and reloads, which start many threads: 40 MB
    instead of 45. Without glibc it does nothing. Source: mallopt(3).
    """
    set_option = getattr(_library(), "mallopt", None)
    if set_option is not None:
        set_option(ctypes.c_int(_ARENA_MAX), ctypes.c_int(1))


def return_free_memory() -> None:
    """Return the free memory of the C library to the system: glibc keeps what lies between blocks that are in use.

    It takes a few milliseconds at most. Without glibc it does nothing. Source: malloc_trim(3).
    """
    trim = getattr(_library(), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
