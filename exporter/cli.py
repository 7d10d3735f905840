"""The command line entry point: the only module that exits the process, and the only one that prints."""

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
    """Run with the arguments, environment and streams of the process, then exit."""
    sys.exit(run(sys.argv[1:], os.environ, sys.stdout, sys.stderr))


def run(arguments: Sequence[str], environ: Mapping[str, str], output: TextIO, errors: TextIO) -> int:
    """Run the command.

    Args:
        arguments: The command line without the program name.
        environ: The environment.
        output: Receives the result of the command.
        errors: Receives log lines and errors.

    Returns:
        The exit code: 0 on success, 1 when the exporter cannot run or `check` finds errors, 2 when the configuration
        is invalid, 4 when the version of a library differs from its driver's for too long.
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
        specs = registry.load(names=settings.collectors)
        excluded = frozenset(registry.installed_names()) - {spec.name for spec in specs}
        hardware = Hardware(specs, socket.gethostname(), scenario, excluded)
        if command.action is Action.CHECK:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends the process at once: nothing needs to be closed
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
    """The daemon. SIGHUP makes it reload its configuration."""
    reload = Reload(lambda: load_settings(command.flags, environ, command.file), command.file)
    signal.signal(signal.SIGHUP, lambda *_: reload.reload_requested.set())
    return Daemon(settings, hardware, reload, release, errors)


def _release_signals() -> Release:
    """The flag that SIGUSR1 sets and SIGUSR2 clears. `check` and `--once` ignore it; the signals do not end them."""
    release = Release()

    def request(number: int, _frame: object) -> None:
        release.requested = number == signal.SIGUSR1

    signal.signal(signal.SIGUSR1, request)
    signal.signal(signal.SIGUSR2, request)
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
    """Every metric family, one line each: name, type, help."""
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
