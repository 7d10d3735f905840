"""Reads fields of decoded JSON. A field of another type than expected is as if it were absent."""

from collections.abc import Iterator, Mapping

JsonObject = Mapping[str, object]

_NOTHING: JsonObject = {}


def child(parent: JsonObject, *path: str) -> JsonObject:
    """The object at a path of keys; an empty one if there is none."""
    found: object = parent
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else _NOTHING


def children(parent: JsonObject, *path: str) -> Iterator[JsonObject]:
    """The objects in the array at a path of keys."""
    found = child(parent, *path[:-1]).get(path[-1])
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict):
            yield each


def text(parent: JsonObject, key: str) -> str:
    """A text; empty if there is none."""
    found = parent.get(key)
    return found if isinstance(found, str) else ""


def integer(parent: JsonObject, key: str) -> int | None:
    """A whole number; None if there is none."""
    found = parent.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
