"""Conversions into base units. The only place where a vendor's milliwatts, MiB or percent become ours."""

_KIB = 1024
_MIB = 1024 * 1024


def ratio_from_percent(percent: float) -> float:
    """Percent 0-100 to ratio 0-1."""
    return percent / 100


def watts_from_milliwatts(milliwatts: float) -> float:
    """Milliwatts to watts."""
    return milliwatts / 1000


def joules_from_millijoules(millijoules: float) -> float:
    """Millijoules to joules."""
    return millijoules / 1000


def hertz_from_megahertz(megahertz: float) -> float:
    """Megahertz to hertz."""
    return megahertz * 1_000_000


def bytes_from_kibibytes(kibibytes: float) -> float:
    """KiB to bytes."""
    return kibibytes * _KIB


def bytes_from_kilobytes(kilobytes: float) -> float:
    """KB of 1,000 bytes to bytes."""
    return kilobytes * 1000


def bytes_from_megabytes(megabytes: float) -> float:
    """MB of 10^6 bytes to bytes."""
    return megabytes * 1_000_000


def bytes_from_mebibytes(mebibytes: float) -> float:
    """MiB to bytes."""
    return mebibytes * _MIB
