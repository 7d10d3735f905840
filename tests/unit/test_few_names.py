"""Labels have few values, whatever names there are."""

from exporter.few_names import MOST_NAMES, OTHER, counted_by_few, few_names


def test_few_names_are_kept() -> None:
    assert few_names(["b", "a", "b"]) == {"a": "a", "b": "b"}
    assert counted_by_few({"b": 2, "a": 1}) == {"a": 1, "b": 2}
    assert counted_by_few({}) == {}


def test_of_many_names_the_rest_counts_as_one_and_no_count_is_lost() -> None:
    counts = {f"name-{number:04}": number for number in range(1000)} | {OTHER: 7}
    few = counted_by_few(counts)
    assert len(few) == MOST_NAMES + 1
    assert few["name-0099"] == 99
    assert few[OTHER] == sum(range(MOST_NAMES, 1000)) + 7
    assert counted_by_few(few) == few
