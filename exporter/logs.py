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
# Of one event about one subject: lines at once, and seconds until there is another one.
_BURST, _SECONDS_PER_LINE = 5, 60.0
# Of one event about all its subjects: more than a node has devices, so that a fault of all of them is a line for each.
_MOST_LINES, _SECONDS_PER_ANY_LINE = 320, 12.0
# The fields that say what a line is about. Their values are those of collectors, and not of clients.
_SUBJECT = ("collector", "device", "uuid", "where", "code")
_LONGEST_SUBJECT = 200
_REMEMBERED = 1_024
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
    """How many lines may still be written, and how many were suppressed."""

    lines: float
    since: float
    suppressed: int = 0

    def earn(self, now: float, most: int, seconds_per_line: float) -> None:
        """Add the lines for the time since the last call."""
        self.lines = min(most, self.lines + (now - self.since) / seconds_per_line)
        self.since = now

    def use(self) -> int:
        """Write a line. Returns how many were suppressed before it."""
        self.lines -= 1
        suppressed, self.suppressed = self.suppressed, 0
        return suppressed


class RateLimit(logging.Filter):
    """Passes an event about one subject five times, then once a minute. The next line states how many were suppressed.

    An event is a logger and a message template; its subject is the collector, device or reading in the fields. So what
    happens to many devices at once is a line for each. All lines of one event are limited too, for subjects without
    end. Debug lines always pass: a user who enables them wants all of them.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._budgets: OrderedDict[tuple[str, ...], _LineBudget] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record. Adds to it the number of records suppressed before it."""
        if record.levelno <= logging.DEBUG:
            return True
        event = (record.name, str(record.msg))
        with self._lock:
            of_all = self._budget(event, _MOST_LINES, _SECONDS_PER_ANY_LINE)
            own = self._budget((*event, *_subject(record)), _BURST, _SECONDS_PER_LINE)
            exhausted = next((budget for budget in (own, of_all) if budget.lines < 1), None)
            if exhausted is not None:
                exhausted.suppressed += 1
                return False
            record.__dict__[_SUPPRESSED] = own.use() + of_all.use()
            return True

    def _budget(self, key: tuple[str, ...], most: int, seconds_per_line: float) -> _LineBudget:
        now = self._clock()
        budget = self._budgets.setdefault(key, _LineBudget(most, now))
        budget.earn(now, most, seconds_per_line)
        self._budgets.move_to_end(key)
        if len(self._budgets) > _REMEMBERED:
            self._budgets.popitem(last=False)
        return budget


def _subject(record: logging.LogRecord) -> tuple[str, ...]:
    """What a line is about; the same length for every line, so that it is no other event's key."""
    fields: dict[str, object] = getattr(record, "fields", {})
    return tuple(str(fields.get(name, ""))[:_LONGEST_SUBJECT] for name in _SUBJECT)


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
