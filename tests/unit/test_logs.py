import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from exporter.logs import JsonFormatter, LogFormat, LogLevel, RateLimit, TextFormatter, configure

LOGGER = "exporter.test"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, restored afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    logger.handlers[:] = []
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def record(message: str, *arguments: object, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord(LOGGER, level, "", 0, message, arguments, None)
    made.created = 1_767_323_045.678
    made.fields = fields
    return made


def about(field: str, subject: str) -> logging.LogRecord:
    made = record("lost")
    made.fields = {field: subject}
    return made


def text(made: logging.LogRecord) -> str:
    return TextFormatter().format(made)


def failed() -> logging.LogRecord:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("no such\nthing")
    return logging.LogRecord(LOGGER, logging.ERROR, "", 0, "broken", (), (caught.type, caught.value, caught.tb))


def test_a_text_line_has_time_level_logger_message_and_fields() -> None:
    assert text(record("collector %s", "up", collector="nvidia", devices=8, seconds=0.25)) == (
        'ts=2026-01-02T03:04:05.678Z level=info logger=exporter.test msg="collector up" '
        "collector=nvidia devices=8 seconds=0.25"
    )


def test_a_json_line_has_the_same_entries_in_the_same_order() -> None:
    line = JsonFormatter().format(record("collector %s", "up", collector="nvidia", devices=8, seconds=0.25))
    assert list(json.loads(line).items()) == [
        ("ts", "2026-01-02T03:04:05.678Z"),
        ("level", "info"),
        ("logger", "exporter.test"),
        ("msg", "collector up"),
        ("collector", "nvidia"),
        ("devices", 8),
        ("seconds", 0.25),
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("0000:3b:00.0", "0000:3b:00.0"),
        ("/var/lib/kubelet.sock", "/var/lib/kubelet.sock"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("line\nlevel=error msg=forged", '"line\\nlevel=error msg=forged"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("a\u2028b\u202e", '"a\\u2028b\\u202e"'),
        ("K\u00f6ln\udcff", '"K\\u00f6ln\\udcff"'),
        (True, "true"),
        (None, "null"),
        (float("nan"), "nan"),
        (LogLevel.INFO, "info"),
        (b"\xff", "\"b'\\\\xff'\""),
    ],
)
def test_a_value_in_a_text_line_is_plain_or_quoted_and_escaped(value: object, written: str) -> None:
    assert text(record("event", value=value)).endswith(f" msg=event value={written}")


def test_json_line_is_valid_with_non_finite_numbers() -> None:
    assert json.loads(JsonFormatter().format(record("event", value=float("inf"))))["value"] == "inf"


def test_a_long_value_keeps_its_start_and_end() -> None:
    value = json.loads(JsonFormatter().format(record("event", value="a" * 10_000 + "z" * 10_000)))["value"]
    assert value == "a" * 4_096 + "..." + "z" * 4_096


def test_field_cannot_replace_an_entry_of_the_line() -> None:
    assert text(record("event", logger="other", ts=0)) == (
        "ts=2026-01-02T03:04:05.678Z level=info logger=exporter.test msg=event"
    )


def test_a_traceback_is_one_escaped_entry() -> None:
    line = text(failed())
    assert "\n" not in line
    assert ' msg=broken traceback="Traceback (most recent call last):\\n' in line
    assert line.endswith("no such\\\\nthing'\"")
    assert json.loads(JsonFormatter().format(failed()))["traceback"].endswith("no such\\nthing'")


def test_an_event_passes_five_times_then_once_a_minute_with_the_number_suppressed(clock: Clock) -> None:
    limit = RateLimit(clock)
    assert [limit.filter(record("event")) for _ in range(8)] == [True] * 5 + [False] * 3
    clock.now += 59.0
    assert not limit.filter(record("event"))
    clock.now += 1.0
    after = record("event")
    assert limit.filter(after)
    assert text(after).endswith(" msg=event suppressed=4")
    assert not limit.filter(record("event"))


def test_suppressed_count_restarts_and_is_omitted_when_zero(clock: Clock) -> None:
    limit = RateLimit(clock)
    for _ in range(6):
        limit.filter(record("event"))
    clock.now += 3_600.0
    lines = [record("event") for _ in range(6)]
    assert [limit.filter(line) for line in lines] == [True] * 5 + [False]
    assert text(lines[0]).endswith(" suppressed=1")
    assert all("suppressed" not in text(line) for line in lines[1:5])


def test_events_are_distinguished_by_logger_and_template(clock: Clock) -> None:
    limit = RateLimit(clock)
    assert [limit.filter(record("failed: %s", n, seconds=n)) for n in range(6)] == [True] * 5 + [False]
    assert limit.filter(record("other: %s", 1))
    other = record("failed: %s", 1)
    other.name = "exporter.other"
    assert limit.filter(other)


@pytest.mark.parametrize("field", ["collector", "device", "uuid", "where"])
def test_what_happens_to_many_at_once_is_a_line_for_each(clock: Clock, field: str) -> None:
    limit = RateLimit(clock)
    passed = [[limit.filter(about(field, f"gpu-{n}")) for n in range(256)] for _ in range(6)]
    assert passed[0] == [True] * 256
    last = about(field, "gpu-0")
    clock.now += 3_600.0
    assert limit.filter(last)
    assert "suppressed" in text(last)


def test_repeated_lines_about_one_subject_do_not_use_up_those_of_another(clock: Clock) -> None:
    limit = RateLimit(clock)
    first = [limit.filter(record("lost", uuid="gpu-a")) for _ in range(1_000)]
    assert (sum(first), limit.filter(record("lost", uuid="gpu-b"))) == (5, True)


def test_subjects_without_end_are_limited_together_and_counted(clock: Clock) -> None:
    limit = RateLimit(clock)
    passed = sum(limit.filter(record("refused", where=f"{n}" * 300)) for n in range(5_000))
    assert passed == 320
    clock.now += 12.0
    after = record("refused", where="last")
    assert limit.filter(after)
    assert text(after).endswith(f" suppressed={5_000 - 320}")
    assert not limit.filter(record("refused", where="one more"))


def test_debug_lines_are_not_limited(clock: Clock) -> None:
    limit = RateLimit(clock)
    assert all(limit.filter(record("event", level=logging.DEBUG)) for _ in range(100))


def test_oldest_events_are_dropped_first(clock: Clock) -> None:
    limit = RateLimit(clock)
    for _ in range(6):
        limit.filter(record("kept"))
        limit.filter(record("forgotten"))
    for number in range(511):  # an event has a budget of its own, and one for each subject
        assert limit.filter(record(f"event {number}"))
        assert not limit.filter(record("kept"))
    assert limit.filter(record("forgotten"))


def test_threads_share_one_budget(clock: Clock) -> None:
    limit = RateLimit(clock)
    with ThreadPoolExecutor(8) as pool:
        passed = list(pool.map(lambda _: limit.filter(record("event")), range(800)))
    assert sum(passed) == 5


def test_lines_of_at_least_the_level_go_to_the_stream(root: logging.Logger, clock: Clock) -> None:
    stream = io.StringIO()
    configure(LogLevel.WARNING, LogFormat.TEXT, stream, clock)
    logging.getLogger(LOGGER).info("quiet")
    logging.getLogger(LOGGER).warning("loud", extra={"fields": {"device": "0000:3b:00.0"}})
    assert stream.getvalue().endswith(" level=warning logger=exporter.test msg=loud device=0000:3b:00.0\n")
    assert stream.getvalue().count("\n") == 1
    assert len(root.handlers) == 1


@pytest.mark.usefixtures("root")
def test_configuring_again_replaces_the_old_configuration(clock: Clock) -> None:
    first, second = io.StringIO(), io.StringIO()
    configure(LogLevel.INFO, LogFormat.TEXT, first, clock)
    configure(LogLevel.DEBUG, LogFormat.JSON, second, clock)
    logging.getLogger(LOGGER).debug("event")
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["level"] == "debug"


@pytest.mark.usefixtures("root")
def test_configured_logging_is_rate_limited(clock: Clock) -> None:
    stream = io.StringIO()
    configure(LogLevel.INFO, LogFormat.TEXT, stream, clock)
    for number in range(100):
        logging.getLogger(LOGGER).error("failed: %s", number)
    assert stream.getvalue().count("\n") == 5


@pytest.mark.usefixtures("root")
def test_http2_header_codec_does_not_log_at_debug(clock: Clock) -> None:
    stream = io.StringIO()
    configure(LogLevel.DEBUG, LogFormat.TEXT, stream, clock)
    logging.getLogger("hpack.hpack").debug("Encoding a header")
    logging.getLogger("hpack.hpack").warning("worth a line")
    assert stream.getvalue().count("\n") == 1
    assert "worth a line" in stream.getvalue()


@pytest.mark.usefixtures("root")
def test_no_logger_writes_below_the_level(clock: Clock) -> None:
    stream = io.StringIO()
    configure(LogLevel.ERROR, LogFormat.TEXT, stream, clock)
    logging.getLogger("hpack.hpack").warning("below")
    assert stream.getvalue() == ""
