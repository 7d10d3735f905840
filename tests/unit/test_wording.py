import pytest

from collectors.wording import OneLineError, counted, did_you_mean, shortened, shown


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


def test_a_found_text_is_quoted_and_shortened() -> None:
    assert shown("") == "nothing"
    assert shown("x" * 80) == f'"{"x" * 80}"'
    assert shown("x" * 81) == f'"{"x" * 80}..."'
    assert shortened("abcd", 3) == "abc..."


@pytest.mark.parametrize(("text", "nearest"), [("levl", "level"), ("zzz", None), ("", None)])
def test_the_most_similar_name_is_proposed_if_there_is_one(text: str, nearest: str | None) -> None:
    assert did_you_mean(text, ("format", "level")) == nearest


@pytest.mark.parametrize(("number", "text"), [(0, "0 pods"), (1, "1 pod"), (2, "2 pods")])
def test_the_plural_has_an_s_by_default(number: int, text: str) -> None:
    assert counted(number, "pod") == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 ids match"), (1, "1 id matches"), (2, "2 ids match")])
def test_a_plural_can_be_given(number: int, text: str) -> None:
    assert counted(number, "id matches", "ids match") == text
