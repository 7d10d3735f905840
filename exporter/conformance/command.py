"""The command `conformance`: reads an endpoint, judges it, prints a report, writes files. Ends in bounded time."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from exporter.attribution.kubernetes_api import ApiServer, KubernetesApi, server_of_pod
from exporter.configuration.errors import ConfigError
from exporter.conformance.accelerator_metrics import accelerator_metrics_test, draft_verdicts
from exporter.conformance.arguments import Arguments, parse_arguments, parser
from exporter.conformance.autoscaling import ScalingWatch
from exporter.conformance.evidence import evidence_files, report_json, write_files
from exporter.conformance.format_checks import OPENMETRICS_ACCEPTED, format_test
from exporter.conformance.load_watch import BASELINE_SCRAPES, LoadWatch
from exporter.conformance.metric_names import choose, official_flags
from exporter.conformance.official import DRAFT_1, DRAFT_2, Draft, OfficialSample, read_samples
from exporter.conformance.outcome import ConformanceTest
from exporter.conformance.report import Report, render
from exporter.conformance.scrape import DEADLINE_SECONDS, Page, ScrapeTarget, UnreachableError, every_target, read_page
from exporter.selfmetrics import exporter_version

_CONFORMANT = 0
_NOT_CONFORMANT = 1
_NOT_JUDGED = 2
_INTERVAL_SECONDS = 1.0
_METRICS_PATH = "/metrics"

Write = Callable[[str], object]


class Scraping(NamedTuple):
    """How the endpoint is read.

    Attributes:
        deadline_seconds: For each time that it is read.
        interval_seconds: Between two of them, while watching.
        clock: Monotonic seconds.
        sleep: Waits for some seconds.
        targets: Every exporter behind a name, for the load: the pod that causes it can be on any node.
    """

    deadline_seconds: float = DEADLINE_SECONDS
    interval_seconds: float = _INTERVAL_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    targets: Callable[[ScrapeTarget], Sequence[ScrapeTarget]] = every_target


_SCRAPING = Scraping()


def run_conformance(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    output: Write,
    errors: Write,
    *,
    server: ApiServer | None = None,
    scraping: Scraping = _SCRAPING,
) -> int:
    """Judge an endpoint.

    Args:
        arguments: The command line after `conformance`.
        environ: The environment, which says where the API server is.
        output: Writes the report.
        errors: Writes progress, and why nothing could be judged.
        server: The API server in place of that of the environment.
        scraping: How the endpoint is read.

    Returns:
        The exit code: 0 if it is conformant, 1 if not, 2 if nothing could be judged.
    """
    try:
        parsed = parse_arguments(arguments)
        if parsed is None:
            output(parser().format_help())
            return _CONFORMANT
        report = _Run(parsed, errors, scraping).report(server or server_of_pod(environ))
        files = evidence_files(report)
        content = report_json(report, files)
        if parsed.output_dir is not None:
            write_files(parsed.output_dir, {"report.json": content, **files})
    except (ConfigError, UnreachableError) as error:
        errors(f"accelerator-exporter: {error}\n")
        return _NOT_JUDGED
    output(content if parsed.as_json else render(report))
    return _CONFORMANT if report.conformant else _NOT_CONFORMANT


class _Run:
    """One run.

    Args:
        arguments: What to judge.
        progress: Writes lines for the operator.
        scraping: How the endpoint is read.
    """

    def __init__(self, arguments: Arguments, progress: Write, scraping: Scraping) -> None:
        self._arguments = arguments
        self._progress = progress
        self._scraping = scraping

    def report(self, server: ApiServer | None) -> Report:
        """Read and judge.

        Args:
            server: The API server; None if none is known.

        Raises:
            ConfigError: An autoscaler is to be judged, and no API server is known.
            UnreachableError: The endpoint cannot be reached.
        """
        began, started = datetime.now(UTC), self._scraping.clock()
        target = self._arguments.target
        scaling = self._scaling(server)
        page = self._read(target)
        samples = _official(page, DRAFT_2)
        names = choose(samples, self._arguments.names)
        tests = [accelerator_metrics_test(page, samples, names)]
        if not page.problem:
            tests.append(format_test(page, self._read(target, OPENMETRICS_ACCEPTED), names))
            tests += self._watched(LoadWatch(names.utilization), scaling)
        return Report(
            version=exporter_version(),
            url=target.url,
            began=began,
            seconds=self._scraping.clock() - started,
            drafts=draft_verdicts(page, _official(page, DRAFT_1), samples, names),
            flags=official_flags(target, names),
            notes=_notes(target),
            tests=tuple(tests),
        )

    def _read(self, target: ScrapeTarget, accept: str = "") -> Page:
        scraping = self._scraping
        return read_page(target, accept, deadline_seconds=scraping.deadline_seconds, clock=scraping.clock)

    def _scaling(self, server: ApiServer | None) -> ScalingWatch | None:
        if self._arguments.autoscaler is None:
            return None
        if server is None:
            raise ConfigError(
                "--autoscaling: there is no KUBERNETES_SERVICE_HOST; run it in a pod, see docs/conformance.md"
            )
        return ScalingWatch(KubernetesApi(server), self._arguments.autoscaler)

    def _watched(self, load: LoadWatch, scaling: ScalingWatch | None) -> list[ConformanceTest]:
        """The results of watching, or of one look at the autoscaler."""
        seconds = self._arguments.watch_seconds
        if scaling is not None:
            scaling.observe()
        if seconds:
            self._watch(load, scaling)
        loads = [load.test(seconds)] if seconds else []
        return loads + ([scaling.test(seconds)] if scaling is not None else [])

    def _watch(self, load: LoadWatch, scaling: ScalingWatch | None) -> None:
        """Read before and during a load, until everything is seen or the time is over."""
        ends = self._scraping.clock() + self._arguments.watch_seconds
        for _ in range(BASELINE_SCRAPES):
            self._scraping.sleep(self._scraping.interval_seconds)
            load.add(self._samples(ends))
        self._progress("Read the utilization before the load. Start the load now.\n")
        said = False
        while self._scraping.clock() < ends and not (load.seen and (scaling is None or scaling.seen)):
            self._scraping.sleep(self._scraping.interval_seconds)
            if not load.seen:
                load.add(self._samples(ends))
            elif not said:
                said = True
                self._progress("Utilization has risen. Keep the load until there are more replicas, then end it.\n")
            if scaling is not None:
                scaling.observe()

    def _samples(self, ends: float) -> list[OfficialSample]:
        """The samples of one more scrape of every exporter; none of one that fails, as a gap in Prometheus.

        Exporters that are not reached before the end of the watch are left out: each of many may hang.
        """
        samples: list[OfficialSample] = []
        for target in self._scraping.targets(self._arguments.target):
            if self._scraping.clock() >= ends:
                break
            with suppress(UnreachableError):
                samples += _official(self._read(target), DRAFT_2)
        return samples


def _official(page: Page, draft: Draft) -> list[OfficialSample]:
    """What a draft of the official test reads; nothing of an answer that cannot be used, which may be very long."""
    return [] if page.problem else read_samples(page.body.decode("utf-8", "replace"), draft)


def _notes(target: ScrapeTarget) -> tuple[str, ...]:
    """What keeps the newer draft from reading this endpoint although its metrics pass."""
    notes = []
    if target.scheme != "http":
        notes.append("the newer draft speaks plain HTTP only: offer a port without TLS to it")
    if target.path != _METRICS_PATH:
        notes.append(f"the newer draft reads the path {_METRICS_PATH} only, and this is {target.path}")
    if not all(target.service):
        notes.append("replace NAMESPACE and SERVICE, and the port if that of the Service is another")
    return tuple(notes)
