"""The daemon: connects the parts, runs them until a stop is requested, and stops them in order."""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from collectors.contract import Reason
from collectors.metric import MetricSet
from collectors.sysfs import Root
from exporter import logs
from exporter.assembler import Assembler, AssemblerThread, Clocks, Event, Latest
from exporter.attribution.claims import Claims
from exporter.collector_state import Limits
from exporter.configuration.reload import Reload
from exporter.configuration.settings import PodSource, PollSettings, Settings
from exporter.durations import spell_duration
from exporter.inputs import Hardware, Inputs, claim_rules, intervals
from exporter.orphans import reap_orphans
from exporter.output import LineWriter
from exporter.own_process import OwnProcess
from exporter.process_metrics import ProcessRows, no_rows
from exporter.release_file import ReleaseFileError, read_addresses
from exporter.selfmetrics import SelfMetrics, exporter_version
from exporter.series import Shown
from exporter.signals import Signals
from exporter.snapshot import CollectorHealth
from exporter.text_format import Format
from exporter.views import NATIVE, ViewOptions, load_views
from exporter.web import handlers
from exporter.web.endpoint import Endpoint
from exporter.web.response import Handler
from exporter.web.server import Server

if TYPE_CHECKING:
    from exporter.web.web_reload import WebReload  # loaded only with a web configuration file

_log = logging.getLogger(__name__)

_OWN_PROC = Root(Path("/proc"))  # of this container; `path.procfs` may be that of the host
_STOP_SECONDS = 0.5
_SETTLED_CHECK_SECONDS = 0.02
_CLAIMS_SECONDS = 2.0
_CONFIGURATION_CHECK_SECONDS = 0.5


class VersionMismatchError(Exception):
    """A version mismatch has lasted too long. The text is for people: what, where, what to do."""


def check_version_mismatch(collectors: Iterable[CollectorHealth], now: float, timeout_seconds: float) -> None:
    """Raise an error when a library has differed from its driver for too long: only a restart fixes it.

    A short mismatch is normal: it occurs during a driver upgrade.

    Args:
        collectors: The health of each collector.
        now: Monotonic seconds.
        timeout_seconds: How long a mismatch may last.

    Raises:
        VersionMismatchError: A mismatch has lasted longer.
    """
    for health in collectors:
        failure = health.failure
        if failure is None or failure.reason is not Reason.VERSION_MISMATCH:
            continue
        if now - failure.since > timeout_seconds:
            raise VersionMismatchError(
                f"collector {health.name}: {failure.text}. This has lasted for more than "
                f"{spell_duration(timeout_seconds)} (poll.version_mismatch_timeout). Only a restart of the container "
                "fixes it: the new container gets the library of the present driver"
            )


def _limits(poll: PollSettings) -> Limits:
    ages = {cadence: every + poll.max_age for cadence, every in intervals(poll).items()}
    return Limits(deadline_seconds=poll.deadline, max_age_seconds=ages)


def _simulated(settings: Settings, hardware: Hardware) -> str:
    """What comes from a scenario, in words; empty for nothing."""
    if hardware.scenario is None:
        return ""
    return "devices, pods and values" if settings.simulate.pods is PodSource.SCENARIO else "devices and values"


def _check_command(settings: Settings, hardware: Hardware) -> str:
    """The command that checks this node, for a person. The host name of a pod is the name of the pod."""
    namespace = settings.attribution.own_namespace
    outside = f"kubectl -n {namespace} exec {hardware.hostname} -- " if namespace else ""
    inside = "" if hardware.scenario is None else " --simulate=SCENARIO"
    return f"{outside}{handlers.CHECK_COMMAND}{inside}"


def _shown(settings: Settings, node: str) -> Shown:
    metrics = settings.metrics
    views = load_views(metrics.shown_views, ViewOptions(node, metrics.dcgm_vendors))
    return Shown(settings.labels.ordered, metrics.exported, NATIVE in metrics.shown_views, views)


