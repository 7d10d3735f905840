"""What this process may do and what it can see: user, capabilities, mounts, names, variables.

Source: the kernel's `Documentation/filesystems/proc.rst` and `include/uapi/linux/capability.h`.
"""

from collections.abc import Iterable, Iterator, Mapping

from collectors.identity import machine_identity
from collectors.sysfs import Root
from collectors.vendors import VENDORS
from exporter.check.facts import IdentitySource, Surroundings, VariableFacts
from exporter.check.mounts import Mount, read_only_root
from exporter.configuration.settings import Settings

_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)
_WHOLE_RANGE = ["0", "0", "4294967295"]
# The kernel's own thread, which is process 2 of the machine and of no container.
_KERNEL_THREAD = ("2", "comm")
_KERNEL_THREAD_NAME = "kthreadd"
_IN_KUBERNETES = "KUBERNETES_SERVICE_HOST"


def surroundings(
    settings: Settings, host_name: str, environ: Mapping[str, str], mounts: Iterable[Mount], vendors: Iterable[str]
) -> Surroundings:
    """Look around.

    Args:
        settings: Where procfs and sysfs are, and the node's name.
        host_name: The machine's own name.
        environ: The environment of the process.
        mounts: Its mounts.
        vendors: Names of the vendors that have devices here; variables of others are left out.
    """
    sysfs, procfs = Root(settings.path.sysfs), Root(settings.path.procfs)
    status = _status(procfs)
    return Surroundings(
        uid=_effective_uid(status),
        own_user_namespace=_own_user_namespace(procfs),
        capabilities=_capabilities(status),
        host_processes=procfs.text(*_KERNEL_THREAD) == _KERNEL_THREAD_NAME,
        read_only_root=read_only_root(tuple(mounts)),
        pci_bus=bool(sysfs.names("bus", "pci", "devices")),
        node_name=settings.node.name,
        host_name=host_name,
        identity=_identity(sysfs, settings.node.name),
        in_kubernetes=bool(environ.get(_IN_KUBERNETES)),
        variables=tuple(_variables(environ, frozenset(vendors))),
    )


def _status(procfs: Root) -> dict[str, str]:
    lines = (procfs.text("self", "status") or "").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _effective_uid(status: Mapping[str, str]) -> int | None:
    """Real, effective, saved and file system uid are in one line."""
    uids = status.get("Uid", "").split()
    return int(uids[1]) if len(uids) > 1 and uids[1].isdecimal() else None


def _capabilities(status: Mapping[str, str]) -> tuple[str, ...] | None:
    """A mask in hexadecimal digits. Bits that have no name yet are given by number."""
    try:
        mask = int(status["CapEff"], 16)
    except (KeyError, ValueError):
        return None
    bits = (bit for bit in range(mask.bit_length()) if mask >> bit & 1)
    return tuple(_CAPABILITIES[bit] if bit < len(_CAPABILITIES) else f"CAP_{bit}" for bit in bits)


def _own_user_namespace(procfs: Root) -> bool | None:
    """The machine's own user namespace maps every uid to itself."""
    text = procfs.text("self", "uid_map")
    return None if text is None else text.split() != _WHOLE_RANGE


def _identity(sysfs: Root, node_name: str | None) -> IdentitySource:
    if machine_identity(sysfs, None, ""):
        return IdentitySource.PRODUCT_UUID
    return IdentitySource.NODE_NAME if node_name else IdentitySource.HOST_NAME


def _variables(environ: Mapping[str, str], vendors: frozenset[str]) -> Iterator[VariableFacts]:
    for vendor in VENDORS:
        if vendor.name in vendors:
            for each in vendor.variables:
                yield VariableFacts(vendor.name, each.name, environ.get(each.name), each.shows_all, each.shows)
