"""A vendor's library that stays of another version than its driver: nothing this process can do will mend that."""

from collections.abc import Iterable

from collectors.contract import Reason
from exporter.durations import spell_duration
from exporter.snapshot import CollectorHealth


class VersionMismatchError(Exception):
    """A mismatch has lasted too long. The text is for people: what, where, what to do."""


def refuse_lasting(collectors: Iterable[CollectorHealth], now: float, timeout_seconds: float) -> None:
    """Put up with a mismatch for a while: during a driver upgrade there is one, and it may heal.

    Args:
        collectors: How each of them fares.
        now: Monotonic seconds.
        timeout_seconds: How long a mismatch may last.

    Raises:
        VersionMismatchError: One has lasted longer.
    """
    for health in collectors:
        failure = health.failure
        if failure is None or failure.reason is not Reason.VERSION_MISMATCH:
            continue
        if now - failure.since > timeout_seconds:
            raise VersionMismatchError(
                f"collector {health.name}: {failure.text}. This has lasted for more than "
                f"{spell_duration(timeout_seconds)} (poll.version_mismatch_timeout) and will last until the "
                "container is restarted: only then is it given the driver's present library"
            )
