"""Conversions to base units. All conversions from a vendor's milliwatts, MiB or percent are here."""

_KIB = 1024
_MIB = 1024 * 1024


def ratio_from_percent(percent: float) -> float:
    """Percent 0-100 to ratio 0-1."""
    return percent / 100


def ratio_from_centipercent(centipercent: float) -> float:
    """Hundredths of a percent to ratio 0-1."""
    return centipercent / 10_000


def watts_from_microwatts(microwatts: float) -> float:
    """Microwatts to watts."""
    return microwatts / 1_000_000


def watts_from_milliwatts(milliwatts: float) -> float:
    """Milliwatts to watts."""
    return milliwatts / 1000


def joules_from_millijoules(millijoules: float) -> float:
    """Millijoules to joules."""
    return millijoules / 1000


def celsius_from_millicelsius(millicelsius: float) -> float:
    """Thousandths of a degree Celsius to degrees."""
    return millicelsius / 1000


def celsius_from_centicelsius(centicelsius: float) -> float:
    """Hundredths of a degree Celsius to degrees."""
    return centicelsius / 100


def seconds_from_microseconds(microseconds: float) -> float:
    """Microseconds to seconds."""
    return microseconds / 1_000_000


def seconds_from_nanoseconds(nanoseconds: float) -> float:
    """Nanoseconds to seconds."""
    return nanoseconds / 1_000_000_000


def hertz_from_megahertz(megahertz: float) -> float:
    """Megahertz to hertz."""
    return megahertz * 1_000_000


def bytes_from_gigabits(gigabits: float) -> float:
    """Gigabits of 10^9 to bytes."""
    return gigabits * 1_000_000_000 / 8


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
