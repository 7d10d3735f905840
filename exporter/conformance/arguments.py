"""The flags of the command `conformance`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.configuration.errors import ConfigError, shown, unknown
from exporter.configuration.flags import FlagParser
from exporter.configuration.value_types import RefusedError, duration
from exporter.conformance.autoscaling import Autoscaler
from exporter.conformance.metric_names import MetricNames, is_metric_name
from exporter.conformance.scrape import ScrapeTarget, parse_target

_WATCH = duration("10s", "1h")
_OBJECT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_DESCRIPTION = (
    "Judge the endpoint of any exporter as the CNCF Kubernetes AI Conformance programme does. Exits with 0 if it is "
    "conformant, with 1 if not, and with 2 if the flags are wrong or nothing can be reached. See docs/conformance.md."
)
_TEXTS = {
    "--url": ("URL", "What to judge, for example http://localhost:9410/metrics."),
    "--ca-file": ("FILE", "Certificate authorities to trust, for an address with https. By default the system's."),
    "--utilization-metric": ("NAME", "The metric of utilization, if the command chooses another than it should."),
    "--memory-metric": ("NAME", "The metric of used memory, if the command chooses another than it should."),
    "--watch": (
        "DURATION",
        "Read again and again for so long, or until everything is seen, while you start a load: utilization must rise.",
    ),
    "--autoscaling": (
        "NAMESPACE/NAME",
        "Judge also this HorizontalPodAutoscaler. Runs in a pod whose service account may read it.",
    ),
    "--output-dir": ("FOLDER", "Write report.json, e2e.log, results.json, junit.xml and PRODUCT.yaml there."),
}


@dataclass(frozen=True, slots=True)
class Arguments:
    """The parsed command line.

    Attributes:
        target: What to judge.
        names: The metrics that the operator names; empty where not.
        watch_seconds: How long to watch; 0 for not at all.
        autoscaler: The autoscaler to judge, if any.
        output_dir: Where to write the files, if anywhere.
        as_json: Whether to print JSON.
    """

    target: ScrapeTarget
    names: MetricNames
    watch_seconds: float
    autoscaler: Autoscaler | None
    output_dir: Path | None
    as_json: bool


def parser() -> FlagParser:
    """The parser; `format_help()` of it is the text for `--help`."""
    flags = FlagParser("%(prog)s conformance --url=URL [flags]", _DESCRIPTION)
    for flag, (metavar, text) in _TEXTS.items():
        flags.add_argument(flag, action="append", metavar=metavar, help=text)
    flags.add_argument("--json", action="store_true", help="Print one JSON object with the report and the files.")
    flags.add_argument("-h", "--help", action="store_true", help="Print this help and exit.")
    return flags


def parse_arguments(arguments: Sequence[str]) -> Arguments | None:
    """Read the command line, without the words before it.

    Returns:
        None where help is asked for.

    Raises:
        ConfigError: An argument is unknown, wrong, missing or given twice.
    """
    parsed, rest = parser().parse_known_args(arguments)
    if parsed.help:
        return None
    for argument in rest:
        name = argument.partition("=")[0]
        if not name.startswith("-"):
            raise ConfigError(f"unexpected argument {shown(argument)}; write --flag=value")
        raise ConfigError(unknown(name, "flag", (*_TEXTS, "--json", "--help"), prefix="--"))
    texts = {flag: _once(flag, getattr(parsed, flag[2:].replace("-", "_"))) for flag in _TEXTS}
    if not texts["--url"]:
        raise ConfigError("--url: not given, expected the address of the metrics")
    return Arguments(
        parse_target(texts["--url"], _path(texts["--ca-file"])),
        MetricNames(*(_metric(flag, texts[flag]) for flag in ("--utilization-metric", "--memory-metric"))),
        _watch_seconds(texts["--watch"]),
        _autoscaler(texts["--autoscaling"]),
        _path(texts["--output-dir"]),
        parsed.json,
    )


def _once(flag: str, values: list[str] | None) -> str:
    """The value of a flag; empty if it is not given."""
    if values is None:
        return ""
    if len(values) > 1:
        raise ConfigError(f"{flag}: given {len(values)} times, expected once")
    if not values[0]:
        raise ConfigError(f"{flag}: found nothing, expected {_TEXTS[flag][0]}")
    return values[0]


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _metric(flag: str, text: str) -> str:
    if text and not is_metric_name(text):
        raise ConfigError(f"{flag}: found {shown(text)}, expected the name of a metric")
    return text


def _watch_seconds(text: str) -> float:
    try:
        return _WATCH.parse(text) if text else 0.0
    except RefusedError as error:
        advice = f", {error}" if str(error) else ""
        raise ConfigError(f"--watch: found {shown(text)}, expected {_WATCH.expected}{advice}") from None


def _autoscaler(text: str) -> Autoscaler | None:
    namespace, _, name = text.partition("/")
    if text and not (_OBJECT_NAME.fullmatch(namespace) and _OBJECT_NAME.fullmatch(name)):
        raise ConfigError(f"--autoscaling: found {shown(text)}, expected NAMESPACE/NAME of a HorizontalPodAutoscaler")
    return Autoscaler(namespace, name) if text else None
