"""Everything that reports to the assembler: a poller for each collector, and whoever knows the allocations."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from collectors.contract import CollectorSpec, Node
from collectors.identity import machine_identity
from collectors.metric import Cadence
from collectors.simulated import Scenario, ScenarioClock, simulated_spec
from collectors.sysfs import Root
from exporter.assembler import Event
from exporter.attribution.podresources import PodResourcesClient
from exporter.attribution.simulated import SimulatedPods
from exporter.attribution.watcher import KubeletWatcher
from exporter.configuration.settings import KubeletSettings, PollSettings, Settings
from exporter.poller import Poller

_log = logging.getLogger(__name__)

_STOP_SECONDS = 0.5


class Allocations(Protocol):
    """Who publishes who holds what."""

    def start(self) -> None:
        """Begin to publish."""
        ...

    def stop(self) -> None:
        """End; nothing is published afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a daemon looks at.

    Attributes:
        specs: The collectors to run.
        hostname: The machine's own name, the last resort for its identity.
        scenario: Played in place of the collectors and of the kubelet, if there is one.
    """

    specs: Sequence[CollectorSpec]
    hostname: str
    scenario: Scenario | None = None


def intervals(poll: PollSettings) -> dict[Cadence, float]:
    """Seconds between two readings of each cadence."""
    return {
        Cadence.FAST: poll.fast_interval,
        Cadence.MEDIUM: poll.medium_interval,
        Cadence.SLOW: poll.slow_interval,
    }


def node_of(settings: Settings, hostname: str) -> Node:
    """Where the collectors find the machine, and what they are to do there."""
    sysfs, procfs = Root(settings.path.sysfs), Root(settings.path.procfs)
    identity = machine_identity(sysfs, settings.node.name, hostname)
    return Node(sysfs, procfs, identity, settings.collect, settings.amd)


class Inputs:
    """The pollers and the source of allocations.

    Args:
        settings: What they are told.
        hardware: What they look at.
        report: Receives every event; must not block.
    """

    def __init__(self, settings: Settings, hardware: Hardware, report: Callable[[Event], None]) -> None:
        self._report = report
        node = node_of(settings, hardware.hostname)
        self.specs = tuple(hardware.specs)
        self._simulated: SimulatedPods | None = None
        if hardware.scenario is not None:
            clock = ScenarioClock(time.monotonic, time.time)
            self.specs = (simulated_spec(hardware.scenario, clock),)
            self._simulated = SimulatedPods(hardware.scenario, node.identity, clock, report)
        self._pollers = {
            spec.name: Poller(spec.name, spec.create(node), intervals(settings.poll), time.monotonic, report)
            for spec in self.specs
        }
        self._allocations: Allocations = self._simulated or self._watcher(settings.kubelet)

    def start(self) -> None:
        """Begin to report."""
        self._allocations.start()
        for poller in self._pollers.values():
            poller.start()

    def set_intervals(self, poll: PollSettings) -> None:
        """Poll at other intervals from now on."""
        for poller in self._pollers.values():
            poller.set_intervals(intervals(poll))

    def release(self) -> None:
        """Let go of the hardware; who holds it is still asked."""
        for poller in self._pollers.values():
            poller.release()

    def resume(self) -> None:
        """Take the hardware up again."""
        for poller in self._pollers.values():
            poller.resume()

    def set_kubelet(self, kubelet: KubeletSettings) -> None:
        """Ask the kubelet in another way from now on; what is known stays until its first answer."""
        if self._simulated is None:
            self._allocations.stop()
            self._allocations = self._watcher(kubelet)
            self._allocations.start()

    def stop(self) -> None:
        """Stop every part, all of them within a second: a call that hangs in a driver is left behind."""
        for poller in self._pollers.values():
            poller.stop()
        self._allocations.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for name, poller in self._pollers.items():
            if not poller.join(max(0.0, deadline - time.monotonic())):
                fields = {"collector": name}
                _log.warning("collector not closed: its driver call has not returned", extra={"fields": fields})

    def _watcher(self, kubelet: KubeletSettings) -> KubeletWatcher:
        client = PodResourcesClient(kubelet.socket, kubelet.timeout)
        return KubeletWatcher(
            client, interval_seconds=kubelet.interval, hold_seconds=kubelet.hold, publish=self._report
        )
