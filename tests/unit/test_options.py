import ast
import re
from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.configuration.flags import ACTIONS, SIMULATE_FLAG, Action, command_line_parser, parse_command_line
from exporter.configuration.load import load_settings
from exporter.configuration.options import Option
from exporter.configuration.settings import OPTIONS
from exporter.configuration.value_types import FIXED_PATHS, RefusedError, duration, size
from exporter.web import handlers
from tools.gen_configuration import example, main, render

ROOT = Path(__file__).parents[2]
KEYS = [option.key for option in OPTIONS]


def readers(option: Option) -> set[str]:
    """The collectors whose source reads an option of `Node`, and `exporter` if its source reads it of the settings."""
    field = "options" if option.section == "collect" else option.section
    folders = {folder.name: folder for folder in (ROOT / "collectors").iterdir() if (folder / "collector.py").exists()}
    found = {name for name, folder in folders.items() if reads(folder, field, option.name)}
    return found | ({"exporter"} if reads(ROOT / "exporter", option.section, option.name) else set())


def reads(folder: Path, owner: str, name: str) -> bool:
    """Whether a module of the folder reads the attribute `name` of something called `owner`."""
    nodes = (node for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == name
        and ast.unparse(node.value).rpartition(".")[2].lstrip("_") == owner
        for node in nodes
    )


def test_keys_flags_and_variables_are_unique() -> None:
    for names in (KEYS, [option.flag for option in OPTIONS], [option.variable for option in OPTIONS]):
        assert len(set(names)) == len(names)


def test_flag_and_variable_follow_from_the_key() -> None:
    address = OPTIONS[0]
    assert address.key == "web.listen_address"
    assert address.flag == "--web.listen-address"
    assert address.variable == "ACCELERATOR_EXPORTER_WEB_LISTEN_ADDRESS"


def test_the_web_configuration_has_the_flag_of_other_exporters() -> None:
    (option,) = [option for option in OPTIONS if option.key == "web.config_file"]
    assert option.flag == "--web.config.file"
    assert option.variable == "ACCELERATOR_EXPORTER_WEB_CONFIG_FILE"
    command = parse_command_line(["--web.config.file=web.yml"])
    assert load_settings(command.flags, {}, None).web.config_file == Path("web.yml")


def test_help_is_whole_sentences() -> None:
    assert [option.key for option in OPTIONS if not re.fullmatch(r"([A-Z]|text:).*\.", option.help)] == []


def test_an_option_without_a_default_has_an_example() -> None:
    assert [option.key for option in OPTIONS if bool(option.default) == bool(option.example)] == []


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.read_by], ids=lambda option: option.key)
def test_an_option_of_collectors_names_who_reads_it(option: Option) -> None:
    assert readers(option) == set(option.read_by)


def test_the_flag_of_every_option_reaches_the_settings() -> None:
    texts = {option.key: option.default or option.example for option in OPTIONS}
    command = parse_command_line([SIMULATE_FLAG, *(f"{option.flag}={texts[option.key]}" for option in OPTIONS)])
    assert (command.flags, command.action) == (texts, Action.RUN)
    for option in OPTIONS:
        with pytest.raises(ConfigError, match=f"^{option.flag}: found "):
            load_settings({option.key: "\0"}, {}, None)


def test_help_names_every_flag_with_variable_and_default() -> None:
    text = " ".join(command_line_parser().format_help().split())
    expected = [
        line
        for option in OPTIONS
        for line in (
            f"{option.flag} {option.value_type.placeholder}",
            f"Environment: {option.variable}.",
            f"Default {option.default or ('the value of NODE_NAME' if option.default_variable else 'none')}.",
        )
    ]
    assert [line for line in expected if line not in text] == []


@pytest.mark.parametrize(
    "action", [action for action in Action if action not in (Action.RUN, Action.CHECK, Action.CONFORMANCE)]
)
def test_every_action_has_a_flag(action: Action) -> None:
    assert parse_command_line([f"--{action.value}"]).action is action
    assert action in [row for row, _ in ACTIONS]


def test_the_fixed_paths_are_those_that_the_server_has() -> None:
    assert FIXED_PATHS == ("/", handlers.HEALTHY_PATH, handlers.READY_PATH)


def test_bounds_of_durations_are_included() -> None:
    value_type = duration("1s", "1m")
    assert (value_type.parse("1s"), value_type.parse("60s")) == (1.0, 60.0)
    for text in ("999ms", "1m1ms"):
        with pytest.raises(RefusedError):
            value_type.parse(text)


@pytest.mark.parametrize(
    ("text", "found"), [("1MiB", 1 << 20), ("1024KiB", 1 << 20), ("1025KiB", 1_049_600), ("64MiB", 64 << 20)]
)
def test_sizes_have_a_unit(text: str, found: int) -> None:
    assert size("1MiB", "64MiB").parse(text) == found


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("16", "did you mean 16MiB?"),
        ("2048", "did you mean 2048KiB?"),
        ("1023KiB", ""),
        ("65MiB", ""),
        ("16M", ""),
        ("16MB", ""),
        ("16 MiB", ""),
        ("1.5MiB", ""),
        ("-1MiB", ""),
        ("\u0661MiB", ""),
        ("0x10MiB", ""),
        ("9" * 5000 + "MiB", ""),
        ("16777216", ""),
        ("", ""),
    ],
)
def test_other_texts_are_no_sizes(text: str, proposal: str) -> None:
    with pytest.raises(RefusedError, match=f"^{re.escape(proposal)}$"):
        size("1MiB", "64MiB").parse(text)


def test_a_bound_that_is_no_size_is_a_mistake_of_the_table() -> None:
    with pytest.raises(ValueError, match="the bound 5 is no size"):
        size("5", "1MiB")


def test_a_bound_that_is_no_duration_is_a_mistake_of_the_table() -> None:
    with pytest.raises(ValueError, match="the bound 5 is no duration"):
        duration("5", "1m")


def test_the_document_has_a_row_for_every_option() -> None:
    page = render()
    rows = [f"| `{option.key}` | `{option.flag}` | `{option.variable}` |" for option in OPTIONS]
    assert [row for row in rows if row not in page] == []


def test_the_document_holds_the_example() -> None:
    assert f"```yaml\n{example()}```" in render()


def test_a_document_out_of_date_is_told_in_one_line_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "configuration.md"
    assert main(["--check"], path) == 1
    path.write_text(render() + "by hand\n")
    assert main(["--check"], path) == 1
    assert path.read_text().endswith("by hand\n")
    assert capsys.readouterr().out == "docs/configuration.md is out of date: run make docs\n" * 2
    assert main([], path) == 0
    assert main(["--check"], path) == 0
    assert path.read_text() == render()
