"""Combines the reports of the collectors and of the kubelet into the next snapshot. The only owner of this state."""

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import NamedTuple

from collectors import catalog
from collectors.condition import HARDWARE, CriticalEvent
from collectors.contract import Process, Sample, SubjectKey, subjects_of
from collectors.metric import Cadence
from exporter.accounting import Accounting
from exporter.attribution import join
from exporter.attribution.claim_lookups import LookupsChanged
from exporter.attribution.claims import Claims
from exporter.attribution.finished_pods import CurrentHolders
from exporter.attribution.holding import HoldingGroup
from exporter.attribution.inventory import Inventory
from exporter.attribution.unresolved_log import UnmatchedLog
from exporter.attribution.watcher import AttributionState
from exporter.c_allocator import return_free_memory
from exporter.collector_state import CollectorState, Limits
from exporter.device_log import DeviceLog
from exporter.few_names import counted_by_few
from exporter.poller import CallStarted, DevicesReleased, PollerEvent, Released
from exporter.precedence import Exported, Listing, with_exported_uuids, without_duplicates
from exporter.process_metrics import no_rows
from exporter.sample_group import FollowedSeries, SampleGroup, samples_of
from exporter.snapshot import RECENT_SECONDS, Allocation, AttributionHealth, HolderSample, RecentEvent, Snapshot

_log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0

Event = PollerEvent | AttributionState | LookupsChanged | Limits


def _nothing(*_: str) -> None:
    """Used where no collector can be called out of turn, and where no files are read."""


class Clocks(NamedTuple):
    """The clocks of the assembler.

    Attributes:
        monotonic: Seconds that never fall; ages and integrals use it.
        wall: Unix seconds; only exported timestamps use it.
    """

    monotonic: Callable[[], float]
    wall: Callable[[], float]


