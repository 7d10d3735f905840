"""The environment of this process: user, capabilities, mounts, names, variables, listen address.

Source: the kernel's `Documentation/filesystems/proc.rst` and `include/uapi/linux/capability.h`.
"""

import errno
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from collectors.identity import product_uuid
from collectors.procfs import host_processes_visible
from collectors.sysfs import Root
from collectors.vendors import VENDORS, Vendor
from exporter.check.facts import (
    AddressFacts,
    AddressState,
    Environment,
    IdentitySource,
    MountFacts,
    SocketMount,
    VariableFacts,
)
from exporter.check.listener import exporter_serves, protected_exporter_serves
from exporter.configuration.settings import Settings, WebSettings
from exporter.web import listen
from exporter.web.listen import ListenError

_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)
_WHOLE_RANGE = ["0", "0", "4294967295"]
_IN_KUBERNETES = "KUBERNETES_SERVICE_HOST"
_MOUNTINFO_LIMIT_BYTES = 1 << 20
_OCTAL_ESCAPE = re.compile(r"\\([0-7]{3})")
_REMOVED_SUFFIX = "//deleted"
_MOUNT_FIELDS = 6  # id, parent, device, root, mount point, options; later fields are not used


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the kernel's list of mounts.

    Attributes:
        source: The part of the mounted file system that is visible, as a path in it; ends in `//deleted` if removed.
        point: The mount point.
        read_only: True if this mount is read-only.
    """

    source: str
    point: PurePath
    read_only: bool


def read_environment(
    settings: Settings, host_name: str, environ: Mapping[str, str], mounts: Iterable[Mount], vendors: Iterable[str]
) -> Environment:
    """Read from procfs, sysfs and the environment variables the facts about this process.

    Args:
        settings: The paths of procfs and sysfs, and the node's name.
        host_name: The machine's own name.
        environ: The environment of the process.
        mounts: The mounts of the process.
        vendors: Names of the vendors that have devices here; facts about other vendors are left out.
    """
    names = frozenset(vendors)
    present = [vendor for vendor in VENDORS if vendor.name in names]
    sysfs, procfs = Root(settings.path.sysfs), Root(settings.path.procfs)
    status = _status(procfs)
    return Environment(
        uid=_effective_uid(status),
        own_user_namespace=_own_user_namespace(procfs),
        capabilities=_capabilities(status),
        host_processes=host_processes_visible(procfs),
        read_only_root=read_only_root(tuple(mounts)),
        pci_bus=bool(sysfs.names("bus", "pci", "devices")),
        node_name=settings.node.name,
        host_name=host_name,
        identity=_identity(sysfs, settings.node.name),
        in_kubernetes=bool(environ.get(_IN_KUBERNETES)),
        variables=tuple(_variables(environ, present)),
        privileged_only=tuple(vendor.privileged_only for vendor in present if vendor.privileged_only),
        host_processes_only=tuple(vendor.host_processes_only for vendor in present if vendor.host_processes_only),
    )


def _status(procfs: Root) -> dict[str, str]:
    lines = (procfs.text("self", "status") or "").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _effective_uid(status: Mapping[str, str]) -> int | None:
    """Return the effective uid; the line has the real, effective, saved and file system uid."""
    uids = status.get("Uid", "").split()
    return int(uids[1]) if len(uids) > 1 and uids[1].isdecimal() else None


def _capabilities(status: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the names of the bits of a hexadecimal mask; a bit without a known name becomes `CAP_<number>`."""
    try:
        mask = int(status["CapEff"], 16)
    except (KeyError, ValueError):
        return None
    bits = (bit for bit in range(mask.bit_length()) if mask >> bit & 1)
    return tuple(_CAPABILITIES[bit] if bit < len(_CAPABILITIES) else f"CAP_{bit}" for bit in bits)


def _own_user_namespace(procfs: Root) -> bool | None:
    """Return False for the host's user namespace, which maps every uid to itself; None where unknown."""
    text = procfs.text("self", "uid_map")
    return None if text is None else text.split() != _WHOLE_RANGE


def _identity(sysfs: Root, node_name: str | None) -> IdentitySource:
    if product_uuid(sysfs) is not None:
        return IdentitySource.PRODUCT_UUID
    return IdentitySource.NODE_NAME if node_name else IdentitySource.HOST_NAME


def _variables(environ: Mapping[str, str], present: Iterable[Vendor]) -> Iterator[VariableFacts]:
    for vendor in present:
        for each in vendor.variables:
            yield VariableFacts(
                vendor.name,
                each.name,
                environ.get(each.name),
                each.shows_all,
                each.shows,
                each.hidden_ids,
                each.hides_devices,
            )


def read_mounts(procfs: Path) -> tuple[Mount, ...]:
    """Return the mounts of this process, later ones covering earlier ones; none if they cannot be read."""
    try:
        with (procfs / "self" / "mountinfo").open("rb") as file:
            content = file.read(_MOUNTINFO_LIMIT_BYTES)
    except OSError:
        return ()
    return tuple(_parse_mounts(content.decode("utf-8", "replace")))


def socket_mount(found: Sequence[Mount], socket: Path) -> MountFacts:
    """Return how a socket is mounted, by the last mount on its path.

    Args:
        found: The mounts from `read_mounts`.
        socket: The socket's path; the socket need not exist.
    """
    if not found:
        return MountFacts(SocketMount.UNKNOWN)
    path = socket.parent.resolve() / socket.name
    way = [mount for mount in found if path == mount.point or mount.point in path.parents]
    if not way:
        return MountFacts(SocketMount.UNKNOWN)
    nearest = max(reversed(way), key=lambda mount: len(mount.point.parts))
    if len(nearest.point.parts) == 1:
        return MountFacts(SocketMount.NONE)
    kind = SocketMount.FILE if nearest.point == path else SocketMount.DIRECTORY
    return MountFacts(kind, str(nearest.point), replaced=nearest.source.endswith(_REMOVED_SUFFIX))


def read_only_root(found: Sequence[Mount]) -> bool | None:
    """Return whether the root file system is mounted read-only; None where unknown."""
    roots = [mount.read_only for mount in found if len(mount.point.parts) == 1]
    return roots[-1] if roots else None


def _parse_mounts(text: str) -> Iterator[Mount]:
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= _MOUNT_FIELDS:
            source, point, options = (_unescaped(field) for field in fields[3:_MOUNT_FIELDS])
            yield Mount(source, PurePath(point), "ro" in options.split(","))


def _unescaped(field: str) -> str:
    """Decode blanks and backslashes, which the kernel writes as three octal digits."""
    return _OCTAL_ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)


def try_listen_addresses(web: WebSettings) -> tuple[AddressFacts, ...]:
    """Listen for a moment on each address; if one is in use, try to read an exporter's metrics from it."""
    protected = web.config_file is not None
    return tuple(
        _try(address, web.telemetry_path, is_protected=protected and address in web.listen_address)
        for address in (*web.listen_address, *web.plain_listen_address)
    )


def _try(address: str, telemetry_path: str, *, is_protected: bool) -> AddressFacts:
    try:
        listen.listen(address).close()
    except ListenError as error:
        if getattr(error.__cause__, "errno", None) != errno.EADDRINUSE:
            return AddressFacts(address, AddressState.REFUSED, str(error))
        if exporter_serves(address, telemetry_path) or (is_protected and protected_exporter_serves(address)):
            return AddressFacts(address, AddressState.SERVED)
        return AddressFacts(address, AddressState.TAKEN, str(error))
    return AddressFacts(address, AddressState.FREE)
