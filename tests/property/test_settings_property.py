from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.configuration.errors import ConfigError
from exporter.configuration.flags import ACTIONS, parse_command_line
from exporter.configuration.load import load_settings
from exporter.configuration.settings import OPTIONS
from exporter.durations import parse_duration, spell_duration

KEYS = st.sampled_from([option.key for option in OPTIONS])
VARIABLES = st.sampled_from([option.variable for option in OPTIONS])
FLAGS = st.sampled_from([option.flag for option in OPTIONS] + [f"--{action}" for action, _ in ACTIONS])
# A property must not fail on a slow machine.
UNHURRIED = settings(deadline=None)
# Pieces of YAML that exercise more of the parser than random characters.
PIECES = st.one_of(
    st.sampled_from([option.section for option in OPTIONS] + [option.name for option in OPTIONS]),
    st.sampled_from([option.default for option in OPTIONS if option.default]),
    st.sampled_from(
        ["\n", "\n  ", "\n\t", ":", ": ", "- ", "? ", "{", "}", "[", "]", ",", "&a ", "*a", "!!int ", "! "]
    ),
    st.sampled_from(
        ["'", '"', "|", ">", "#", "---\n", "...", "%YAML 1.1\n", "%TAG ! a\n", "<<", "~", "\\x4", "\\U", "@"]
    ),
    st.text(max_size=5),
)
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=60)


def assert_one_line(error: ConfigError, *starts: str) -> None:
    assert str(error).startswith(starts)
    assert str(error).isprintable()
    assert len(str(error)) < 2_000


def load_content(content: bytes) -> None:
    with NamedTemporaryFile(suffix=".yaml") as file:
        file.write(content)
        file.flush()
        try:
            load_settings({}, {}, Path(file.name))
        except ConfigError as error:
            assert_one_line(error, f"{file.name}:")


@UNHURRIED
@given(st.binary(max_size=200))
def test_any_bytes_in_a_file_are_accepted_or_refused_in_one_line(content: bytes) -> None:
    load_content(content)


@UNHURRIED
@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_text_like_yaml_is_accepted_or_refused_in_one_line(content: str) -> None:
    load_content(content.encode("utf-8", "surrogatepass"))


@UNHURRIED
@given(st.dictionaries(KEYS, st.text(max_size=60), max_size=4))
def test_any_values_in_known_keys_are_accepted_or_refused_in_one_line(values: dict[str, str]) -> None:
    flags = {option.key: option.flag for option in OPTIONS}
    try:
        load_settings(values, {}, None)
    except ConfigError as error:
        assert_one_line(error, *(f"{flags[key]}: found " for key in values))


@UNHURRIED
@given(st.dictionaries(st.one_of(VARIABLES, TEXTS, TEXTS.map("ACCELERATOR_EXPORTER_".__add__)), TEXTS, max_size=4))
def test_any_environment_is_accepted_or_refused_in_one_line(environ: dict[str, str]) -> None:
    try:
        load_settings({}, environ, None)
    except ConfigError as error:
        assert_one_line(error, "ACCELERATOR_EXPORTER_")


@UNHURRIED
@given(st.lists(st.one_of(FLAGS, TEXTS, st.tuples(FLAGS, TEXTS).map("=".join), TEXTS.map("--".__add__)), max_size=5))
def test_any_command_line_is_parsed_or_refused_in_one_line(arguments: list[str]) -> None:
    try:
        command = parse_command_line(arguments)
    except ConfigError as error:
        assert_one_line(error, "")
    else:
        assert len(command.flags) <= len(arguments)


@UNHURRIED
@given(st.integers(min_value=0, max_value=10**9))
def test_formatted_duration_parses_to_the_same_value(milliseconds: int) -> None:
    assert parse_duration(spell_duration(milliseconds / 1_000)) == pytest.approx(milliseconds / 1_000)
