import pytest

from exporter.durations import parse_duration, spell_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("5s", 5.0),
        ("1m", 60.0),
        ("1h30m", 5400.0),
        ("1m500ms", 60.5),
        ("90s", 90.0),
        ("0s", 0.0),
        ("1d", 86_400.0),
        ("1w2d", 777_600.0),
        ("1y", 31_536_000.0),
    ],
)
def test_duration_is_parsed_to_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "0",
        "s",
        "1.5s",
        "-5s",
        "+5s",
        "5 s",
        " 5s",
        "5s ",
        "5S",
        "30s1m",
        "5s5s",
        "5sec",
        "1us",
        "\u0665s",
        "9" * 10 + "s",
    ],
)
def test_invalid_duration_is_none(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.25, "250ms"),
        (1.5, "1s500ms"),
        (60.0, "1m"),
        (90.0, "1m30s"),
        (5400.0, "1h30m"),
        (86_400.0, "24h"),
    ],
)
def test_seconds_are_formatted_as_a_duration(seconds: float, text: str) -> None:
    assert spell_duration(seconds) == text
