"""Run as a program: restricts itself as the manifest restricts the container, then becomes another program.

All mounts are read-only, except some paths; all capabilities are dropped for good; no privilege can be gained; a
seccomp filter refuses what a runtime's default refuses. It must be uid 0 in a separate mount namespace.
"""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Sequence
from ctypes import CDLL, create_string_buffer
from pathlib import Path

from tests.doubles.mounted import namespaces
from tests.doubles.seccomp_filter import seccomp_filter, system_calls

_SEPARATOR = "--"
# The kernel's `include/uapi/linux/prctl.h`, `capability.h`, `mount.h` and `fcntl.h`.
_SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _DROP_FROM_BOUNDING_SET, _AMBIENT = 38, 22, 24, 47
_CLEAR_ALL, _SECCOMP_FILTER = 4, 2
_CAPABILITY_VERSION_3, _CAPABILITY_BYTES = 0x2008_0522, 24
_READ_ONLY, _RECURSIVE, _BIND, _CURRENT_FOLDER = 1, 0x8000, 4096, -100
_INSTRUCTION_BYTES = 8


def restricted(*writable: Path) -> tuple[str, ...]:
    """A command that runs another one restricted; it needs a separate mount namespace already.

    Args:
        writable: The files and folders that stay writable.
    """
    return (sys.executable, "-m", __name__, *map(str, writable), _SEPARATOR)


def restricted_in_namespace(*writable: Path) -> tuple[str, ...]:
    """A command that runs another one restricted, in a mount namespace of its own."""
    return ("unshare", *namespaces(), *restricted(*writable))


class _Kernel:
    """The system calls, with the numbers of this machine."""

    def __init__(self) -> None:
        self._libc = CDLL(None, use_errno=True)
        self.numbers = system_calls()

    def call(self, name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> None:
        """Call one.

        Raises:
            OSError: It failed.
        """
        wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
        if self._libc.syscall(ctypes.c_long(self.numbers[name]), *wide) < 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")

    def prctl(self, option: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> None:
        """Call `prctl`; arguments that are not given are 0."""
        self.call("prctl", option, *arguments, *[0] * (4 - len(arguments)))


def _make_read_only(kernel: _Kernel, writable: Sequence[str]) -> None:
    for path in writable:
        kernel.call("mount", os.fsencode(path), os.fsencode(path), None, _BIND, None)
    _set_attributes(kernel, "/", _RECURSIVE, added=_READ_ONLY)
    for path in writable:
        _set_attributes(kernel, path, 0, removed=_READ_ONLY)


def _set_attributes(kernel: _Kernel, path: str, flags: int, added: int = 0, removed: int = 0) -> None:
    attributes = struct.pack("4Q", added, removed, 0, 0)
    kernel.call("mount_setattr", _CURRENT_FOLDER, os.fsencode(path), flags, attributes, len(attributes))


def _drop_privileges(kernel: _Kernel) -> None:
    kernel.prctl(_SET_NO_NEW_PRIVILEGES, 1)
    for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii")) + 1):
        kernel.prctl(_DROP_FROM_BOUNDING_SET, capability)
    kernel.prctl(_AMBIENT, _CLEAR_ALL)
    kernel.call("capset", struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(_CAPABILITY_BYTES))


def _filter_system_calls(kernel: _Kernel) -> None:
    instructions = seccomp_filter(platform.machine(), kernel.numbers)
    array = create_string_buffer(instructions, len(instructions))
    program = struct.pack("H6xP", len(instructions) // _INSTRUCTION_BYTES, ctypes.addressof(array))
    kernel.prctl(_SET_SECCOMP, _SECCOMP_FILTER, program)


def main(writable: Sequence[str], command: Sequence[str]) -> None:
    """Restrict this process and become the command."""
    kernel = _Kernel()
    _make_read_only(kernel, writable)
    _drop_privileges(kernel)
    _filter_system_calls(kernel)
    os.execvp(command[0], list(command))  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    at = sys.argv.index(_SEPARATOR)
    main(sys.argv[1:at], sys.argv[at + 1 :])