class Assembler:
    """Turns events into snapshots. One thread calls every method and owns all state.

    Args:
        collectors: Names of the collectors whose calls are reported, in the order of their precedence.
        resource_prefixes: Kubernetes resources whose ids should match a device.
        dra_drivers: The DRA drivers of each collector's devices, by collector.
        limits: Deadline and ages of readings.
        clocks: The current time.
        process_rows: Returns the samples of single processes, where they are enabled.
        allocation_energy: Whether the energy of allocations is exported.
        claims: Resolves the devices of resource claims; without it, only by their names.
        read_now: Has a collector called out of turn, by its name; must not block.
        read_files: Has the CDI files looked at again, and `LookupsChanged` reported then; must not block.
    """

    def __init__(  # noqa: PLR0913 - what it joins, and the two opt-in kinds of series
        self,
        collectors: Sequence[str],
        resource_prefixes: tuple[str, ...],
        limits: Limits,
        clocks: Clocks,
        process_rows: Callable[[Sequence[Process]], tuple[Sample, ...]] = no_rows,
        *,
        dra_drivers: Mapping[str, tuple[str, ...]] | None = None,
        allocation_energy: bool = False,
        claims: Claims | None = None,
        read_now: Callable[[str], None] = _nothing,
        read_files: Callable[[], None] = _nothing,
    ) -> None:
        self._states = {name: CollectorState(name, limits, clocks.wall) for name in collectors}
        self._resource_prefixes = resource_prefixes
        self._dra_drivers = dra_drivers or {}
        self._accounting = Accounting(limits.max_age_seconds[Cadence.FAST], clocks.wall)
        self._clocks = clocks
        self._process_rows = process_rows
        self._allocation_energy = allocation_energy
        self._attribution: AttributionState | None = None
        self._current_holders = CurrentHolders()
        self._claims = claims or Claims()
        self._unmatched_log = UnmatchedLog()
        self._read_now, self._read_files = read_now, read_files
        self._allocations: tuple[Allocation, ...] | None = None
        self._join_result: join.JoinResult | None = None
        self._holding_subjects: Mapping[HoldingGroup, SubjectKey] = {}
        self._compute_ratios: dict[SubjectKey, float] = {}
        self._exported: Exported | None = None
        self._listings_exported: Sequence[Listing] = ()
        self._occupancy: SampleGroup[Sample] = SampleGroup.of(())
        self._occupancy_made_of: tuple[Exported, join.JoinResult | None] | None = None
        self._listings = {name: Listing() for name in self._states}
        self._followed = FollowedSeries()
        self._device_log = DeviceLog(clocks.monotonic)
        self._events: dict[tuple[str, str, str], tuple[CriticalEvent, float]] = {}  # the last of each device and code

    def apply(self, event: Event) -> None:
        """Apply one report, or new limits."""
        if isinstance(event, Limits):
            now = self._clocks.monotonic()
            for state in self._states.values():
                state.set_limits(now, event)
            self._accounting.set_max_gap(now, event.max_age_seconds[Cadence.FAST])
        elif isinstance(event, AttributionState):
            self._change_allocations(event)
        elif isinstance(event, LookupsChanged):
            self._change_shares()
        elif isinstance(event, CallStarted):
            self._states[event.collector].started(event)
        elif isinstance(event, Released | DevicesReleased):
            self._record_release(event)
        else:
            state = self._states[event.collector]
            before = state.listed
            accepted = state.ended(event)
            if state.listed != before:
                self._apply_precedence()
            if event.reading is not None:
                self._device_log.add(accepted.events)
                self._remember_events(accepted.events)
                exported = replace(accepted, samples=state.exported(accepted.samples))
                self._accounting.add_readings(event.ended, exported)
            if state.listed != before or Cadence.SLOW in event.due:
                self._change_shares()

    def snapshot(self) -> Snapshot:
        """A snapshot of the current state. What has happened to devices since the last one is logged."""
        now = self._clocks.monotonic()
        for state in self._states.values():
            state.check_deadline(now)
        self._accounting.add_allocations(now, self._allocations)
        exported = self._exported_now()
        self._accounting.forget(now, exported.subjects)
        groups = {cadence: self._live(now, cadence) for cadence in Cadence}
        # What is integrated and what holders use is all read at the fast cadence.
        read = samples_of(groups[Cadence.FAST])
        counted = SampleGroup.of(self._accounting.samples(read))
        fast = read + counted.samples
        processes = tuple(process for state in self._states.values() for process in state.processes(now))
        present = None
        if self._allocations is not None:
            present = tuple(each for each in self._allocations if each.subject in exported.subjects)
        groups[Cadence.FAST].append(counted)
        of_devices = [*chain(*groups.values()), self._occupancy_of(exported)]
        of_processes = SampleGroup.of(self._process_rows(processes))
        of_holders = SampleGroup.of(self._holder_samples(present or (), fast, exported))
        snapshot = Snapshot(
            devices=exported.devices,
            partitions=exported.partitions,
            samples=samples_of(of_devices),
            allocations=present,
            holder_samples=of_holders.samples,
            processes=processes,
            process_samples=of_processes.samples,
            collectors=tuple(state.health(now) for state in self._states.values()),
            attribution=self._attribution_health(),
            unmatched=counted_by_few(self._join_result.unmatched.by_resource()) if self._join_result else {},
            unresolved_claims=dict(self._join_result.unresolved_claims) if self._join_result else {},
            ready=all(state.settled for state in self._states.values()),
            conditions={uuid: why for state in self._states.values() for uuid, why in state.conditions()},
            events=self._recent_events(now),
            values=self._followed.of(*of_devices, of_processes, of_holders),
        )
        self._device_log.follow(snapshot, self._known_states(now))
        return snapshot

    def _holder_samples(
        self, allocations: Sequence[Allocation], fast: Sequence[Sample], exported: Exported
    ) -> tuple[HolderSample, ...]:
        return join.holder_samples(
            allocations,
            fast,
            self._accounting.usage,
            allocation_energy=self._allocation_energy,
            power_shared=exported.power_shared,
        )

    def _known_states(self, now: float) -> Mapping[str, str]:
        return dict(known for state in self._states.values() for known in state.known_states(now))

    def _remember_events(self, events: Iterable[CriticalEvent]) -> None:
        now = self._clocks.monotonic()
        for event in events:
            if event.error_class == HARDWARE:
                self._events[event.device_uuid, event.source, event.code] = (event, now)

    def _recent_events(self, now: float) -> tuple[RecentEvent, ...]:
        """The newest first; older ones are forgotten."""
        since = now - RECENT_SECONDS
        self._events = {key: known for key, known in self._events.items() if known[1] >= since}
        recent = [RecentEvent(event, now - at) for event, at in self._events.values()]
        return tuple(sorted(recent, key=lambda each: each.age_seconds))

    def _live(self, now: float, cadence: Cadence) -> list[SampleGroup[Sample]]:
        """The samples of one cadence that all collectors export now."""
        return [group for state in self._states.values() for group in state.groups(now, cadence)]

    def _exported_now(self) -> Exported:
        """What all collectors export. The same object until it changes."""
        listings = [state.listing for state in self._states.values()]
        if self._exported is None or listings != self._listings_exported:
            self._listings_exported, self._exported = listings, Exported.of(listings)
        return self._exported

    def _occupancy_of(self, exported: Exported) -> SampleGroup[Sample]:
        """Which devices and partitions are allocated. The same object until they or the allocations change."""
        made_of = (exported, self._join_result)
        if self._occupancy_made_of != made_of:
            partitions, joined = exported.partitions.values(), self._join_result
            self._occupancy = SampleGroup.of(join.occupancy(exported.devices.values(), partitions, joined))
        self._occupancy_made_of = made_of  # the same objects are compared fastest
        return self._occupancy

    def _record_release(self, event: Released | DevicesReleased) -> None:
        state = self._states[event.collector]
        if isinstance(event, Released):
            state.released(closed=event.closed)
        else:
            state.released_only(event.addresses)

    def _apply_precedence(self) -> None:
        """Let each device be exported by the first collector that lists it."""
        listed = [state.listed for state in self._states.values()]
        exported = without_duplicates(listed)
        for state, listing in zip(self._states.values(), exported, strict=True):
            state.export(listing)
        self._listings = dict(zip(self._states, with_exported_uuids(listed, exported), strict=True))

    def _attribution_health(self) -> tuple[AttributionHealth, ...]:
        state = self._attribution
        if state is None:
            return ()
        return (AttributionHealth(state.source, state.up, state.last_success_timestamp_seconds),)

    def _change_allocations(self, event: AttributionState) -> None:
        """Use new allocations."""
        before, self._attribution = self._attribution, event
        if before is None or event.answers != before.answers:
            self._claims.answered()
        self._change_shares()

    def _change_shares(self) -> None:
        """Join again: until now the earlier holders are credited with their shares, from now on the new ones."""
        now = self._clocks.monotonic()
        self._accounting.add_allocations(now, self._allocations)
        self._update_join()
        self._accounting.add_allocations(now, self._allocations)

    def _update_join(self) -> None:
        """Join the current allocations with the current devices; called when either changes, not at every poll."""
        state = self._attribution
        if state is None or state.holdings is None:
            self._allocations = self._join_result = None
            return
        inventories = [self._inventory(name, each) for name, each in self._listings.items()]
        claims = self._claims.resolve(state.claim_devices, inventories, self._clocks.monotonic())
        exported = {key for each in self._states.values() for key in subjects_of(each.devices, each.partitions)}
        earlier = self._join_result
        self._join_result = join.join(
            state.holdings, claims, inventories, self._holding_subjects, exported, self._current_holders
        )
        self._holding_subjects = self._join_result.subjects
        self._unmatched_log.update(self._join_result.unmatched, self._clocks.monotonic())
        known = {subject for each in inventories for subject in each.subjects}
        self._remember_compute_ratios(known | self._join_result.by_subject.keys())
        self._allocations = self._exported_allocations(self._join_result, earlier)
        for name in claims.to_read:
            self._read_now(name)
        if claims.files_to_read:
            self._read_files()

    def _exported_allocations(
        self, joined: join.JoinResult, earlier: join.JoinResult | None
    ) -> tuple[Allocation, ...] | None:
        """The allocations with their shares; None while there are too many, which is logged when it begins."""
        if joined.excess:
            if earlier is None or not earlier.excess:
                text = "allocations unknown: the kubelet lists %d of known devices, more than the %d that are exported"
                _log.warning(text, joined.excess, join.MOST_ALLOCATIONS)
            return None
        return join.with_shares(joined.allocations, self._compute_ratios)

    def _inventory(self, name: str, listing: Listing) -> Inventory:
        state = self._states[name]
        return Inventory(
            listing.devices,
            listing.partitions,
            self._resource_prefixes,
            self._dra_drivers.get(name, ()),
            name,
            state.healthy,
            state.read_at,
            state.read_until,
            state.unread,
        )

    def _remember_compute_ratios(self, kept: AbstractSet[SubjectKey]) -> None:
        """Update the sizes of partitions. An allocated partition keeps its size while its collector fails.

        Args:
            kept: Every device and partition that exists or is allocated.
        """
        now = self._clocks.monotonic()
        self._compute_ratios = {key: ratio for key, ratio in self._compute_ratios.items() if key in kept} | {
            sample.subject: sample.value
            for state in self._states.values()
            for sample in state.samples(now, catalog.COMPUTE_RATIO.cadence)
            if sample.metric is catalog.COMPUTE_RATIO
        }


