import json
import logging

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.logs import JsonFormatter, TextFormatter

# A property must not fail on a slow machine.
UNHURRIED = settings(deadline=None)
VALUES = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.binary(max_size=20))
FIELDS = st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), VALUES, max_size=4)


def record(message: str, fields: dict[str, object]) -> logging.LogRecord:
    made = logging.LogRecord("exporter.test", logging.INFO, "", 0, "%s", (message,), None)
    made.fields = fields
    return made


@UNHURRIED
@given(st.text(), FIELDS)
def test_json_line_is_one_object_with_message_and_fields(message: str, fields: dict[str, object]) -> None:
    line = JsonFormatter().format(record(message, fields))
    assert line.isascii()
    assert line.isprintable()
    entries = json.loads(line)
    assert entries["msg"] == message
    assert set(entries) == {"ts", "level", "logger", "msg", *fields}


@UNHURRIED
@given(st.text(), FIELDS)
def test_text_line_is_one_line_with_balanced_quotes(message: str, fields: dict[str, object]) -> None:
    line = TextFormatter().format(record(message, fields))
    assert line.isascii()
    assert line.isprintable()
    rest = line.partition(" msg=")[2]
    said, _ = json.JSONDecoder().raw_decode(rest) if rest.startswith('"') else (rest.partition(" ")[0], 0)
    assert said == message
