from pathlib import Path

import pytest

from exporter.config_error import ConfigError
from exporter.flags import CommandLine, parse_command_line
from exporter.options import Action


def test_without_arguments_the_exporter_runs() -> None:
    assert parse_command_line([]) == CommandLine(Action.RUN, {}, None)


def test_flags_action_and_file_are_told_apart() -> None:
    command = parse_command_line(["--once", "--config.file=/etc/e.yaml", "--log.level", "debug", "--node.name="])
    assert command == CommandLine(Action.ONCE, {"log.level": "debug", "node.name": ""}, Path("/etc/e.yaml"))


def test_help_has_a_short_flag() -> None:
    assert parse_command_line(["-h"]).action is Action.HELP


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--web.listen_address=:1"], "--web.listen_address: unknown flag, did you mean --web.listen-address?"),
        (["--web.listen-addres", ":1"], "--web.listen-addres: unknown flag, did you mean --web.listen-address?"),
        (["--web.listen=:1"], "--web.listen: unknown flag, did you mean --web.listen-address?"),
        (["--config.fil=x"], "--config.fil: unknown flag, did you mean --config.file?"),
        (["--chek-config"], "--chek-config: unknown flag, did you mean --check-config?"),
        (["--zzz"], "--zzz: unknown flag, expected one that --help shows"),
        (["-x"], "-x: unknown flag, expected one that --help shows"),
        (["--zz\nz"], "--zz\\nz: unknown flag, expected one that --help shows"),
        (["debug"], 'found "debug", expected flags only; a value follows its flag\'s equals sign'),
        ([""], "found nothing, expected flags only; a value follows its flag's equals sign"),
        (["--log.level"], "--log.level: expected one argument"),
        (["--log.level", "--once"], "--log.level: expected one argument"),
        (["--once=yes"], "--once: ignored explicit argument 'yes'"),
        (["--log.level=info", "--log.level=debug"], "--log.level: given 2 times, expected once"),
        (["--config.file=a", "--config.file=b"], "--config.file: given 2 times, expected once"),
        (["--config.file="], "--config.file: found nothing, expected the path of a YAML file"),
        (["--once", "--version"], "--version: given together with --once, expected one of them"),
    ],
)
def test_a_wrong_command_line_gives_one_line(arguments: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_command_line(arguments)
    assert str(caught.value) == line
