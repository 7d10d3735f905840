"""Log lines on standard error: one line for each event with its fields, as key=value text or JSON, rate-limited."""

import json
import logging
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

_BARE = re.compile(r"[A-Za-z0-9_.,:/@+-]+")
_LONGEST_TEXT = 8_192
_BURST = 5
_SECONDS_PER_LINE = 60.0
_REMEMBERED_EVENTS = 1_024
# hpack, below the kubelet client, logs every header of every call at debug.
_CHATTY_LOGGER = "hpack"
_SUPPRESSED = "suppressed"

Scalar = str | int | float | bool | None


class LogLevel(StrEnum):
    """Severities, the lowest first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """The format of a line."""

    TEXT = "text"
    JSON = "json"


class TextFormatter(logging.Formatter):
    """`ts=... level=info logger=exporter.poller msg="collector up" devices=8`; unusual characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, without a line break at its end."""
        return " ".join(f"{key}={_text(value)}" for key, value in _entries(record).items())


class JsonFormatter(logging.Formatter):
    """The same entries as TextFormatter, as one JSON object in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, without a line break at its end."""
        return json.dumps(_entries(record), allow_nan=False)


@dataclass(slots=True)
class _LineBudget:
    """How many lines one event may still write, and how many were suppressed."""

    lines: float
    since: float
    suppressed: int = 0


class RateLimit(logging.Filter):
    """Passes an event five times, then once a minute. The next line states how many were suppressed.

    An event is a logger and a message template. Debug lines always pass: a user who enables them wants all of them.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._budgets: OrderedDict[tuple[str, str], _LineBudget] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record. Adds to it the number of records suppressed before it."""
        if record.levelno <= logging.DEBUG:
            return True
        with self._lock:
            budget = self._budget((record.name, str(record.msg)))
            if budget.lines < 1:
                budget.suppressed += 1
                return False
            budget.lines -= 1
            record.__dict__[_SUPPRESSED] = budget.suppressed
            budget.suppressed = 0
            return True

    def _budget(self, event: tuple[str, str]) -> _LineBudget:
        now = self._clock()
        budget = self._budgets.setdefault(event, _LineBudget(_BURST, now))
        earned = (now - budget.since) / _SECONDS_PER_LINE
        budget.lines = min(_BURST, budget.lines + earned)
        budget.since = now
        self._budgets.move_to_end(event)
        if len(self._budgets) > _REMEMBERED_EVENTS:
            self._budgets.popitem(last=False)
        return budget


class Lines(Protocol):
    """Where lines are written."""

    def write(self, text: str, /) -> object:
        """Write a line."""
        ...


def configure(level: LogLevel, log_format: LogFormat, stream: Lines, clock: Callable[[], float]) -> None:
    """Write the lines of every logger to one stream; replaces an earlier configuration.

    Args:
        level: The lowest severity to write.
        log_format: The format of a line.
        stream: Receives the lines, normally standard error.
        clock: Monotonic seconds, for the rate limit.
    """
    handler = logging.StreamHandler(stream)
    handler.setLevel(level.upper())
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())
    handler.addFilter(RateLimit(clock))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger(_CHATTY_LOGGER).setLevel(logging.INFO)


def _entries(record: logging.LogRecord) -> dict[str, Scalar]:
    """The entries of a line, in order. A field cannot replace the line's own entries."""
    fields: dict[str, object] = getattr(record, "fields", {})
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    entries: dict[str, object] = {
        "ts": time.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "msg": record.getMessage(),
    }
    entries = entries | {key: value for key, value in fields.items() if key not in entries}
    if suppressed := getattr(record, _SUPPRESSED, 0):
        entries[_SUPPRESSED] = suppressed
    if record.exc_info:
        entries["traceback"] = logging.Formatter().formatException(record.exc_info)
    return {key: _scalar(value) for key, value in entries.items()}


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = str(value)
    half = _LONGEST_TEXT // 2
    return text if len(text) <= _LONGEST_TEXT else f"{text[:half]}...{text[-half:]}"


def _text(value: Scalar) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else json.dumps(value)
    return json.dumps(value)
