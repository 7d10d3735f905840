"""The command. The only place that exits, and the only one that prints."""

import os
import platform
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from collectors import registry
from collectors.registry import RegistryError
from collectors.simulated import DEFAULT_SCENARIO, ScenarioError, load_scenario
from exporter import logs
from exporter.check.command import run_check
from exporter.configuration.errors import ConfigError
from exporter.configuration.flags import Action, CommandLine, command_line_parser, parse_command_line
from exporter.configuration.load import load_settings
from exporter.configuration.reload import Reload
from exporter.configuration.settings import Settings
from exporter.daemon import Daemon, Release, VersionMismatchError
from exporter.exposition import ROWS
from exporter.inputs import Hardware
from exporter.selfmetrics import exporter_version
from exporter.web.listen import ListenError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
EXIT_VERSION_MISMATCH = 4

_EXIT_CODES: Mapping[type[Exception], int] = {
    ConfigError: EXIT_CONFIGURATION,
    ScenarioError: EXIT_CONFIGURATION,
    ListenError: EXIT_FAILED,
    RegistryError: EXIT_FAILED,
    VersionMismatchError: EXIT_VERSION_MISMATCH,
}


def main() -> None:
    """The entry point: run with the process's own arguments, environment and streams, and exit."""
    sys.exit(run(sys.argv[1:], os.environ, sys.stdout, sys.stderr))


def run(arguments: Sequence[str], environ: Mapping[str, str], output: TextIO, errors: TextIO) -> int:
    """Do what the arguments ask for.

    Args:
        arguments: The command line without the command.
        environ: The environment.
        output: What was asked for goes here.
        errors: Log lines and errors go here.

    Returns:
        The exit code: 0, 1 when it cannot run here or a check finds errors, 2 when the configuration is wrong, 4 when
        a library stays of another version than its driver.
    """
    try:
        command = parse_command_line(arguments)
        if command.action in _PRINTED:
            output.write(_PRINTED[command.action]())
            return EXIT_OK
        settings = load_settings(command.flags, environ, command.file)
        scenario = None if command.simulate is None else load_scenario(command.simulate or DEFAULT_SCENARIO)
        if command.action is Action.CHECK_CONFIG:
            output.write("configuration is valid\n")
            return EXIT_OK
        logs.configure(settings.log.level, settings.log.format, errors, time.monotonic)
        release = _release_signals()
        hardware = Hardware(registry.load(), socket.gethostname(), scenario)
        if command.action is Action.CHECK:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends at once: there is nothing to put in order
            return run_check(settings, hardware, environ, output, as_json=command.as_json)
        daemon = _daemon(command, settings, hardware, environ, release, errors)
        if command.action is Action.ONCE:
            output.write(daemon.once(_stop_signal()).decode())
        else:
            daemon.serve(_stop_signal())
    except tuple(_EXIT_CODES) as error:
        errors.write(f"accelerator-exporter: {error}\n")
        return _EXIT_CODES[type(error)]
    return EXIT_OK


def _daemon(
    command: CommandLine,
    settings: Settings,
    hardware: Hardware,
    environ: Mapping[str, str],
    release: Release,
    errors: TextIO,
) -> Daemon:
    """The daemon, which SIGHUP makes read its configuration again."""
    reload = Reload(lambda: load_settings(command.flags, environ, command.file), command.file)
    signal.signal(signal.SIGHUP, lambda *_: reload.reload_requested.set())
    return Daemon(settings, hardware, reload, release, errors)


def _release_signals() -> Release:
    """What SIGUSR1 and SIGUSR2 ask for. Whoever holds no hardware for long does not look, and is not ended by them."""
    release = Release()

    def ask(number: int, _frame: object) -> None:
        release.wanted = number == signal.SIGUSR1

    signal.signal(signal.SIGUSR1, ask)
    signal.signal(signal.SIGUSR2, ask)
    return release


def _stop_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _version() -> str:
    return f"accelerator-exporter {exporter_version()} (Python {platform.python_version()})\n"


def _metrics() -> str:
    """Every family: name, type, help; one line each."""
    families = [(row.name(subject), row.kind.value, row.help) for row in ROWS for subject in row.subjects]
    width = max(len(name) for name, _, _ in families)
    return "".join(_lines(families, width))


def _lines(families: Sequence[tuple[str, str, str]], width: int) -> Iterator[str]:
    for name, kind, text in families:
        yield f"{name:<{width}}  {kind:<7}  {text}\n"


_PRINTED = {
    Action.HELP: lambda: command_line_parser().format_help(),
    Action.VERSION: _version,
    Action.LIST_METRICS: _metrics,
}
