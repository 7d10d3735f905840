"""The command line: an action, a configuration file, and a flag for each row of the option table."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

from exporter.configuration.errors import ConfigError, shown, unknown
from exporter.configuration.options import Option
from exporter.configuration.settings import OPTIONS, SECTIONS


class Action(StrEnum):
    """What the program does; the value is the flag without dashes, for `CHECK` and `CONFORMANCE` the word."""

    RUN = "run"
    CHECK = "check"
    CONFORMANCE = "conformance"
    ONCE = "once"
    CHECK_CONFIG = "check-config"
    LIST_METRICS = "list-metrics"
    VERSION = "version"
    HELP = "help"


CHECK_HELP = (
    "Check the node once: print what was found, what is missing and the consequences. Exits with 1 if there is an "
    "error. See docs/check.md."
)
CONFORMANCE_HELP = (
    "Judge the endpoint of an exporter as the AI Conformance programme does. Its flags stand after the word: see "
    "`conformance --help`, and docs/conformance.md."
)
JSON_FLAG = "--json"
JSON_HELP = "With check: print one JSON object instead of tables."
SIMULATE_FLAG = "--simulate"
SIMULATE_HELP = "Serve or check a simulated node: the name of a shipped scenario, or a file. See docs/simulation.md."
CONFIG_FILE_FLAG = "--config.file"
CONFIG_FILE_HELP = "YAML file with the keys of the sections below. By default no file is read."

# What the program can do instead of running until a signal stops it.
ACTIONS = (
    (Action.ONCE, "Read the hardware and the kubelet once, print the metrics and exit."),
    (Action.CHECK_CONFIG, "Check flags, environment and file, and exit."),
    (Action.LIST_METRICS, "Print every metric with its type, its set or option, and its meaning, and exit."),
    (Action.VERSION, "Print the version and exit."),
    (Action.HELP, "Print this help and exit."),
)

_FILE = "config.file"
_SIMULATE = "simulate"
_OF_SIMULATION = f"{_SIMULATE}."  # begins the keys of the options that only a simulated node has
_ACTIONS = "actions"
_JSON = "json"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The parsed command line.

    Attributes:
        action: One action; `Action.RUN` where no other was named.
        flags: Values of option flags by option key, unchecked.
        file: The configuration file, if one was named.
        simulate: The scenario to play in place of the node's own hardware; empty for the default one.
        as_json: True where `check` is to print JSON.
        rest: For `Action.CONFORMANCE` its arguments, unchecked.
    """

    action: Action
    flags: dict[str, str]
    file: Path | None
    simulate: str | None = None
    as_json: bool = False
    rest: tuple[str, ...] = ()


