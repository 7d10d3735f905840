"""Wires the parts together, runs them until it is told to stop, and stops them in order."""

import logging
import threading
import time
from collections.abc import Sequence

import psutil

from collectors.contract import CollectorSpec, Node
from collectors.identity import machine_identity
from collectors.metric import Cadence
from collectors.sysfs import Root
from exporter import exposition, pages
from exporter.assembler import Assembler, AssemblerThread, Clocks, Latest
from exporter.attribution.podresources import PodResourcesClient
from exporter.attribution.watcher import KubeletWatcher
from exporter.config import Settings
from exporter.http import Server
from exporter.newest import Limits
from exporter.poller import Poller
from exporter.selfmetrics import SelfMetrics, exporter_version, process_samples

_log = logging.getLogger(__name__)

_STOP_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 0.02


class Daemon:
    """The whole exporter.

    Args:
        settings: What it is told to do.
        specs: The collectors to run.
        hostname: The machine's own name, the last resort for its identity.
    """

    def __init__(self, settings: Settings, specs: Sequence[CollectorSpec], hostname: str) -> None:
        self._settings = settings
        self._specs = specs
        self.latest = Latest()
        self._own = SelfMetrics(lambda: process_samples(psutil.Process()))
        intervals = {
            Cadence.FAST: settings.poll.fast_interval,
            Cadence.MEDIUM: settings.poll.medium_interval,
            Cadence.SLOW: settings.poll.slow_interval,
        }
        limits = Limits(
            deadline_seconds=settings.poll.deadline,
            max_age_seconds={cadence: every + settings.poll.max_age for cadence, every in intervals.items()},
        )
        prefixes = tuple(prefix for spec in specs for prefix in spec.resource_prefixes)
        assembler = Assembler([spec.name for spec in specs], prefixes, limits, Clocks(time.monotonic, time.time))
        self._assembler = AssemblerThread(assembler, self.latest, time.monotonic)
        self._pollers = [
            Poller(spec.name, spec.create(_node(settings, hostname)), intervals, time.monotonic, self._assembler.report)
            for spec in specs
        ]
        client = PodResourcesClient(settings.kubelet.socket, settings.kubelet.timeout)
        self._kubelet = KubeletWatcher(
            client,
            interval_seconds=settings.kubelet.interval,
            hold_seconds=settings.kubelet.hold,
            publish=self._assembler.report,
        )

    def serve(self, stop: threading.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            ListenError: The address cannot be listened on.
        """
        path = self._settings.web.telemetry_path
        server = Server(
            self._settings.web.listen_address,
            {
                path: pages.metrics(self.latest, self._own),
                "/": pages.entry(self.latest, path),
                pages.HEALTHY_PATH: pages.healthy(self.latest, time.monotonic),
                pages.READY_PATH: pages.ready(self.latest),
            },
        )
        try:
            self._start()
            server.start()
            fields = {"version": exporter_version(), "address": server.address, "collectors": len(self._pollers)}
            _log.info("accelerator-exporter serves", extra={"fields": fields})
            stop.wait()
            _log.info("accelerator-exporter stops")
        finally:
            server.close()
            self._stop()

    def once(self, stop: threading.Event) -> bytes:
        """One exposition, made as soon as every collector and the kubelet have answered, failed or been late."""
        self._start()
        try:
            while not self._settled() and not stop.wait(_LOOK_AGAIN_SECONDS):
                pass
            snapshot = self.latest.snapshot
            return exposition.render(snapshot, self._own.samples(snapshot), exposition.Format.TEXT)
        finally:
            self._stop()

    def _settled(self) -> bool:
        return self.latest.snapshot.ready and bool(self.latest.snapshot.attribution)

    def _start(self) -> None:
        self._assembler.start()
        self._kubelet.start()
        for poller in self._pollers:
            poller.start()

    def _stop(self) -> None:
        """Stop every part, all of them within a second: a call that hangs in a driver is left behind."""
        for poller in self._pollers:
            poller.stop()
        self._kubelet.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for spec, poller in zip(self._specs, self._pollers, strict=True):
            if not poller.join(max(0.0, deadline - time.monotonic())):
                fields = {"collector": spec.name}
                _log.warning("collector left behind: its call has not returned", extra={"fields": fields})
        self._assembler.stop(_STOP_SECONDS)


def _node(settings: Settings, hostname: str) -> Node:
    sysfs, procfs = Root(settings.path.sysfs), Root(settings.path.procfs)
    return Node(sysfs, procfs, machine_identity(sysfs, settings.node.name, hostname))
