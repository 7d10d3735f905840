"""Log lines on standard error: one event with its fields a line, as key=value text or as JSON, and never a flood."""

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
from typing import TextIO

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
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


class TextFormatter(logging.Formatter):
    """`ts=... level=info logger=exporter.poller msg="collector up" devices=8`, with the unusual escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        return " ".join(f"{key}={_text(value)}" for key, value in _entries(record).items())


class JsonFormatter(logging.Formatter):
    """The same entries as TextFormatter, as one JSON object in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        return json.dumps(_entries(record), allow_nan=False)


@dataclass(slots=True)
class _Allowance:
    """How many lines one event may still have, and how many it was refused."""

    lines: float
    since: float
    suppressed: int = 0


class RateLimit(logging.Filter):
    """Lets an event through five times, then once a minute; says on the next line how many were suppressed.

    An event is a logger and a message template. Debug lines pass: whoever asks for them wants all of them.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._allowances: OrderedDict[tuple[str, str], _Allowance] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written. Notes on it how many before it were not."""
        if record.levelno <= logging.DEBUG:
            return True
        with self._lock:
            allowance = self._allowance((record.name, str(record.msg)))
            if allowance.lines < 1:
                allowance.suppressed += 1
                return False
            allowance.lines -= 1
            record.__dict__[_SUPPRESSED] = allowance.suppressed
            allowance.suppressed = 0
            return True

    def _allowance(self, event: tuple[str, str]) -> _Allowance:
        now = self._clock()
        allowance = self._allowances.setdefault(event, _Allowance(_BURST, now))
        earned = (now - allowance.since) / _SECONDS_PER_LINE
        allowance.lines = min(_BURST, allowance.lines + earned)
        allowance.since = now
        self._allowances.move_to_end(event)
        if len(self._allowances) > _REMEMBERED_EVENTS:
            self._allowances.popitem(last=False)
        return allowance


def configure(level: LogLevel, form: LogFormat, stream: TextIO, clock: Callable[[], float]) -> None:
    """Send every logger's lines to one stream, in place of where they went before.

    Args:
        level: The lowest severity that is written.
        form: How a line is written.
        stream: Where to, normally standard error.
        clock: Monotonic seconds, for the rate limit.
    """
    handler = logging.StreamHandler(stream)
    handler.setLevel(level.upper())
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    handler.addFilter(RateLimit(clock))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger(_CHATTY_LOGGER).setLevel(logging.INFO)


def _entries(record: logging.LogRecord) -> dict[str, Scalar]:
    """What a line says, in order. A field cannot take the place of the line's own entries."""
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
