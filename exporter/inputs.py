"""Everything that reports to the assembler: a poller for each collector, and the source of allocations."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from collectors import registry
from collectors.contract import CollectorSpec, Node
from collectors.identity import machine_identity
from collectors.metric import Cadence
from collectors.sysfs import Root
from exporter.assembler import Event
from exporter.attribution.cdi_reader import CdiReader
from exporter.attribution.cdi_specs import CdiSpecs
from exporter.attribution.claim_lookups import LookupsChanged
from exporter.attribution.claim_resolution import Lookups
from exporter.attribution.claim_users import ClaimRules
from exporter.attribution.podresources import PodResourcesClient
from exporter.attribution.watcher import AttributionState, KubeletWatcher
from exporter.configuration.settings import AttributionSettings, KubeletSettings, PodSource, PollSettings, Settings
from exporter.poller import Poller
from exporter.views import sets_read_for

if TYPE_CHECKING:
    from collectors.simulated import Scenario
    from exporter.attribution.resource_slices import ResourceSlices
    from exporter.attribution.simulated import SimulatedPods

_log = logging.getLogger(__name__)

_STOP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a daemon reads.

    Attributes:
        specs: The collectors to run.
        hostname: The name of the machine; its identity where no other is known.
        scenario: Replaces the collectors, and the kubelet too unless `simulate.pods` names it; None without simulation.
        excluded: Names of installed collectors that are not to run.
        environ: The environment; in a pod, it has the address of the API server.
    """

    specs: Sequence[CollectorSpec]
    hostname: str
    scenario: "Scenario | None" = None
    excluded: frozenset[str] = frozenset()
    environ: Mapping[str, str] = field(default_factory=dict)


def intervals(poll: PollSettings) -> dict[Cadence, float]:
    """Seconds between two reads of each cadence."""
    return {
        Cadence.FAST: poll.fast_interval,
        Cadence.MEDIUM: poll.medium_interval,
        Cadence.SLOW: poll.slow_interval,
    }


def claim_rules(attribution: AttributionSettings) -> ClaimRules:
    """Whose resource claims do not count."""
    return ClaimRules(attribution.own_namespace, attribution.ignored_drivers)


def node_of(settings: Settings, hostname: str) -> Node:
    """The paths and the identity of the machine, and the options of the collectors."""
    sysfs, procfs = Root(settings.path.sysfs), Root(settings.path.procfs)
    identity = machine_identity(sysfs, settings.node.name, hostname)
    metrics = settings.metrics
    collect = replace(settings.collect, sets=metrics.exported | sets_read_for(metrics.shown_views))
    return Node(sysfs, procfs, identity, collect, settings.amd)


class Inputs:
    """The pollers and the source of allocations.

    Args:
        settings: The configuration.
        hardware: The collectors, or the scenario that replaces them.
        report: Receives every event; must not block.

    Attributes:
        specs: The collectors.
        lookups: What the devices of resource claims can be looked up in.
        resource_slices: The part of it that the API server knows; None where it is not read.
    """

    def __init__(self, settings: Settings, hardware: Hardware, report: Callable[[Event], None]) -> None:
        self._report = report
        self._stop_by: float | None = None  # monotonic seconds
        self.resource_slices = resource_slices_of(settings, hardware, lambda: report(LookupsChanged()))
        node = node_of(settings, hardware.hostname)
        self.specs = tuple(hardware.specs)
        simulated: SimulatedPods | None = None
        if hardware.scenario is not None:
            from collectors.simulated import ScenarioClock, simulated_spec  # noqa: PLC0415 - only for a simulated node
            from exporter.attribution import simulated as simulation  # noqa: PLC0415

            clock = ScenarioClock(time.monotonic, time.time)
            self.specs = (simulated_spec(hardware.scenario, clock),)
            if settings.simulate.pods is PodSource.SCENARIO:
                simulated = simulation.SimulatedPods(hardware.scenario, node.identity, clock, report)
        self._pollers = {
            spec.name: Poller(spec.name, registry.create(spec, node), intervals(settings.poll), time.monotonic, report)
            for spec in self.specs
        }
        self._cdi = CdiReader(CdiSpecs(settings.attribution.cdi_dirs), lambda: report(LookupsChanged()))
        self.lookups = Lookups(self._cdi if simulated is None else None, self.resource_slices)
        self._allocations: KubeletWatcher | SimulatedPods = simulated or self._watcher(settings.kubelet)

    def start(self) -> None:
        """Start to report."""
        self._allocations.start()
        if self.resource_slices is not None:
            self.resource_slices.start()
        for poller in self._pollers.values():
            poller.start()

    def read_now(self, collector: str) -> None:
        """Call a collector out of turn."""
        self._pollers[collector].read_now()

    def read_files(self) -> None:
        """Look at the CDI files again."""
        self._cdi.read_again()

    def set_intervals(self, poll: PollSettings) -> None:
        """Poll at these intervals from now on."""
        for poller in self._pollers.values():
            poller.set_intervals(intervals(poll))

    def release(self, devices: frozenset[str]) -> None:
        """Release devices, and resume reading the others; allocations are still read.

        Args:
            devices: Their PCI addresses; empty for the whole hardware.
        """
        for poller in self._pollers.values():
            poller.release(devices)

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
        self._cdi.stop()
        if self.resource_slices is not None:
            self.resource_slices.stop()
        for name, poller in self._pollers.items():
            if not poller.join(max(0.0, (self._stop_by or 0.0) - time.monotonic())):
                fields = {"collector": name}
                _log.warning("collector not closed: its driver call has not returned", extra={"fields": fields})

    def _watcher(self, kubelet: KubeletSettings) -> KubeletWatcher:
        return KubeletWatcher(
            _client(kubelet),
            interval_seconds=kubelet.interval,
            hold_seconds=kubelet.hold,
            publish=self._report_allocations,
        )

    def _report_allocations(self, state: AttributionState) -> None:
        if self.resource_slices is not None and state.holdings is not None:
            self.resource_slices.follow(state.claim_devices)
        self._cdi.follow(state.claim_devices)
        self._report(state)


def _client(kubelet: KubeletSettings) -> PodResourcesClient:
    return PodResourcesClient(kubelet.socket, kubelet.timeout, max_answer_bytes=kubelet.max_answer_size)


def resource_slices_of(settings: Settings, hardware: Hardware, changed: Callable[[], None]) -> "ResourceSlices | None":
    """What reads the API server; None unless it is asked for, and for the pods of a scenario, which are in no cluster.

    Args:
        settings: The configuration.
        hardware: What the daemon reads.
        changed: Called after an answer may have changed, by any thread; must not block.
    """
    own_pods = hardware.scenario is not None and settings.simulate.pods is PodSource.SCENARIO
    if own_pods or not settings.attribution.resource_slices:
        return None
    from exporter.attribution.resource_slices import resource_slices_of_pod  # noqa: PLC0415 - its TLS costs memory

    return resource_slices_of_pod(hardware.environ, settings.node.name, changed)
