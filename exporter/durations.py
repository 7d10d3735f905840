"""Durations in Prometheus notation: `250ms`, `5s`, `1m`, `1h30m`. Inside the exporter they are seconds."""

import re

_UNIT_MILLISECONDS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,9}}){unit})?" for unit in _UNIT_MILLISECONDS))
_SPELLED = ("h", "m", "s", "ms")


def parse_duration(text: str) -> float | None:
    """The length of a duration.

    Args:
        text: Whole numbers, each with a unit, the largest unit first: y, w, d, h, m, s, ms.

    Returns:
        Seconds, or None if the text is not a duration. A number without a unit is not a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    counts = match.groupdict(default="0")
    return sum(int(count) * _UNIT_MILLISECONDS[unit] for unit, count in counts.items()) / 1_000


def spell_duration(seconds: float) -> str:
    """The shortest notation in hours, minutes, seconds and milliseconds; `0s` for zero."""
    rest = round(seconds * 1_000)
    spelled = ""
    for unit in _SPELLED:
        count, rest = divmod(rest, _UNIT_MILLISECONDS[unit])
        spelled += f"{count}{unit}" if count else ""
    return spelled or "0s"