class Daemon:
    """The whole exporter.

    Args:
        settings: The configuration.
        hardware: The collectors, or the scenario that replaces them.
        reload: Returns new settings when the configuration changes.
        signals: What signals request.
        lines: Receives log lines.
        web: What protects the pages; None for plain HTTP for everyone.
    """

    def __init__(
        self,
        settings: Settings,
        hardware: Hardware,
        reload: Reload,
        signals: Signals,
        lines: LineWriter,
        web: "WebReload | None" = None,
    ) -> None:
        self._settings = settings
        self._lines = lines
        self._reload = reload
        self._signals = signals
        self._release_requests = 0
        self._web = web
        self.latest = Latest()
        process = OwnProcess(_OWN_PROC)
        self._self_metrics = SelfMetrics(process.samples, lambda: reload.successful and (web is None or web.successful))
        self._clocks = Clocks(time.monotonic, time.time)
        self._node = settings.node.name or hardware.hostname
        self._shown = _shown(settings, self._node)
        self._inputs = Inputs(settings, hardware, self._report)
        self._simulated = _simulated(settings, hardware)
        self._check_command = _check_command(settings, hardware)
        self._assembler = AssemblerThread(self._new_assembler(settings), self.latest, time.monotonic)

    def serve(self) -> None:
        """Serve until a signal requests the end.

        Raises:
            ListenError: One of the addresses cannot be listened on.
            VersionMismatchError: The version of a library has differed from its driver's for too long.
        """
        path = self._settings.web.telemetry_path
        pages = {
            path: handlers.metrics(self.latest, self._self_metrics, self._shown),
            "/": self._status_page(path),
            handlers.HEALTHY_PATH: handlers.healthy(self.latest, time.monotonic),
            handlers.READY_PATH: handlers.ready(
                self.latest, requires_devices=self._settings.web.ready_requires_devices
            ),
        }
        server = Server(self._endpoints(pages))
        self._signals.serving = True
        try:
            self._apply_release()
            self._start()
            server.start()
            fields = {"version": exporter_version(), "address": ",".join(server.addresses)}
            _log.info("listening", extra={"fields": fields})
            while not self._signals.stop:
                self._apply_settings(self._reload.changed(self._settings, self._signals.reloads))
                if self._web is not None:
                    self._web.refresh(self._signals.reloads)
                self._apply_release()
                health = self.latest.snapshot.collectors
                check_version_mismatch(health, time.monotonic(), self._settings.poll.version_mismatch_timeout)
                reap_orphans(_OWN_PROC)
                self._signals.wait(_CONFIGURATION_CHECK_SECONDS)
            _log.info("shutting down")
        finally:
            self._inputs.request_stop()  # they end while responses are completed: together this takes at most 2 s
            server.close()
            self._stop()
            self._signals.serving = False

    def _status_page(self, metrics_path: str) -> Handler:
        check = self._check_command
        return handlers.index(
            self.latest, metrics_path, self._node, self._clocks, simulated=self._simulated, check=check
        )

    def _endpoints(self, pages: Mapping[str, Handler]) -> list[Endpoint]:
        settings, web = self._settings.web, self._web
        protection = None if web is None else lambda: web.protection
        protected = [Endpoint(address, pages, protection) for address in settings.listen_address]
        return protected + [Endpoint(address, pages) for address in settings.plain_listen_address]

    def once(self) -> bytes:
        """One exposition, written as soon as every collector and the kubelet have answered, failed or been late."""
        from exporter import exposition  # noqa: PLC0415 - the serving daemon does without prometheus_client

        self._start()
        try:
            while not self._settled():
                time.sleep(_SETTLED_CHECK_SECONDS)
            if self._inputs.resource_slices is not None:
                self._wait_for_snapshot()
            self._wait_for_claims()
            snapshot = self.latest.snapshot
            own = self._self_metrics.samples(snapshot)
            return exposition.render(snapshot, own, Format.TEXT, self._shown)
        finally:
            self._stop()

    def _new_assembler(self, settings: Settings) -> Assembler:
        specs = self._inputs.specs
        prefixes = tuple(prefix for spec in specs for prefix in spec.resource_prefixes)
        # The processes of a scenario do not exist on this machine.
        procfs = Path(os.devnull) if self._simulated else settings.path.procfs
        rows = ProcessRows(Root(procfs)).samples if settings.collect.processes else no_rows
        return Assembler(
            [spec.name for spec in specs],
            prefixes,
            _limits(settings.poll),
            self._clocks,
            rows,
            dra_drivers={spec.name: spec.dra_drivers for spec in specs},
            allocation_energy=MetricSet.BILLING in settings.metrics.exported,
            claims=Claims(claim_rules(settings.attribution), self._inputs.lookups),
            read_now=self._inputs.read_now,
            read_files=self._inputs.read_files,
        )

    def _settled(self) -> bool:
        slices = self._inputs.resource_slices
        known = slices is None or slices.settled
        return self.latest.snapshot.ready and bool(self.latest.snapshot.attribution) and known

    def _wait_for_snapshot(self) -> None:
        """Wait for the next snapshot: it has everything that has been reported until now."""
        now = time.monotonic()
        while self.latest.made_at <= now:
            time.sleep(_SETTLED_CHECK_SECONDS)

    def _wait_for_claims(self) -> None:
        """Wait for what resolves claims after the first answers: CDI files, and a second reading of partitions."""
        ends = time.monotonic() + _CLAIMS_SECONDS
        while self.latest.snapshot.unresolved_claims and time.monotonic() < ends:
            time.sleep(_SETTLED_CHECK_SECONDS)

    def _report(self, event: Event) -> None:
        self._assembler.report(event)

    def _start(self) -> None:
        self._assembler.start()
        self._inputs.start()

    def _stop(self) -> None:
        self._inputs.stop()
        self._assembler.stop(_STOP_SECONDS)

    def _apply_release(self) -> None:
        """Release or resume as the signals request. A release that is revoked before this runs has no effect."""
        requests = self._signals.release_requests
        if requests == self._release_requests:
            return
        self._release_requests = requests
        if self._signals.release:
            self._release()
        else:
            self._inputs.resume()

    def _release(self) -> None:
        """Release the devices in the file, or everything. Nothing changes if the file cannot be read or understood."""
        try:
            addresses = read_addresses(self._settings.release.file)
        except ReleaseFileError as error:
            _log.error("nothing released: %s", error)
            return
        known = {device.device for device in self.latest.snapshot.devices.values()}
        for address in sorted(addresses - known) if known else ():
            _log.warning("no such device, so that nothing is released for it: %s", address)
        self._inputs.release(addresses)

    def _apply_settings(self, settings: Settings | None) -> None:
        """Apply only the settings that have changed; everything else keeps running, with all its counters."""
        if settings is None:
            return
        before, self._settings = self._settings, settings
        if settings.log != before.log:
            logs.configure(settings.log.level, settings.log.format, self._lines, time.monotonic)
        if settings.poll != before.poll:
            self._assembler.report(_limits(settings.poll))
            self._inputs.set_intervals(settings.poll)
        if settings.kubelet != before.kubelet:
            self._inputs.set_kubelet(settings.kubelet)