class FlagParser(argparse.ArgumentParser):
    """An argument parser that raises ConfigError where argparse prints its usage and exits.

    Args:
        usage: The form of the command line, with `%(prog)s` for the name of the command.
        description: What the command does.
        epilog: What stands at the end of the help.
    """

    def __init__(self, usage: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog="accelerator-exporter",
            usage=usage,
            description=description,
            epilog=epilog,
            add_help=False,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise the message of argparse as a ConfigError."""
        raise ConfigError(message.removeprefix("argument "))


def command_line_parser() -> FlagParser:
    """The parser of every flag; `format_help()` of it is the text for `--help`."""
    parser = FlagParser(
        "%(prog)s [check] [flags]\n       %(prog)s conformance --url=URL [flags]",
        "Prometheus exporter for the accelerators of a Kubernetes node and the pods that use them.",
        "A flag overrides its environment variable, which overrides the configuration file.",
    )
    actions = parser.add_argument_group("instead of running")
    for action, text in ACTIONS:
        names = ("-h", f"--{action}") if action is Action.HELP else (f"--{action}",)
        actions.add_argument(*names, dest=_ACTIONS, action="append_const", const=action, help=text)
    check = parser.add_argument_group(Action.CHECK.value, CHECK_HELP)
    check.add_argument(JSON_FLAG, dest=_JSON, action="append_const", const="", help=JSON_HELP)
    parser.add_argument_group(Action.CONFORMANCE.value, CONFORMANCE_HELP)
    file = parser.add_argument_group("configuration file")
    file.add_argument(CONFIG_FILE_FLAG, dest=_FILE, action="append", metavar="FILE", help=CONFIG_FILE_HELP)
    simulation = parser.add_argument_group("simulation")
    simulation.add_argument(
        SIMULATE_FLAG, dest=_SIMULATE, action="append", nargs="?", const="", metavar="SCENARIO", help=SIMULATE_HELP
    )
    _add_option_flags(parser)
    return parser


def _add_option_flags(parser: FlagParser) -> None:
    for section in SECTIONS:
        group = parser.add_argument_group(section.name, section.help)
        for option in section.options:
            metavar = option.value_type.placeholder
            group.add_argument(option.flag, dest=option.key, action="append", metavar=metavar, help=_help(option))


def parse_command_line(arguments: Sequence[str]) -> CommandLine:
    """Read the command line, without the name of the command.

    Raises:
        ConfigError: An argument is unknown, lacks its value or is given twice, or two actions are.
    """
    if arguments and arguments[0] == Action.CONFORMANCE:
        return CommandLine(Action.CONFORMANCE, {}, None, rest=tuple(arguments[1:]))
    parsed, rest = command_line_parser().parse_known_args(arguments)
    if Action.HELP in (parsed.actions or ()):
        return CommandLine(Action.HELP, {}, None)
    for argument in rest:
        if argument != Action.CHECK:
            _refuse(argument)
    texts_by_key: dict[str, list[str]] = {key: texts for key, texts in vars(parsed).items() if texts is not None}
    actions = [Action(text) for text in (*rest, *texts_by_key.pop(_ACTIONS, []))]
    for extra in actions[1:]:
        raise ConfigError(f"{_written(extra)}: given together with {_written(actions[0])}, expected one of them")
    lists = {option.key for option in OPTIONS if option.value_type.is_list}
    for key, texts in texts_by_key.items():
        if len(texts) > 1 and key not in lists:
            raise ConfigError(f"{_flag(key)}: given {len(texts)} times, expected once")
    flags = {key: ",".join(texts) for key, texts in texts_by_key.items()}
    file = flags.pop(_FILE, None)
    if file == "":
        raise ConfigError(f"{CONFIG_FILE_FLAG}: found nothing, expected the path of a YAML file")
    simulate = flags.pop(_SIMULATE, None)
    as_json = flags.pop(_JSON, None) is not None
    action = actions[0] if actions else Action.RUN
    if as_json and action is not Action.CHECK:
        raise ConfigError(f"{JSON_FLAG}: given without {Action.CHECK}, which prints JSON")
    _check_simulation(simulate, flags)
    return CommandLine(action, flags, None if file is None else Path(file), simulate, as_json)


def _check_simulation(simulate: str | None, flags: Mapping[str, str]) -> None:
    """Refuse the options of a simulated node without one."""
    for key in flags:
        if simulate is None and key.startswith(_OF_SIMULATION):
            raise ConfigError(f"{_flag(key)}: given without {SIMULATE_FLAG}, which starts the simulated node")


def _refuse(argument: str) -> NoReturn:
    name = argument.partition("=")[0]
    if not name.startswith("-"):
        found = shown(argument) if argument else '""'
        if argument == Action.CONFORMANCE:
            raise ConfigError(f"unexpected argument {found}; it must be the first one")
        commands = f"{Action.CHECK} and {Action.CONFORMANCE}"
        raise ConfigError(f"unexpected argument {found}; the commands are {commands}; write --flag=value")
    known = (
        *(f"--{action}" for action, _ in ACTIONS),
        JSON_FLAG,
        CONFIG_FILE_FLAG,
        SIMULATE_FLAG,
        *(option.flag for option in OPTIONS),
    )
    raise ConfigError(unknown(name, "flag", known, prefix="--"))


def _written(action: Action) -> str:
    return action.value if action is Action.CHECK else f"--{action}"


def _flag(key: str) -> str:
    return next((option.flag for option in OPTIONS if option.key == key), f"--{key}")


def _help(option: Option) -> str:
    default = option.default or (f"the value of {option.default_variable}" if option.default_variable else "none")
    return f"{option.help} Default {default}. Environment: {option.variable}."
