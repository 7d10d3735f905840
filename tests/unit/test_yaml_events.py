from collections.abc import Iterator

import pytest
import yaml

from collectors.text_file import TextError
from collectors.yaml_events import children, line_of, one_document


def scalars(text: str) -> list[tuple[str, int]]:
    """The plain values of a list or mapping and their lines."""
    with one_document(text) as events:
        next(events)
        return [(event.value, line_of(event)) for event in children(events) if isinstance(event, yaml.ScalarEvent)]


def take(event: yaml.Event, events: Iterator[yaml.Event]) -> None:
    if isinstance(event, yaml.CollectionStartEvent):
        for child in children(events):
            take(child, events)


def refusal(text: str) -> tuple[str, tuple[int, ...]]:
    with pytest.raises(TextError) as caught, one_document(text) as events:
        take(next(events), events)
    return caught.value.problem, caught.value.place


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "\ufeff"])
def test_a_text_without_a_document_has_no_events(text: str) -> None:
    with one_document(text) as events:
        assert next(events, None) is None


@pytest.mark.parametrize("text", ["- a\n- b\n", "a:\n  b\n", "---\n[a,\nb]\n..."])
def test_children_are_the_nodes_of_a_list_or_the_keys_and_values_of_a_mapping(text: str) -> None:
    first = text.splitlines().index("---") + 2 if text.startswith("---") else 1
    assert scalars(text) == [("a", first), ("b", first + 1)]


def test_children_continue_after_nested_nodes() -> None:
    with one_document("[[a], {b: c}, d]") as events:
        next(events)
        found = []
        for event in children(events):
            inner = [] if isinstance(event, yaml.ScalarEvent) else list(children(events))
            found.append((type(event), len(inner)))
    assert found == [(yaml.SequenceStartEvent, 1), (yaml.MappingStartEvent, 2), (yaml.ScalarEvent, 0)]


def test_a_reader_that_stops_early_does_not_see_later_errors() -> None:
    def first_key(text: str) -> str:
        with one_document(text) as events:
            next(events)
            raise LookupError(line_of(next(events)))

    with pytest.raises(LookupError, match="1"):
        first_key("a: 1\nb: @")


@pytest.mark.parametrize(
    ("text", "problem", "place"),
    [
        ("a: b: c", "not YAML: mapping values are not allowed here", (1, 5)),
        ("a:\n\tb", "not YAML: found character '\\t' that cannot start any token", (2, 1)),
        ("a\n\x07", "not YAML: control character 0x07", (2,)),
        ('"\\UFFFFFFFF"', "not YAML: an escaped character or a version number out of range", ()),
        (f"%YAML 1.{'9' * 5_000}\n--- a", "not YAML: an escaped character or a version number out of range", ()),
        ("a: 1\n---\nb: 2", "a second document, expected one", (2,)),
    ],
)
def test_a_text_that_is_not_one_document_is_reported_with_its_place(
    text: str, problem: str, place: tuple[int, ...]
) -> None:
    assert refusal(text) == (problem, place)


def test_a_long_problem_is_shortened() -> None:
    assert len(refusal(f"!{'x' * 1_000}!y a")[0]) == len("not YAML: ") + 200


def test_aliases_and_tags_are_events_and_are_not_resolved() -> None:
    with one_document("[&a !!python/name:os.system x, *a]") as events:
        next(events)
        tagged, alias = children(events)
    assert isinstance(tagged, yaml.ScalarEvent)
    assert (tagged.value, tagged.tag, tagged.anchor) == ("x", "tag:yaml.org,2002:python/name:os.system", "a")
    assert isinstance(alias, yaml.AliasEvent)
