import pytest

from collectors.wording import OneLineError, did_you_mean, shortened, shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("caf\u00e9: \u6f22", "caf\u00e9: \u6f22"),
        ("a\nb\r\x1b\x85", "a\\nb\\r\\x1b\\x85"),
        ("\u2028\udcff", "\\u2028\\udcff"),
    ],
)
def test_an_error_is_one_printable_line(text: str, line: str) -> None:
    assert str(OneLineError(text)) == line
    assert str(OneLineError(line)) == line


def test_what_was_found_is_quoted_and_cut() -> None:
    assert shown("") == "nothing"
    assert shown("x" * 80) == f'"{"x" * 80}"'
    assert shown("x" * 81) == f'"{"x" * 80}..."'
    assert shortened("abcd", 3) == "abc..."


@pytest.mark.parametrize(("text", "nearest"), [("levl", "level"), ("zzz", None), ("", None)])
def test_the_nearest_name_is_proposed_if_one_is_alike(text: str, nearest: str | None) -> None:
    assert did_you_mean(text, ("format", "level")) == nearest
