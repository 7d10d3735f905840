"""Logs once which devices of resource claims (DRA) stay unresolved, by driver and reason."""

import logging
from collections.abc import Mapping

_log = logging.getLogger(__name__)

# Within this time they may be resolved: by the kubelet's next answers, a reading out of turn, a file being written.
_PATIENCE_SECONDS = 15.0


class ClaimLog:
    """Remembers since when there have been unresolved devices. Used by one thread."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}
        self._logged: set[tuple[str, str]] = set()

    def update(self, reasons: Mapping[tuple[str, str], int], now: float) -> None:
        """Log what has been unresolved for some time.

        Args:
            reasons: Number of unresolved devices by driver and reason.
            now: Monotonic seconds.
        """
        self._since = {each: self._since.get(each, now) for each in reasons}
        self._logged &= reasons.keys()
        for (driver, reason), since in self._since.items():
            if (driver, reason) not in self._logged and now - since >= _PATIENCE_SECONDS:
                self._logged.add((driver, reason))
                fields = {"driver": driver, "reason": reason, "devices": reasons[driver, reason]}
                _log.warning(
                    "devices of claims not resolved: accelerator-exporter check lists them", extra={"fields": fields}
                )
