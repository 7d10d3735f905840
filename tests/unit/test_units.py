from collections.abc import Callable

import pytest

from collectors import units


@pytest.mark.parametrize(
    ("convert", "given", "expected"),
    [
        (units.ratio_from_percent, 0, 0),
        (units.ratio_from_percent, 37, 0.37),
        (units.ratio_from_percent, 100, 1),
        (units.ratio_from_centipercent, 3700, 0.37),
        (units.watts_from_microwatts, 350_500_000, 350.5),
        (units.watts_from_milliwatts, 350_500, 350.5),
        (units.joules_from_millijoules, 12_345_678, 12_345.678),
        (units.celsius_from_millicelsius, 41_500, 41.5),
        (units.celsius_from_centicelsius, 4150, 41.5),
        (units.seconds_from_microseconds, 1_500_000, 1.5),
        (units.seconds_from_nanoseconds, 1_500_000_000, 1.5),
        (units.hertz_from_megahertz, 1980, 1_980_000_000),
        (units.bytes_from_gigabits, 32, 4_000_000_000),
        (units.bytes_from_kibibytes, 3, 3072),
        (units.bytes_from_kilobytes, 3, 3000),
        (units.bytes_from_megabytes, 26_562, 26_562_000_000),
        (units.bytes_from_mebibytes, 80, 83_886_080),
    ],
)
def test_values_are_converted_to_base_units(convert: Callable[[float], float], given: float, expected: float) -> None:
    assert convert(given) == expected


def test_every_conversion_is_in_the_table_above() -> None:
    public = {name for name in vars(units) if "_from_" in name}
    assert public == {
        "ratio_from_percent",
        "ratio_from_centipercent",
        "watts_from_microwatts",
        "watts_from_milliwatts",
        "joules_from_millijoules",
        "celsius_from_millicelsius",
        "celsius_from_centicelsius",
        "seconds_from_microseconds",
        "seconds_from_nanoseconds",
        "hertz_from_megahertz",
        "bytes_from_gigabits",
        "bytes_from_kibibytes",
        "bytes_from_kilobytes",
        "bytes_from_megabytes",
        "bytes_from_mebibytes",
    }
