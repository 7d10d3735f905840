import pytest

from exporter.web import quantities


@pytest.mark.parametrize(
    ("ratio", "text"), [(0, "0 %"), (0.0001, "<1 %"), (0.01, "1 %"), (0.634, "63 %"), (1, "100 %"), (1.02, "102 %")]
)
def test_ratios_are_per_cent(ratio: float, text: str) -> None:
    assert quantities.percent(ratio) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 MiB"),
        (4096, "4 KiB"),
        (2**20 - 1, "1024 KiB"),
        (2**20, "1 MiB"),
        (1023 * 2**20, "1023 MiB"),
        (2**30 - 1, "1.0 GiB"),
        (80 * 2**30, "80.0 GiB"),
        (85_520_809_984, "79.6 GiB"),
    ],
)
def test_bytes_are_gibibytes_or_less(count: float, text: str) -> None:
    assert quantities.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0.4, "0s"), (59.6, "1m"), (192, "3m12s"), (3599, "59m59s"), (3601, "1h"), (90_061, "25h1m")],
)
def test_durations_grow_coarser(seconds: float, text: str) -> None:
    assert quantities.duration(seconds) == text
    assert quantities.ago(seconds) == f"{text} ago"


def test_what_never_was_has_no_age() -> None:
    assert quantities.ago(None) == "never"


def test_watts_and_degrees_are_whole() -> None:
    assert (quantities.watts(641.4), quantities.celsius(65.6)) == ("641 W", "66 °C")


@pytest.mark.parametrize(
    ("uuid", "text"),
    [
        ("GPU-5f0c1b7a-2f55-4c6e-9d1e-6a1f00000001", "GPU-5f0c…000001"),
        ("0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdefg", "01234567…bcdefg"),
        ("", ""),
    ],
)
def test_a_long_uuid_keeps_both_ends(uuid: str, text: str) -> None:
    assert quantities.short_uuid(uuid) == text