@dataclass(slots=True)
class Latest:
    """The latest snapshot. Written by the assembler's thread, read by any thread.

    Attributes:
        snapshot: Replaced as a whole, never changed.
        made_at: Monotonic seconds at which it was made; the exporter is alive while this increases.
        device_seen: True once a snapshot had a device; never false again.
    """

    snapshot: Snapshot = field(default_factory=Snapshot)
    made_at: float = 0.0
    device_seen: bool = False


class AssemblerThread:
    """Runs an assembler: makes a snapshot after every report, and at least once a second, so that old readings expire.

    Args:
        assembler: Used by this thread only.
        latest: Receives each snapshot.
        clock: Monotonic seconds.
    """

    def __init__(self, assembler: Assembler, latest: Latest, clock: Callable[[], float]) -> None:
        self._assembler = assembler
        self._latest = latest
        self._clock = clock
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="assembler", daemon=True)

    def report(self, event: Event) -> None:
        """Queue an event; never blocks. Called from any thread."""
        self._events.put(event)

    def start(self) -> None:
        """Start to make snapshots."""
        self._latest.made_at = self._clock()
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """End the thread."""
        self._events.put(None)
        if self._thread.is_alive():  # it may have failed to start
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while True:
            try:
                event = self._events.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                event = None  # else the last reading would be kept until the next report
                self._publish(event)
                continue
            if event is None:
                return
            self._publish(event)

    def _publish(self, event: Event | None) -> None:
        try:
            if event is not None:
                self._assembler.apply(event)
            if isinstance(event, AttributionState):
                return_free_memory()  # that of the earlier answer, which can be large
            if isinstance(event, CallStarted):
                return  # there is nothing new to export yet
            self._latest.snapshot = self._assembler.snapshot()
            self._latest.device_seen |= bool(self._latest.snapshot.devices)
            self._latest.made_at = self._clock()
        except Exception:  # noqa: BLE001 - a bug here must not stop the daemon; the liveness probe fails if it lasts
            _log.exception("snapshot failed: the previous snapshot is served until one succeeds")
