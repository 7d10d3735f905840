"""The events of a YAML text, for readers that process it event by event. No alias is expanded and no type guessed."""

from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from collectors.text_file import TextError

_LONGEST_PROBLEM = 200


@contextmanager
def one_document(text: str) -> Iterator[Iterator[yaml.Event]]:
    """The events of the only document, from its first node on; none if the text has no document.

    The `with` block must read all events of that node and no more.

    Raises:
        TextError: The text is not YAML (raised at the event where the error is found) or has a second document (raised
            at the end of the block).
    """
    try:
        events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        next(events)  # the start of the stream
        if isinstance(next(events), yaml.StreamEndEvent):
            yield iter(())
            return
        yield events
        next(events)  # the end of the document
        event = next(events)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TextError(f"not YAML: control character {ord(text[error.position]):#04x}", line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else ()
        raise TextError(f"not YAML: {str(error.problem)[:_LONGEST_PROBLEM]}", *place) from None
    except (ValueError, OverflowError):
        # Errors of chr() and int() in the library: escapes above U+10FFFF and very long version numbers.
        raise TextError("not YAML: an escaped character or a version number out of range") from None
    if not isinstance(event, yaml.StreamEndEvent):
        raise TextError("a second document, expected one", line_of(event))


def children(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """The first event of each item of the current list, or of each key and value of the current mapping.

    The caller must read all other events of that node before it requests the next one; after a key it may also read the
    events of its value.
    """
    while not isinstance(event := next(events), yaml.CollectionEndEvent):
        yield event


def line_of(event: yaml.Event) -> int:
    """The line, from 1. Events of a parser always have a mark, although the type stubs allow None."""
    return event.start_mark.line + 1 if event.start_mark else 1
