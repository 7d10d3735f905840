"""A seccomp filter that refuses what the default one of container runtimes refuses to a container without capabilities.

Runtimes list the system calls that they permit. This filter lists those that they refuse, so it works with every libc;
a call in neither list is refused there and permitted here. Sources: the kernel's
`Documentation/userspace-api/seccomp_filter.rst`, `include/uapi/linux/filter.h` and `include/uapi/linux/sched.h`.
"""

import errno
import re
import struct
import subprocess
from collections.abc import Iterator, Mapping

# Refused with EPERM.
DENIED = (
    *("mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("move_mount", "open_tree", "mount_setattr", "swapon", "swapoff", "quotactl", "quotactl_fd", "sysfs", "ustat"),
    *("setns", "unshare", "sethostname", "setdomainname"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise"),
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module"),
    *("query_module", "get_kernel_syms", "reboot", "syslog", "acct", "vhangup", "iopl", "ioperm", "modify_ldt"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "_sysctl", "nfsservctl", "uselib"),
    *("get_mempolicy", "set_mempolicy", "set_mempolicy_home_node", "mbind", "migrate_pages", "move_pages"),
    *("open_by_handle_at", "name_to_handle_at", "fanotify_init", "lookup_dcookie", "personality"),
)
# Refused with ENOSYS, so that a libc uses `clone` instead: a filter cannot read the flags of `clone3`.
_UNKNOWN = "clone3"
_NEWEST = 462  # mseal; runtimes answer later calls as a kernel that does not have them
_NEW_NAMESPACES = 0x7E02_0000  # every CLONE_NEW flag of `clone`

_ARCHITECTURES: Mapping[str, int] = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # in `struct seccomp_data`; the lower half of the argument
_LOAD, _IF_EQUAL, _IF_GREATER, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF_0000, 0x0005_0000
_DEFINITION = re.compile(r"^#define __NR_(\w+) (\d+)$", re.MULTILINE)


def system_calls() -> dict[str, int]:
    """The number of each system call on this machine, from the headers of its kernel (Debian package `libc6-dev`)."""
    command = ["gcc", "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in _DEFINITION.findall(listed)}


def seccomp_filter(machine: str, numbers: Mapping[str, int]) -> bytes:
    """The filter as an array of `struct sock_filter`.

    Args:
        machine: The name of the architecture, as `uname` prints it.
        numbers: The number of each system call; calls that an architecture never had are absent.
    """
    denied = [numbers[name] for name in DENIED if name in numbers]
    return b"".join(_instructions(_ARCHITECTURES[machine], denied, numbers[_UNKNOWN], numbers["clone"]))


def _instructions(architecture: int, denied: list[int], unknown: int, clone: int) -> Iterator[bytes]:
    refuse, hide = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
    yield _instruction(_LOAD, _ARCHITECTURE_AT)
    yield _instruction(_IF_EQUAL, architecture, if_true=1)
    yield _instruction(_RETURN, refuse)
    yield _instruction(_LOAD, _NUMBER_AT)
    yield from _return_if(_IF_GREATER, _NEWEST, hide)
    yield from _return_if(_IF_EQUAL, unknown, hide)
    for number in denied:
        yield from _return_if(_IF_EQUAL, number, refuse)
    yield _instruction(_IF_EQUAL, clone, if_false=3)
    yield _instruction(_LOAD, _FIRST_ARGUMENT_AT)
    yield from _return_if(_IF_ANY_BIT, _NEW_NAMESPACES, refuse)
    yield _instruction(_RETURN, _ALLOW)


def _return_if(condition: int, operand: int, result: int) -> Iterator[bytes]:
    yield _instruction(condition, operand, if_false=1)
    yield _instruction(_RETURN, result)


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; a jump skips so many of the following ones."""
    return struct.pack("HBBI", code, if_true, if_false, operand)
