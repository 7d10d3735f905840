"""The command: what each action of the command line does, and its exit code."""

import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from collectors import registry
from collectors.registry import RegistryError
from exporter import logs
from exporter.c_allocator import use_one_arena
from exporter.configuration.errors import ConfigError
from exporter.configuration.flags import Action, command_line_parser, parse_command_line
from exporter.configuration.load import load_settings
from exporter.configuration.reload import Reload
from exporter.configuration.settings import Settings
from exporter.daemon import Daemon, VersionMismatchError
from exporter.inputs import Hardware
from exporter.output import LineWriter
from exporter.selfmetrics import exporter_version
from exporter.series import ROWS
from exporter.signals import Signals
from exporter.web.handlers import HEALTHY_PATH, READY_PATH
from exporter.web.listen import ListenError

if TYPE_CHECKING:
    from collectors.simulated import Scenario
    from exporter.web.web_reload import WebReload

_log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
EXIT_VERSION_MISMATCH = 4

_EXIT_CODES: Mapping[type[Exception], int] = {
    ConfigError: EXIT_CONFIGURATION,
    ListenError: EXIT_FAILED,
    RegistryError: EXIT_FAILED,
    VersionMismatchError: EXIT_VERSION_MISMATCH,
}
# How long the last log lines may take.
_LOG_SECONDS = 0.5

Write = Callable[[str], object]


def run(arguments: Sequence[str], environ: Mapping[str, str], output: Write, errors: Write, signals: Signals) -> int:
    """Run the command.

    Args:
        arguments: The command line without the program name.
        environ: The environment.
        output: Writes the result of the command.
        errors: Writes log lines and errors; may block.
        signals: What signals request.

    Returns:
        The exit code: 0 on success, 1 when the exporter cannot run or `check` finds errors, 2 when the configuration
        is invalid, 4 when the version of a library differs from its driver's for too long. `conformance` has its own.
    """
    try:
        command = parse_command_line(arguments)
        if command.action is Action.CONFORMANCE:
            return _conformance(command.rest, environ, output, errors)
        if command.action in _PRINTED:
            return _print(_PRINTED[command.action](), output)
        load = partial(load_settings, command.flags, environ, command.file)
        settings = load()
        scenario = None if command.simulate is None else _scenario(command.simulate)
        web = _web(settings)
        if command.action is Action.CHECK_CONFIG:
            return _print("configuration is valid\n", output)
        use_one_arena()
        with _log_lines(settings, errors) as lines:
            hardware = _hardware(settings, scenario, environ)
            if command.action is Action.CHECK:
                return _check(settings, hardware, environ, output, as_json=command.as_json)
            daemon = Daemon(settings, hardware, Reload(load, command.file), signals, lines, web)
            if command.action is Action.ONCE:
                output(daemon.once().decode())
            else:
                daemon.serve()
    except tuple(_EXIT_CODES) as error:
        errors(f"accelerator-exporter: {error}\n")
        return _EXIT_CODES[type(error)]
    return EXIT_OK


def _print(text: str, output: Write) -> int:
    output(text)
    return EXIT_OK


def _check(settings: Settings, hardware: Hardware, environ: Mapping[str, str], output: Write, *, as_json: bool) -> int:
    from exporter.check.command import run_check  # noqa: PLC0415 - the serving daemon does without it

    return run_check(settings, hardware, environ, output, as_json=as_json)


def _conformance(arguments: Sequence[str], environ: Mapping[str, str], output: Write, errors: Write) -> int:
    from exporter.conformance.command import run_conformance  # noqa: PLC0415 - the serving daemon does without it

    return run_conformance(arguments, environ, output, errors)


def _scenario(name: str) -> "Scenario":
    """The scenario of this name; the default one if it is empty.

    Raises:
        ConfigError: It cannot be used.
    """
    from collectors.simulated import DEFAULT_SCENARIO, ScenarioError, load_scenario  # noqa: PLC0415 - 6 MiB, with YAML

    try:
        return load_scenario(name or DEFAULT_SCENARIO)
    except ScenarioError as error:
        raise ConfigError(str(error)) from None


def _web(settings: Settings) -> "WebReload | None":
    """What protects the pages, if there is a web configuration file."""
    if settings.web.config_file is None:
        return None
    from exporter.web.web_reload import WebReload  # noqa: PLC0415 - 0.5 MiB that are not needed without such a file

    return WebReload(settings.web.config_file, (HEALTHY_PATH, READY_PATH))


@contextmanager
def _log_lines(settings: Settings, errors: Write) -> Iterator[LineWriter]:
    """Write log lines from a thread of their own, until the end."""
    lines = LineWriter(errors)
    lines.start()
    logs.configure(settings.log.level, settings.log.format, lines, time.monotonic)
    try:
        yield lines
    finally:
        lines.stop(_LOG_SECONDS)


def _hardware(settings: Settings, scenario: "Scenario | None", environ: Mapping[str, str]) -> Hardware:
    """What is read. Logs which folders of the kernel do not exist."""
    folders = (("path.sysfs", settings.path.sysfs), ("path.procfs", settings.path.procfs))
    for key, folder in folders:
        if scenario is None and not folder.is_dir():
            _log.warning("%s: there is no such folder, so nothing below it can be read: %s", key, folder)
    specs = registry.load(names=settings.collectors)
    excluded = frozenset(registry.installed_names()) - {spec.name for spec in specs}
    return Hardware(specs, socket.gethostname(), scenario, excluded, environ)


def _version() -> str:
    return f"accelerator-exporter {exporter_version()} (Python {sys.version.split()[0]})\n"


def _metrics() -> str:
    """Every metric family, one line each: name, type, what exports it, help."""
    families = [
        (row.name(subject), row.kind.value, ",".join(row.exported_with(subject)) or "always", row.help)
        for row in ROWS
        for subject in row.subjects
    ]
    widths = [max(map(len, column)) for column in zip(*families, strict=True)][:-1]
    return "".join(_lines(families, widths))


def _lines(families: Sequence[tuple[str, ...]], widths: Sequence[int]) -> Iterator[str]:
    for *short, text in families:
        columns = [f"{cell:<{width}}" for cell, width in zip(short, widths, strict=True)]
        yield f"{'  '.join((*columns, text))}\n"


_PRINTED = {
    Action.HELP: lambda: command_line_parser().format_help(),
    Action.VERSION: _version,
    Action.LIST_METRICS: _metrics,
}
