"""Finds the device nodes of a claim's device in the node's CDI specs. Knows no vendor, and asks no API server."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from exporter.attribution.cdi_files import CdiMissing, SpecStatus, list_specs, read_spec
from exporter.attribution.cdi_names import claim_uid_in
from exporter.attribution.cdi_spec import CdiSpec

# YAML takes 3 s for each MiB; this bounds how long one call can take.
_BYTES_AT_ONCE = 1 << 20
# Of all specs together: kinds, names and paths. 4 MiB in practice.
_MOST_NAMES = 32_768


@dataclass(frozen=True, slots=True)
class CdiAnswer:
    """What is known about one device.

    Attributes:
        paths: Its device nodes as they are named on the host; empty if none were found.
        claim_uid: The UID of its ResourceClaim, where the name of its CDI device has it; else empty.
        missing: Why `paths` is empty, a `CdiMissing`; empty otherwise.
        file: The file or directory that `missing` is about, where there is one.
        as_of: Monotonic seconds at which the files were last looked at.
    """

    paths: tuple[str, ...] = ()
    claim_uid: str = ""
    missing: str = ""
    file: str = ""
    as_of: float = field(default=-math.inf, compare=False)

    @property
    def may_have_ended(self) -> bool:
        """Whether a file of this claim alone is not there: the driver removes it when the claim ends."""
        return bool(self.claim_uid) and self.missing in (CdiMissing.NOT_FOUND, CdiMissing.NOT_YET_READ)


class _SpecFile(NamedTuple):
    status: SpecStatus
    content: CdiSpec | CdiMissing | None  # None: not read since it changed


@dataclass(frozen=True, slots=True)
class _Known:
    """All that lookups need; replaced as a whole.

    Attributes:
        specs: The spec of each CDI device, by qualified name; None if two files of one directory have it.
        files: Why files have no spec.
        directories: Why directories are not, or not all, known.
        complete: False if files are left to read.
        as_of: Monotonic seconds at which the directories were listed.
    """

    specs: Mapping[str, CdiSpec | None]
    files: Mapping[Path, CdiMissing]
    directories: Mapping[Path, CdiMissing]
    complete: bool
    as_of: float = field(default=-math.inf, compare=False)


class CdiSpecs:
    """The CDI specs of the node.

    One thread calls `refresh`, which reads the files that changed; any thread looks up what was read.

    A driver writes its spec before the kubelet can list the claim. So the spec of a listed claim is complete if
    `refresh` is called after the kubelet's answer.

    If several directories have a device, the first counts, like the last of the list that container runtimes are
    given: theirs is `/etc/cdi`, `/var/run/cdi` by default (cncf-tags/container-device-interface, pkg/cdi/spec-dirs.go,
    `DefaultSpecDirs`; pkg/cdi/cache.go, `highestPrioritySpecDir`). A device that two files of one directory have cannot
    be resolved, whatever other directories have, and a file that cannot be read is as good as absent (cache.go,
    `refresh`).

    Args:
        directories: The CDI directories as this process sees them; they need not exist.
        read_spec: Reads one file.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        read_spec: Callable[[Path], CdiSpec | CdiMissing] = read_spec,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directories = tuple(dict.fromkeys(directories))
        self._read_spec = read_spec
        self._clock = clock
        self._files: dict[Path, _SpecFile] = {}
        self._known = _Known({}, {}, {}, complete=False)

    def refresh(self) -> bool:
        """List the directories again, and read what changed.

        Of more than 1 MiB that changed, the rest is read by the next calls; until then nothing is found.

        Returns:
            True if an answer can differ from what it was before.
        """
        as_of = self._clock()
        listings = {directory: list_specs(directory) for directory in self._directories}
        problems = {each: listing.problem for each, listing in listings.items() if listing.problem is not None}
        statuses = [status for listing in listings.values() for status in listing.files]
        is_same = statuses == [file.status for file in self._files.values()]
        self._files = {status.path: self._kept(status, is_same=is_same) for status in statuses}
        before = self._known
        if not is_same or problems != before.directories or not before.complete or self._unread():
            self._read()
            failed = {path: file.content for path, file in self._files.items() if isinstance(file.content, CdiMissing)}
            self._known = _Known(self._by_name(), failed, problems, complete=not self._unread(), as_of=as_of)
        else:
            self._known = replace(before, as_of=as_of)
        return self._known != before

    def nodes(self, cdi_devices: Sequence[str], device: str) -> CdiAnswer:
        """Look up the device nodes of one device of a claim, in what was read before.

        Its CDI device is the one named `<UID of the claim>-<device>` or `<device>`: the kubelet's list names other
        devices of the claim as well.

        Args:
            cdi_devices: Qualified names of CDI devices, as the kubelet lists them for the device.
            device: The DRA driver's name of the device.
        """
        known = self._known
        names = {each: uid for each in cdi_devices if (uid := claim_uid_in(each, device)) is not None}
        if len(names) != 1:
            return CdiAnswer(missing=CdiMissing.AMBIGUOUS if names else CdiMissing.NO_ENTRY, as_of=known.as_of)
        [(name, uid)] = names.items()
        return replace(self._answer(known, name, uid), claim_uid=uid, as_of=known.as_of)

    def _answer(self, known: _Known, cdi_device: str, claim_uid: str) -> CdiAnswer:
        """What is known of the device nodes of a CDI device."""
        kind, _, name = cdi_device.partition("=")
        if not known.complete:
            return CdiAnswer(missing=CdiMissing.NOT_YET_READ)
        if cdi_device not in known.specs:
            missing, place = self._why_not_found(known, kind, claim_uid)
            return CdiAnswer(missing=missing, file=str(place or ""))
        spec = known.specs[cdi_device]
        if spec is None:
            return CdiAnswer(missing=CdiMissing.CONFLICT)
        paths = spec.nodes(name)
        return CdiAnswer(paths, missing="" if paths else CdiMissing.NO_DEVICE_NODES)

    def _kept(self, status: SpecStatus, *, is_same: bool) -> _SpecFile:
        """A file with what was read from it, unless it is to be read again.

        Why it could not be read, such as too many open files, does not show in its status. What was too many may fit
        when another file changed.
        """
        if status.problem is not None:
            return _SpecFile(status, status.problem)
        old = self._files.get(status.path)
        if old is None or old.status != status or old.content is CdiMissing.UNREADABLE:
            return _SpecFile(status, None)
        return _SpecFile(status, None) if old.content is CdiMissing.TOO_MANY and not is_same else old

    def _unread(self) -> list[_SpecFile]:
        return [file for file in self._files.values() if file.content is None]

    def _read(self) -> None:
        """Read changed files until what may be read at once is used up."""
        bytes_left = _BYTES_AT_ONCE
        names = sum(file.content.size for file in self._files.values() if isinstance(file.content, CdiSpec))
        for file in self._unread():
            if bytes_left <= 0:
                break
            content = self._read_spec(file.status.path)
            if content is not CdiMissing.UNREADABLE:
                bytes_left -= file.status.size
            if isinstance(content, CdiSpec):
                names += content.size
                if names > _MOST_NAMES:
                    names -= content.size
                    content = CdiMissing.TOO_MANY
            self._files[file.status.path] = _SpecFile(file.status, content)

    def _by_name(self) -> dict[str, CdiSpec | None]:
        found: dict[str, CdiSpec | None] = {}
        conflicts: set[str] = set()
        for directory in reversed(self._directories):
            seen: set[str] = set()
            for path, file in self._files.items():
                if path.parent == directory and isinstance(file.content, CdiSpec):
                    names = {f"{file.content.kind}={name}" for name in file.content.devices}
                    conflicts |= names & seen
                    seen |= names
                    found.update(dict.fromkeys(names, file.content))
        return found | dict.fromkeys(conflicts)

    def _why_not_found(self, known: _Known, kind: str, uid: str) -> tuple[CdiMissing, Path | None]:
        """The reason, and what it is about: the file that has the usual name of the spec, else a directory.

        The usual name is vendor, class and perhaps the claim's UID (pkg/cdi/spec.go, `GenerateTransientSpecName`).
        """
        usual = kind.replace("/", "-")
        for path, reason in known.files.items():
            if path.stem == usual or (uid and uid in path.name):
                return reason, path
        existing = [each for each in self._directories if known.directories.get(each) is not CdiMissing.NO_DIRECTORY]
        for each in existing:
            if each in known.directories:
                return known.directories[each], each
        return (CdiMissing.NOT_FOUND if existing else CdiMissing.NO_DIRECTORY), None
