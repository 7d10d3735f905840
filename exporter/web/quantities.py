"""Numbers on the status page as text for people."""

from exporter.durations import spell_duration

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_MINUTE, _HOUR = 60, 3600
_LEAST_PERCENT = 0.01
_LEADING, _TRAILING = 8, 6  # of a uuid: it starts with a vendor's prefix, and similar cards differ at the end


def percent(ratio: float) -> str:
    """A ratio from 0 to 1 in whole percent; a small utilization is not shown as zero."""
    return "<1 %" if 0 < ratio < _LEAST_PERCENT else f"{ratio * 100:.0f} %"


def size(count: float) -> str:
    """Bytes in GiB, smaller amounts in MiB or KiB."""
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
    """A duration, in minutes from one hour on; 0 for a negative one, as after the clock was set back."""
    whole = max(0, round(seconds))
    return spell_duration(whole if whole < _HOUR else whole - whole % _MINUTE)


def ago(seconds: float | None) -> str:
    """Time since an event; None if it never happened."""
    return "never" if seconds is None else f"{duration(seconds)} ago"


def short_uuid(uuid: str) -> str:
    """A uuid's beginning and end, enough to distinguish the devices of a node."""
    return uuid if len(uuid) <= _LEADING + _TRAILING + 2 else f"{uuid[:_LEADING]}…{uuid[-_TRAILING:]}"
