"""The units of the kernel's hwmon interface to base units."""


def watts_from_microwatts(microwatts: float) -> float:
    """Microwatts to watts."""
    return microwatts / 1_000_000


def celsius_from_millicelsius(millicelsius: float) -> float:
    """Thousandths of a degree Celsius to degrees."""
    return millicelsius / 1000
