"""A YAML text as plain dictionaries, lists and texts. Nothing is expanded, and no type but null is guessed."""

from collections.abc import Iterator

import yaml

from collectors.text_file import TextError
from collectors.yaml_events import children, line_of, one_document

# The deepest value of a CDI spec, an argument of a device's hook, is at 6.
_DEEPEST = 16
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def read_yaml(text: str) -> object:
    """The only document of a text: its mappings, lists and texts; None for null or no document.

    Aliases, merge keys and tags are refused, as are keys that are not texts or are given twice.

    Args:
        text: The text; its size is limited by the caller.

    Raises:
        TextError: It is not YAML, or has something that is refused.
    """
    with one_document(text) as events:
        root = next(events, None)
        return None if root is None else _value(root, events, 0)


def _value(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> object:
    if depth > _DEEPEST:
        raise TextError("nested too deep", line_of(event))
    if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag not in (None, "!"):
        raise TextError("a tag, expected none", line_of(event))
    if isinstance(event, yaml.ScalarEvent):
        return None if _is_null(event) else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        return [_value(child, events, depth + 1) for child in children(events)]
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(events, depth)
    raise TextError("an alias, expected none", line_of(event))


def _mapping(events: Iterator[yaml.Event], depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for event in children(events):
        if not isinstance(event, yaml.ScalarEvent) or event.value in found or event.value == "<<":
            raise TextError("a key that is no text, a merge key, or given twice", line_of(event))
        found[event.value] = _value(next(events), events, depth + 1)
    return found


def _is_null(event: yaml.ScalarEvent) -> bool:
    is_plain = event.implicit[0] and event.tag is None
    return is_plain and event.value in _NULLS
