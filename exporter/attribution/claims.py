"""Resolves the devices of resource claims (DRA): which device or partition each container holds. No I/O.

What no way finds is counted, and the devices that it may be are neither free nor known to be held.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.contract import SubjectKey
from exporter.attribution.cdi_names import claim_uid
from exporter.attribution.claim_memory import ClaimMemory
from exporter.attribution.claim_resolution import ClaimMatch, Finder, Lookups, UnresolvedReason, Way
from exporter.attribution.claim_users import ClaimRules, ClaimUsers, Use
from exporter.attribution.holding import ClaimDevice, DeviceOfClaim
from exporter.attribution.inventory import Inventory, ListedSubjects
from exporter.attribution.unresolved_log import ClaimLog
from exporter.few_names import counted_by_few, few_names

_MOST_SHOWN = 100
# Searching takes 40 microseconds for each, and a node has some hundred. The others are not resolved.
_MOST_DEVICES = 10_000
# A reading out of turn costs as much as the slowest cadence.
_SECONDS_BETWEEN_SEARCHES = 2.0
_MOST_SEARCHES = 3


class ClaimEdge(NamedTuple):
    """A container, and a device or partition that it holds by a claim."""

    claimed: ClaimDevice
    subject: SubjectKey


class UnresolvedClaim(NamedTuple):
    """A device of a claim that is not resolved, and why; see `ClaimMatch.reason`."""

    claimed: ClaimDevice
    reason: str


@dataclass(frozen=True, slots=True)
class ResolvedClaims:
    """The devices of all claims at one moment. Each counts once for all containers that use its claim.

    What is counted by driver has few drivers, see `few_names`.

    Attributes:
        edges: What containers hold.
        used: Number of devices that are used, by driver, also of those that are not resolved.
        reasons: Number of devices that are not resolved, by driver and reason.
        shown: Some of them, for people.
        ways: Number of devices by the way in which they were found.
        not_counted: Number of devices that are monitored or no accelerators.
        possibly_held: Uuids of the devices that an unresolved one may be.
        to_read: Collectors to read out of turn: they may then list what was not found.
        files_to_read: Whether the CDI files are to be looked at again: whether a claim still has its file.
    """

    edges: tuple[ClaimEdge, ...] = ()
    used: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    shown: tuple[UnresolvedClaim, ...] = ()
    ways: Mapping[Way, int] = field(default_factory=dict)
    not_counted: Mapping[Use, int] = field(default_factory=dict)
    possibly_held: frozenset[str] = frozenset()
    to_read: frozenset[str] = frozenset()
    files_to_read: bool = False

    @property
    def unresolved(self) -> Mapping[str, int]:
        """Number of devices that are not resolved, by driver."""
        counts: Counter[str] = Counter()
        for (driver, _), count in self.reasons.items():
            counts[driver] += count
        return counts


class Claims:
    """Resolves claims, and remembers what they were resolved to. Used by one thread.

    Args:
        rules: Whose claims do not count.
        lookups: What is searched besides the names of devices.
    """

    def __init__(self, rules: ClaimRules | None = None, lookups: Lookups | None = None) -> None:
        self._lookups = lookups or Lookups()
        self._users = ClaimUsers(rules or ClaimRules(), self._lookups.objects)
        self._memory = ClaimMemory()
        self._searched_at: dict[str, float] = {}
        self._log = ClaimLog()

    def answered(self) -> None:
        """Record that the kubelet has given a new answer."""
        self._memory.answered()

    def resolve(
        self, claim_devices: Sequence[ClaimDevice], inventories: Sequence[Inventory], now: float
    ) -> ResolvedClaims:
        """Resolve every device of every claim.

        Args:
            claim_devices: The devices of all claims, as the kubelet lists them.
            inventories: The devices of each collector.
            now: Monotonic seconds.
        """
        tally, known = _Tally(), inventories if claim_devices else ()
        moment = _Moment(Finder(known, self._lookups), ListedSubjects(known), _shares(claim_devices), now)
        for claimed in claim_devices:
            allocated = claimed.allocated
            if allocated not in tally.outcomes:
                if len(tally.outcomes) == _MOST_DEVICES:
                    tally.refuse(claimed, moment.finder)
                    continue
                tally.add(claimed, allocated, *self._outcome(claimed, allocated, moment))
            subject = tally.outcomes[allocated]
            if subject is not None:
                tally.add_edge(ClaimEdge(claimed, subject), self._users.use_of_container(claimed))
        self._memory.keep_only(tally.outcomes.keys())
        resolved = tally.result(self._to_read(tally, inventories, now))
        self._log.update(resolved.reasons, now)
        return resolved

    def _outcome(self, claimed: ClaimDevice, allocated: DeviceOfClaim, moment: "_Moment") -> tuple[Use, ClaimMatch]:
        """What one device of a claim is used for, and which it is."""
        use = self._users.use(claimed)
        if use in (Use.MONITORED, Use.NO_ACCELERATOR):
            return use, ClaimMatch()
        found = moment.finder.find(claimed, moment.shares.get(allocated[:-1], 1))
        uid = claim_uid(claimed.cdi_devices, claimed.device)
        found = self._memory.resolve(allocated, found, uid, moment.listed, moment.now)
        if use is Use.UNKNOWN:
            devices = found.devices if found.subject is None else frozenset({found.subject.device_uuid})
            found = ClaimMatch(reason=UnresolvedReason.CLAIM_NOT_READ, devices=devices)
        return Use.USED, found

    def _to_read(self, tally: "_Tally", inventories: Sequence[Inventory], now: float) -> frozenset[str]:
        """The collectors that may list a device that was not found, as often as it is allowed to search for it."""
        collectors: set[str] = set()
        for allocated, devices in tally.to_search.items():
            names = {
                each.collector
                for each in inventories
                if each.healthy and not devices.isdisjoint(device.uuid for device in each.devices)
            }
            due = {each for each in names if now - self._searched_at.get(each, -math.inf) >= _SECONDS_BETWEEN_SEARCHES}
            if due and self._memory.searched(allocated, _MOST_SEARCHES):
                collectors |= due
        self._searched_at |= dict.fromkeys(collectors, now)
        return frozenset(collectors)


class _Moment(NamedTuple):
    """What is known at the moment of one run.

    Attributes:
        finder: Searches in the present devices.
        listed: What the collectors list.
        shares: How many shares of one device one claim has, where it has any.
        now: Monotonic seconds.
    """

    finder: Finder
    listed: ListedSubjects
    shares: Mapping[tuple[str, ...], int]
    now: float


class _Tally:
    """Collects the outcomes of one run."""

    def __init__(self) -> None:
        self.outcomes: dict[DeviceOfClaim, SubjectKey | None] = {}
        self.to_search: dict[DeviceOfClaim, frozenset[str]] = {}
        self._files_to_read = False
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._edges: list[ClaimEdge] = []
        self._maybe_used: set[str] = set()
        self._used: Counter[str] = Counter()
        self._shown: list[UnresolvedClaim] = []
        self._ways: Counter[Way] = Counter()
        self._not_counted: Counter[Use] = Counter()

    def add(self, claimed: ClaimDevice, allocated: DeviceOfClaim, use: Use, found: ClaimMatch) -> None:
        """Add one device of a claim."""
        self.outcomes[allocated] = found.subject
        if use is not Use.USED:
            self._not_counted[use] += 1
            return
        self._used[claimed.driver] += 1
        if found.subject is not None and found.way is not None:
            self._ways[found.way] += 1
        else:
            self._reasons[claimed.driver, found.reason] += 1
            self._maybe_used |= found.devices
            if found.reason == UnresolvedReason.FILES_NOT_READ_YET:
                self._files_to_read = True
            elif found.devices:
                self.to_search[allocated] = found.devices
            if len(self._shown) < _MOST_SHOWN:
                self._shown.append(UnresolvedClaim(claimed, found.reason))

    def refuse(self, claimed: ClaimDevice, finder: Finder) -> None:
        """Add a device that is not searched; once for each container, because what is not kept is not recognized."""
        self._used[claimed.driver] += 1
        self._reasons[claimed.driver, UnresolvedReason.TOO_MANY_CLAIMS] += 1
        self._maybe_used |= finder.devices_of(claimed.driver)

    def add_edge(self, edge: ClaimEdge, use: Use) -> None:
        """Add a container with a claim whose device is resolved."""
        if use is Use.USED:
            self._edges.append(edge)
        elif use is Use.UNKNOWN:
            self._maybe_used.add(edge.subject.device_uuid)

    def result(self, to_read: frozenset[str]) -> ResolvedClaims:
        """All that was added."""
        drivers = few_names(self._used)
        reasons: Counter[tuple[str, str]] = Counter()
        for (driver, reason), count in self._reasons.items():
            reasons[drivers[driver], reason] += count
        return ResolvedClaims(
            tuple(self._edges),
            dict(sorted(counted_by_few(self._used).items())),
            dict(sorted(reasons.items())),
            tuple(self._shown),
            self._ways,
            self._not_counted,
            frozenset(self._maybe_used),
            to_read,
            self._files_to_read,
        )


def _shares(claim_devices: Sequence[ClaimDevice]) -> dict[tuple[str, ...], int]:
    """How many shares of one device one claim has, where it has any."""
    shares: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for claimed in claim_devices:
        if claimed.share:
            shares[claimed.allocated[:-1]].add(claimed.share)
    return {device: len(found) for device, found in shares.items()}
