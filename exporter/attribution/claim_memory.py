"""Remembers what the devices of resource claims were resolved to, and whether the collectors' listings are new enough.

A partition is created for a claim, and its name, device nodes and ids can be those of an earlier or later partition. So
a claim is compared only with what was read after it was first listed and before its CDI file was last seen, and it
keeps its partition as long as it is listed. Only the name of a whole device always means the same device. No I/O; the
caller gives the time.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from collectors.contract import SubjectKey
from exporter.attribution.claim_resolution import ClaimMatch, UnresolvedReason, Way
from exporter.attribution.holding import DeviceOfClaim
from exporter.attribution.inventory import ListedSubjects

# The kubelet may have made its next answer before a partition ended; a claim that is in the one after it still exists.
_ANSWERS_AFTER_LOSS = 2
# With these, something else was found than what is remembered.
_CONTRADICTS = frozenset(
    {
        UnresolvedReason.SEVERAL_DEVICES,
        UnresolvedReason.SEVERAL_SHARES,
        UnresolvedReason.PARTITION_NOT_LISTED,
        UnresolvedReason.NOT_READ_YET,
        UnresolvedReason.FILES_NOT_READ_YET,
    }
)


@dataclass(slots=True)
class _Record:
    """What is remembered of one device of a claim.

    Attributes:
        since: Monotonic seconds at which it was first listed.
        claim_uid: The claim's uid, empty where it is not known: another claim can have the same name later.
        subject: What it was resolved to; None if it never was.
        way: How.
        collector: The collector that listed the subject.
        lost_at: Number of the answer in which the subject was no longer listed; None while it is listed.
        searched: How often a reading out of turn was requested for it.
    """

    since: float
    claim_uid: str
    subject: SubjectKey | None = None
    way: Way | None = None
    collector: str = ""
    lost_at: int | None = None
    searched: int = 0


class ClaimMemory:
    """What is remembered of each listed device of a claim. Used by one thread."""

    def __init__(self) -> None:
        self._records: dict[DeviceOfClaim, _Record] = {}
        self._answers = 0

    def answered(self) -> None:
        """Record that the kubelet has given a new answer."""
        self._answers += 1

    def keep_only(self, listed: AbstractSet[DeviceOfClaim]) -> None:
        """Forget what is no longer listed."""
        self._records = {key: record for key, record in self._records.items() if key in listed}

    def resolve(
        self, allocated: DeviceOfClaim, found: ClaimMatch, claim_uid: str, listed: ListedSubjects, now: float
    ) -> ClaimMatch:
        """Return what a device of a claim is, out of what is found now and what is remembered.

        Args:
            allocated: The device of the claim.
            found: What is found now.
            claim_uid: The claim's uid; empty where it is not known.
            listed: What the collectors list now.
            now: Monotonic seconds.
        """
        record = self._records.get(allocated)
        if record is None or record.claim_uid != claim_uid:
            record = self._records[allocated] = _Record(now, claim_uid)
        remembered = self._remembered(record, listed, now)
        if remembered is not None and (remembered.partition_uuid or remembered == found.subject):
            return ClaimMatch(remembered, record.way)
        current = _if_current(found, record.since, listed)
        if current.subject is not None:
            record.subject, record.way, record.lost_at = current.subject, current.way, None
            record.collector = listed.collector_of(current.subject)
        elif remembered is not None and current.reason not in _CONTRADICTS:
            return ClaimMatch(remembered, record.way)
        return current

    def searched(self, allocated: DeviceOfClaim, most: int) -> bool:
        """Count one more search for the device; False if there were as many as allowed."""
        record = self._records[allocated]
        record.searched += 1
        return record.searched <= most

    def _remembered(self, record: _Record, listed: ListedSubjects, now: float) -> SubjectKey | None:
        """What it was resolved to, until the claim is still listed some time after its collector no longer lists it."""
        subject = record.subject
        if subject is None or subject in listed:
            record.lost_at = None
            return subject
        if not listed.is_healthy(record.collector):
            return subject
        if record.lost_at is None:
            record.lost_at = self._answers
        if self._answers - record.lost_at < _ANSWERS_AFTER_LOSS:
            return subject
        record.subject, record.lost_at, record.since, record.searched = None, None, now, 0
        return None


def _if_current(found: ClaimMatch, since: float, listed: ListedSubjects) -> ClaimMatch:
    """What is found, unless it may be what had the same name or device nodes before or after the claim."""
    if found.subject is None or found.own_name:
        return found
    devices = frozenset({found.subject.device_uuid})
    if not listed.is_current(found.subject, since):
        return ClaimMatch(reason=UnresolvedReason.NOT_READ_YET, devices=devices)
    if not listed.is_current(found.subject, since, found.claimed_at):
        return ClaimMatch(reason=UnresolvedReason.FILES_NOT_READ_YET, devices=devices)
    return found
