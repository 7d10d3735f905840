"""Everything that reports to the assembler: a poller for each collector, and the source of allocations."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collectors import registry
from collectors.contract import CollectorSpec, Node
from collectors.identity import machine_identity
from collectors.metric import Cadence
from collectors.sysfs import Root
from exporter.assembler import Event
from exporter.attribution.podresources import PodResourcesClient
from exporter.attribution.watcher import KubeletWatcher
from exporter.configuration.settings import KubeletSettings, PollSettings, Settings
from exporter.poller import Poller

if TYPE_CHECKING:
    from collectors.simulated import Scenario
    from exporter.attribution.simulated import SimulatedPods

_log = logging.getLogger(__name__)

_STOP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a daemon reads.

    Attributes:
        specs: The collectors to run.
        hostname: The name of the machine; its identity where no other is known.
        scenario: Replaces the collectors and the kubelet; None without simulation.
        excluded: Names of installed collectors that are not to run.
    """

    specs: Sequence[CollectorSpec]
    hostname: str
    scenario: "Scenario | None" = None
    excluded: frozenset[str] = frozenset()


def intervals(poll: PollSettings) -> dict[Cadence, float]:
    """Seconds between two reads of each cadence."""
    return {
        Cadence.FAST: poll.fast_interval,
        Cadence.MEDIUM: poll.medium_interval,
        Cadence.SLOW: poll.slow_interval,
    }


def node_of(settings: Settings, hostname: str) -> Node:
    """The paths and the identity of the machine, and the options of the collectors."""
    sysfs, procfs = Root(settings.path.sysfs), Root(settings.path.procfs)
    identity = machine_identity(sysfs, settings.node.name, hostname)
    return Node(sysfs, procfs, identity, settings.collect, settings.amd)


class Inputs:
    """The pollers and the source of allocations.

    Args:
        settings: The configuration.
        hardware: The collectors, or the scenario that replaces them.
        report: Receives every event; must not block.
    """

    def __init__(self, settings: Settings, hardware: Hardware, report: Callable[[Event], None]) -> None:
        self._report = report
        self._stop_by: float | None = None  # monotonic seconds
        node = node_of(settings, hardware.hostname)
        self.specs = tuple(hardware.specs)
        simulated: SimulatedPods | None = None
        if hardware.scenario is not None:
            from collectors.simulated import ScenarioClock, simulated_spec  # noqa: PLC0415 - only for a simulated node
            from exporter.attribution import simulated as simulation  # noqa: PLC0415

            clock = ScenarioClock(time.monotonic, time.time)
            self.specs = (simulated_spec(hardware.scenario, clock),)
            simulated = simulation.SimulatedPods(hardware.scenario, node.identity, clock, report)
        self._pollers = {
            spec.name: Poller(spec.name, registry.create(spec, node), intervals(settings.poll), time.monotonic, report)
            for spec in self.specs
        }
        self._allocations: KubeletWatcher | SimulatedPods = simulated or self._watcher(settings.kubelet)

    def start(self) -> None:
        """Start to report."""
        self._allocations.start()
        for poller in self._pollers.values():
            poller.start()

    def set_intervals(self, poll: PollSettings) -> None:
        """Poll at these intervals from now on."""
        for poller in self._pollers.values():
            poller.set_intervals(intervals(poll))

    def release(self) -> None:
        """Release the hardware; allocations are still read."""
        for poller in self._pollers.values():
            poller.release()

    def resume(self) -> None:
        """Open and read the hardware again."""
        for poller in self._pollers.values():
            poller.resume()

    def set_kubelet(self, kubelet: KubeletSettings) -> None:
        """Query the kubelet with these settings from now on; known allocations stay until its first answer."""
        if isinstance(self._allocations, KubeletWatcher):
            self._allocations.stop()
            self._allocations = self._allocations.successor(
                _client(kubelet),
                interval_seconds=kubelet.interval,
                hold_seconds=kubelet.hold,
            )
            self._allocations.start()

    def request_stop(self) -> None:
        """Let the collectors close and their threads end. Returns at once; `stop` waits for them."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + _STOP_SECONDS
        for poller in self._pollers.values():
            poller.stop()

    def stop(self) -> None:
        """Stop every part, all within a second: a thread whose driver call hangs is abandoned."""
        self.request_stop()
        self._allocations.stop()
        for name, poller in self._pollers.items():
            if not poller.join(max(0.0, (self._stop_by or 0.0) - time.monotonic())):
                fields = {"collector": name}
                _log.warning("collector not closed: its driver call has not returned", extra={"fields": fields})

    def _watcher(self, kubelet: KubeletSettings) -> KubeletWatcher:
        return KubeletWatcher(
            _client(kubelet), interval_seconds=kubelet.interval, hold_seconds=kubelet.hold, publish=self._report
        )


def _client(kubelet: KubeletSettings) -> PodResourcesClient:
    return PodResourcesClient(kubelet.socket, kubelet.timeout, max_answer_bytes=kubelet.max_answer_size)
