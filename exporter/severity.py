"""How severe a fact is: the same on the status page, in the log and in `check`."""

from collections.abc import Mapping
from enum import StrEnum


class Severity(StrEnum):
    """The severities, the most severe first. Only an error makes `check` fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    OK = "ok"


# By the state of a device, see `collectors.catalog.STATUS_STATE`. A device that is lost has failed.
OF_STATES: Mapping[str, Severity] = {
    "ok": Severity.OK,
    "degraded": Severity.WARNING,
    "predicted_failure": Severity.WARNING,
    "failed": Severity.ERROR,
}


def of_state(state: str | None) -> Severity:
    """How severe the state of a device is; a note if it is unknown."""
    return OF_STATES.get(state or "", Severity.NOTE)


def rank(severity: Severity) -> int:
    """Its place in the order; 0 for the most severe."""
    return list(Severity).index(severity)


# A call of the driver has not returned: nothing is known of what it is about.
OF_HANGING = Severity.ERROR
