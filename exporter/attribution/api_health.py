"""How the calls of one kind of object end: what is logged, and how long to wait after a failure."""

import logging
import random
from collections.abc import Callable
from enum import StrEnum

from collectors.backoff import Backoff
from exporter.attribution.api_error import ApiError, ApiForbiddenError, ApiNotFoundError

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_OFF_SECONDS = 300.0
_LARGEST_JITTER = 1.25  # the exporters of all nodes fail at the same moment, and must not come back at the same moment


class ApiState(StrEnum):
    """How the last call ended."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"
    FORBIDDEN = "forbidden"
    NOT_SERVED = "not_served"


class ApiHealth:
    """The state of the calls for one kind of object. Logs one line for each change.

    Args:
        what: The objects, for people: `resource slices`.
        right: The right that the calls need, for people.
        uniform: Returns a random number between two.

    Attributes:
        what: As given.
        right: As given.
        state: How the last call ended.
        text: Why it failed; empty if it did not.
    """

    def __init__(self, what: str, right: str, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.what = what
        self.state = ApiState.UNKNOWN
        self.text = ""
        self.right = right
        self._uniform = uniform
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    def succeeded(self) -> None:
        """Record a success."""
        self._backoff.succeeded()
        if self._changed(ApiState.UP, ""):
            _log.info("%s: the API server answers", self.what)

    def failed(self, error: ApiError) -> float:
        """Record a failure. Returns for how many seconds nothing may be called.

        What is forbidden or not served is tried again after five minutes: the right may be granted later.
        """
        if isinstance(error, ApiForbiddenError):
            if self._changed(ApiState.FORBIDDEN, str(error)):
                _log.warning("%s are not used without the right to %s: %s", self.what, self.right, error)
            pause = _OFF_SECONDS
        elif isinstance(error, ApiNotFoundError):
            if self._changed(ApiState.NOT_SERVED, str(error)):
                _log.warning("%s are not used: %s", self.what, error)
            pause = _OFF_SECONDS
        else:
            if self._changed(ApiState.DOWN, str(error)):
                _log.warning("%s unavailable: %s", self.what, error)
            pause = max(self._backoff.failed(), error.retry_after_seconds)
        return pause * self._uniform(1.0, _LARGEST_JITTER)

    def _changed(self, state: ApiState, text: str) -> bool:
        before, self.state, self.text = self.state, state, text
        return state is not before
