"""Logs once which allocations remain unresolved: devices of resource claims (DRA), and ids that match no device."""

import logging
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping
from itertools import islice
from typing import Generic, TypeVar

from collectors.wording import counted, shortened
from exporter.advice import FOR_UNMATCHED
from exporter.attribution.holding import HoldingGroup, Holdings
from exporter.device_names import some_pods

_log = logging.getLogger(__name__)

# Within this time they may be resolved: by the kubelet's next answers, a reading out of turn, a file being written.
_PATIENCE_SECONDS = 15.0
_SHOWN_IDS = 3
_MOST_RESOURCES = 100
_T = TypeVar("_T", bound=Hashable)


class _Lasting(Generic[_T]):
    """Tells what has lasted for some time, once."""

    def __init__(self) -> None:
        self._since: dict[_T, float] = {}
        self._reported: set[_T] = set()

    def due(self, present: Collection[_T], now: float) -> list[_T]:
        """What has lasted and was not returned before.

        Args:
            present: All that there is now.
            now: Monotonic seconds.
        """
        self._since = {each: self._since.get(each, now) for each in present}
        self._reported &= self._since.keys()
        due = [each for each, since in self._since.items() if now - since >= _PATIENCE_SECONDS]
        new = [each for each in due if each not in self._reported]
        self._reported.update(new)
        return new


class ClaimLog:
    """Remembers since when there have been unresolved devices of claims. Used by one thread."""

    def __init__(self) -> None:
        self._lasting: _Lasting[tuple[str, str]] = _Lasting()

    def update(self, reasons: Mapping[tuple[str, str], int], now: float) -> None:
        """Log what has been unresolved for some time.

        Args:
            reasons: Number of unresolved devices by driver and reason.
            now: Monotonic seconds.
        """
        for driver, reason in self._lasting.due(reasons.keys(), now):
            fields = {"driver": driver, "reason": reason, "devices": reasons[driver, reason]}
            _log.warning(
                "devices of claims not resolved: accelerator-exporter check lists them", extra={"fields": fields}
            )


class UnmatchedLog:
    """Remembers since when ids have matched no device. Used by one thread."""

    def __init__(self) -> None:
        self._lasting: _Lasting[HoldingGroup] = _Lasting()

    def update(self, unmatched: Holdings, now: float) -> None:
        """Log what has matched no device for some time: a line for each resource, of very many for the first.

        Args:
            unmatched: The ids, with the containers that hold them.
            now: Monotonic seconds.
        """
        groups: defaultdict[str, list[HoldingGroup]] = defaultdict(list)
        for group in self._lasting.due(unmatched.groups, now):
            groups[group.resource].append(group)
        for resource, held in islice(groups.items(), _MOST_RESOURCES):
            _log.warning("allocated ids match no device", extra={"fields": _fields(resource, held)})


def _fields(resource: str, held: Collection[HoldingGroup]) -> Mapping[str, str]:
    """The names of a line; of very many ids the first ones."""
    ids = [each for group in held for each in group.split()]
    shown = [shortened(each.decode()) for each in ids[:_SHOWN_IDS]]
    more = f" and {counted(len(ids) - len(shown), 'more id', 'more ids')}" if len(ids) > len(shown) else ""
    return {
        "resource": resource,
        "ids": f"{', '.join(shown)}{more}",
        "pods": some_pods({f"{group.namespace}/{group.pod}" for group in held}),
        "do": FOR_UNMATCHED,
    }
