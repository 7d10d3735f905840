"""How the status page writes numbers: the one place where base units become what people read."""

from exporter.durations import spell_duration

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_MINUTE, _HOUR = 60, 3600
_LEAST_PERCENT = 0.01
_LEADING, _TRAILING = 8, 6  # of a uuid: vendors put a prefix first, cards of one delivery differ last


def percent(ratio: float) -> str:
    """A ratio from 0 to 1 as a whole per cent; a trace of load is not shown as none."""
    return "<1 %" if 0 < ratio < _LEAST_PERCENT else f"{ratio * 100:.0f} %"


def size(count: float) -> str:
    """Bytes as GiB, smaller amounts as MiB or KiB."""
    if round(count / _MIB) >= _KIB:
        return f"{count / _GIB:.1f} GiB"
    return f"{count / _MIB:.0f} MiB" if count >= _MIB or not count else f"{count / _KIB:.0f} KiB"


def watts(power: float) -> str:
    """Power in whole watts."""
    return f"{power:.0f} W"


def celsius(temperature: float) -> str:
    """A temperature in whole degrees."""
    return f"{temperature:.0f} °C"


def duration(seconds: float) -> str:
    """A span of time, the coarser the longer; 0 for one before its beginning, as clocks are set back."""
    whole = max(0, round(seconds))
    return spell_duration(whole if whole < _HOUR else whole - whole % _MINUTE)


def ago(seconds: float | None) -> str:
    """How long since something; None where it never was."""
    return "never" if seconds is None else f"{duration(seconds)} ago"


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short_uuid(uuid: str) -> str:
    """A uuid's beginning and end, enough to tell the devices of a node apart."""
    return uuid if len(uuid) <= _LEADING + _TRAILING + 2 else f"{uuid[:_LEADING]}…{uuid[-_TRAILING:]}"
