from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.configuration.flags import Action, CommandLine, parse_command_line


def test_without_arguments_the_exporter_runs() -> None:
    assert parse_command_line([]) == CommandLine(Action.RUN, {}, None)


def test_flags_action_and_file_are_told_apart() -> None:
    command = parse_command_line(["--once", "--config.file=/etc/e.yaml", "--log.level", "debug", "--node.name="])
    assert command == CommandLine(Action.ONCE, {"log.level": "debug", "node.name": ""}, Path("/etc/e.yaml"))


@pytest.mark.parametrize("arguments", [["check", "--log.level=debug"], ["--log.level=debug", "check"]])
def test_check_is_a_word_before_or_after_the_flags(arguments: list[str]) -> None:
    assert parse_command_line(arguments) == CommandLine(Action.CHECK, {"log.level": "debug"}, None)
    assert parse_command_line([*arguments, "--json"]).as_json


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
        (["--zzz"], "--zzz: unknown flag, see --help"),
        (["-x"], "-x: unknown flag, see --help"),
        (["--zz\nz"], "--zz\\nz: unknown flag, see --help"),
        (["debug"], 'unexpected argument "debug"; the commands are check and conformance; write --flag=value'),
        ([""], 'unexpected argument ""; the commands are check and conformance; write --flag=value'),
        (["check", "check"], "check: given together with check, expected one of them"),
        (["check", "--once"], "--once: given together with check, expected one of them"),
        (["--json"], "--json: given without check, which prints JSON"),
        (["check", "--json", "--json"], "--json: given 2 times, expected once"),
        (["check", "--jsn"], "--jsn: unknown flag, did you mean --json?"),
        (["--log.level"], "--log.level: expected one argument"),
        (["--log.level", "--once"], "--log.level: expected one argument"),
        (["--once=yes"], "--once: ignored explicit argument 'yes'"),
        (["--log.level=info", "--log.level=debug"], "--log.level: given 2 times, expected once"),
        (["--config.file=a", "--config.file=b"], "--config.file: given 2 times, expected once"),
        (["--config.file="], "--config.file: found nothing, expected the path of a YAML file"),
        (["--simulate.pods=kubelet"], "--simulate.pods: given without --simulate, which starts the simulated node"),
        (["--once", "--version"], "--version: given together with --once, expected one of them"),
    ],
)
def test_a_wrong_command_line_gives_one_line(arguments: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_command_line(arguments)
    assert str(caught.value) == line


def test_the_flag_of_a_list_can_be_repeated() -> None:
    arguments = ["--web.listen-address=:9410", "--web.listen-address=[::1]:9411"]
    assert parse_command_line(arguments).flags == {"web.listen_address": ":9410,[::1]:9411"}


@pytest.mark.parametrize(
    ("arguments", "scenario"),
    [
        ([], None),
        (["--simulate"], ""),
        (["--simulate=mig"], "mig"),
        (["check", "--simulate=mig"], "mig"),
        (["--simulate", "--log.level=debug"], ""),
        (["--simulate", "--simulate.pods=kubelet"], ""),
    ],
)
def test_simulate_takes_a_scenario_or_none(arguments: list[str], scenario: str | None) -> None:
    assert parse_command_line(arguments).simulate == scenario
