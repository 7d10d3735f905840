"""A node whose claims, hardware, CDI specs and kubelet change in any order, read by the real assembler; no process.

It knows the truth: which device or partition each claim has. So it can tell which edge is wrong, and which is missing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from collectors import catalog
from collectors.contract import Alias, Device, Partition, Reading, Reason, SubjectKey
from exporter.assembler import Assembler, Clocks
from exporter.attribution.cdi_specs import CdiSpecs
from exporter.attribution.claim_lookups import LookupsChanged
from exporter.attribution.claim_resolution import Lookups
from exporter.attribution.claims import Claims
from exporter.attribution.podresources_wire import PodResourcesDecoder
from exporter.attribution.watcher import AttributionState
from exporter.poller import CallEnded
from exporter.snapshot import Allocation, Container
from tests.doubles.cdi_folder import CdiFolder, replace
from tests.doubles.collectors import EVERY, FAST, LIMITS, Clock, compute, failed
from tests.doubles.kubelet_claims import AMD, INVENTED, NVIDIA, Claim, Driver, Result, claim_pod, using
from tests.doubles.proto.podresources_pb2 import ListPodResourcesResponse, PodResources

_COLLECTOR, _KNOWN_DRIVERS = "acme", (NVIDIA.name, AMD.name)
_STEP_SECONDS = 0.01
_MOST_PARTITIONS = 2  # of each device
# An answer and a reading, in turn: an interval is what lies between two answers.
_STEPS_OF_TWO_INTERVALS = 4


class Place(NamedTuple):
    """Something that can be allocated.

    Attributes:
        driver: Its DRA driver.
        device: The driver's name of it.
        nodes: The device nodes in the driver's CDI spec.
        uuid: The device.
        partition: The partition, where it keeps its uuid; `MIG` where each claim gets a new one.
        share: The share that the driver lists.
    """

    driver: Driver
    device: str
    nodes: tuple[str, ...]
    uuid: str
    partition: str = ""
    share: str = ""


_MIG = "MIG"
PLACES = (
    Place(NVIDIA, "gpu-0", ("/dev/nvidia0",), "GPU-0"),
    Place(NVIDIA, "gpu-1-mig-1g10gb-19-0", ("/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap12"), "GPU-1", _MIG),
    Place(NVIDIA, "gpu-1-mig-1g10gb-19-1", ("/dev/nvidia1", "/dev/nvidia-caps/nvidia-cap21"), "GPU-1", _MIG),
    Place(AMD, "gpu-0-cpx-nps1", ("/dev/dri/renderD128",), "GPU-2", "GPU-2-cpx-0", "share-0"),
    Place(AMD, "gpu-0-cpx-nps1", ("/dev/dri/renderD129",), "GPU-2", "GPU-2-cpx-1", "share-1"),
    Place(INVENTED, "dream-3", ("/dev/dream3",), "GPU-3"),
)
BOTH_SHARES = (3, 4)


@dataclass(eq=False)
class Held:
    """A claim with what is allocated to it.

    Attributes:
        claim: The claim.
        places: Indices of what it has.
        containers: The containers that use it.
        subjects: What they hold, as far as anybody can tell.
        described: False while its CDI spec is missing or torn.
        seen: How many answers and readings, in turn, there have been since all was described.
        seen_at: When the last of them was.
    """

    claim: Claim
    places: tuple[int, ...]
    containers: tuple[Container, ...]
    subjects: frozenset[SubjectKey]
    described: bool = True
    seen: int = 0
    seen_at: float = 0.0


class ClaimsNode:
    """The node.

    Args:
        folder: The CDI directory.
        named: True if MIG devices have the names of the DRA driver, which needs a privilege.
    """

    def __init__(self, folder: Path, *, named: bool) -> None:
        self.held: list[Held] = []
        self._named = named
        self._cdi = CdiFolder(folder)
        self._clock = Clock(1.0)
        self._specs = CdiSpecs([folder], clock=self._clock)
        self._files_awaited = False
        clocks = Clocks(self._clock, self._clock)
        claims = Claims(lookups=Lookups(cdi=self._specs))
        drivers = {_COLLECTOR: _KNOWN_DRIVERS}
        self._assembler = Assembler(
            [_COLLECTOR], (), LIMITS, clocks, dra_drivers=drivers, claims=claims, read_files=self._await_files
        )
        self._listed: list[Held] = []
        self._begun: tuple[float, Reading, tuple[Held, ...]] | None = None
        self._born = self._answers = 0

    def allocate(self, places: Sequence[int], name: str, pods: Sequence[str], containers: Sequence[str]) -> None:
        """Allocate to a claim and start its pods, unless something of it is taken."""
        taken = {place for held in self.held for place in held.places}
        pods_taken = {container.pod for held in self.held for container in held.containers}
        names = {held.claim.name for held in self.held}
        if taken.intersection(places) or name in names or pods_taken.intersection(pods):
            return
        self._born += 1
        results = [Result(PLACES[each].driver, PLACES[each].device, PLACES[each].share) for each in places]
        claim = Claim(name, results, born=self._born)
        # Nobody can tell which of two shares is which.
        subjects = frozenset({self._subject(places[0])} if len(places) == 1 else ())
        users = tuple(Container("ml", pod, container) for pod in pods for container in containers)
        held = Held(claim, tuple(places), users, subjects)
        self.held.append(held)
        self._describe(held)

    def free(self, held: Held) -> None:
        """End the pods of a claim, and free what it has."""
        self._cdi.unprepare(held.claim)
        self.held.remove(held)

    def make_again(self, held: Held) -> None:
        """Free what a claim has, and allocate it at once to a new claim and new pods with the same names."""
        self.free(held)
        pods, containers = ({getattr(user, part): None for user in held.containers} for part in ("pod", "container"))
        self.allocate(held.places, held.claim.name, tuple(pods), tuple(containers))

    def tear(self, held: Held) -> None:
        """Let the CDI spec of a claim be incomplete."""
        driver = held.claim.results[0].driver
        replace(self._cdi.spec_path(held.claim, driver), '{"cdiVersion": "0.6.0", "kind":')
        held.described, held.seen = False, 0

    def hide(self, held: Held) -> None:
        """Remove the CDI spec of a claim."""
        self._cdi.unprepare(held.claim)
        held.described, held.seen = False, 0

    def describe(self, held: Held) -> None:
        """Write the CDI spec of a claim, if it is not there."""
        if not held.described:
            self._describe(held)

    def answer(self) -> None:
        """The kubelet answers."""
        decoder = PodResourcesDecoder((), 1 << 20, 8 << 20)
        pods = [pod for held in self.held for pod in _pods(held)]
        decoder.feed(ListPodResourcesResponse(pod_resources=pods).SerializeToString())
        answer = decoder.finish()
        self._listed = list(self.held)
        self._answers += 1
        self._specs.refresh()
        self._tick()
        self._assembler.apply(
            AttributionState(
                answer.holdings,
                up=True,
                last_success_timestamp_seconds=self._clock(),
                claim_devices=answer.claim_devices,
                answers=self._answers,
            )
        )
        self._read_awaited_files()
        self._step(self.held, 0)

    def refresh(self) -> None:
        """Look at the CDI specs again, between two answers."""
        if self._specs.refresh():
            self._assembler.apply(LookupsChanged())
        self._read_awaited_files()

    def begin_reading(self) -> None:
        """The collector begins to read, unless it reads already."""
        if self._begun is None:
            self._tick()
            self._begun = (self._clock(), self._reading(), tuple(self.held))

    def end_reading(self, *, everything: bool = True) -> None:
        """The collector's call returns, if there is one: it has read everything, or what changes fast."""
        if self._begun is None:
            return
        began, reading, known = self._begun
        self._begun = None
        self._tick()
        self._assembler.apply(CallEnded(_COLLECTOR, began, self._clock(), EVERY if everything else FAST, reading))
        self._read_awaited_files()
        if everything:
            self._step([held for held in known if held.seen_at <= began], 1)

    def fail(self) -> None:
        """The collector's call fails."""
        self._begun = None
        self._tick()
        self._assembler.apply(failed(self._clock(), Reason.UNAVAILABLE))

    def allocations(self) -> tuple[Allocation, ...]:
        """The edges that are exported."""
        return self._assembler.snapshot().allocations or ()

    def shares(self) -> Mapping[str, float]:
        """The sum of the shares of each device."""
        sums: dict[str, float] = defaultdict(float)
        for each in self.allocations():
            sums[each.subject.device_uuid] += each.share_ratio or 0.0
        return sums

    def wrong(self) -> list[Allocation]:
        """Edges that no listed claim explains."""
        true = {(user, subject) for held in self._listed for user in held.containers for subject in held.subjects}
        return [each for each in self.allocations() if (each.container, each.subject) not in true]

    def missing(self) -> list[tuple[Container, SubjectKey]]:
        """Edges that should be there by now."""
        found = {(each.container, each.subject) for each in self.allocations()}
        due = (each for each in self.held if each.seen >= _STEPS_OF_TWO_INTERVALS)
        return [
            (user, subject)
            for held in due
            for user in held.containers
            for subject in held.subjects
            if (user, subject) not in found
        ]

    def falsely_free(self) -> set[str]:
        """Devices that are said to be free while a listed claim of a known driver holds them or a part of them."""
        samples = self._assembler.snapshot().samples
        free = {each.subject for each in samples if each.metric is catalog.ALLOCATED and not each.value}
        held = {PLACES[each] for held in self._listed for each in held.places}
        known = {place.uuid for place in held if place.driver.name in _KNOWN_DRIVERS}
        return {uuid for uuid in known if SubjectKey(uuid) in free}

    def _await_files(self) -> None:
        self._files_awaited = True

    def _read_awaited_files(self) -> None:
        """Do what the thread that reads the CDI specs does within milliseconds."""
        if self._files_awaited:
            self._files_awaited = False
            self._specs.refresh()
            self._assembler.apply(LookupsChanged())
            assert not self._files_awaited

    def _describe(self, held: Held) -> None:
        nodes = {PLACES[each].device: PLACES[each].nodes for each in held.places}
        self._cdi.prepare(held.claim, nodes, common=("/dev/kfd",))
        held.described, held.seen = True, 0

    def _step(self, known: Sequence[Held], parity: int) -> None:
        for held in known:
            if held.described and held.seen % 2 == parity:
                held.seen += 1
                held.seen_at = self._clock()

    def _tick(self) -> None:
        self._clock.now += _STEP_SECONDS

    def _subject(self, index: int) -> SubjectKey:
        place = PLACES[index]
        return SubjectKey(place.uuid, f"MIG-{self._born}" if place.partition == _MIG else place.partition)

    def _reading(self) -> Reading:
        """What the hardware is at this moment."""
        used = {place: held for held in self.held for place in held.places}
        cpx = not used.keys().isdisjoint(BOTH_SHARES)
        devices = [
            _device("GPU-0", Alias("gpu-0", NVIDIA.name), Alias("/dev/nvidia0")),
            _device("GPU-1", Alias("gpu-1", NVIDIA.name), Alias("/dev/nvidia1")),
            _device("GPU-2", *(() if cpx else (Alias("gpu-0-128", AMD.name), Alias("/dev/dri/renderD128")))),
            _device("GPU-3", Alias("/dev/dream3")),
        ]
        partitions = [
            self._mig(place, next(iter(held.subjects)))
            for place, held in used.items()
            if PLACES[place].partition == _MIG
        ]
        if cpx:
            partitions += [
                _partition(SubjectKey("GPU-2", PLACES[each].partition), *map(Alias, PLACES[each].nodes))
                for each in BOTH_SHARES
            ]
        samples = [compute(part.device_uuid, part.uuid, 1 / _MOST_PARTITIONS) for part in partitions]
        return Reading(tuple(devices), tuple(partitions), tuple(samples))

    def _mig(self, index: int, subject: SubjectKey) -> Partition:
        place = PLACES[index]
        names = {Alias(place.nodes[1])} | ({Alias(place.device, NVIDIA.name)} if self._named else set())
        return _partition(subject, *names)


def _device(uuid: str, *aliases: Alias) -> Device:
    return Device(uuid, f"dev-{uuid}", "acme", "A1", frozenset({Alias(uuid), *aliases}))


def _partition(subject: SubjectKey, *aliases: Alias) -> Partition:
    return Partition(
        subject.partition_uuid, subject.device_uuid, "1g", frozenset({Alias(subject.partition_uuid), *aliases})
    )


def _pods(held: Held) -> Iterator[PodResources]:
    for pod in dict.fromkeys(user.pod for user in held.containers):
        names = [user.container for user in held.containers if user.pod == pod]
        yield claim_pod("ml", pod, *(using(name, held.claim) for name in names))
