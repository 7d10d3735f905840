"""Partitions that are created and deleted with claims, in any order of readings and answers: no edge is ever wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from collectors.contract import Partition
from exporter.attribution.claim_resolution import Lookups
from exporter.attribution.claims import Claims
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.inventory import Inventory
from tests.doubles.claims import CdiTable, claimed, device, partition

DRIVER = "gpu.acme.example"
PLACES = 3
PARENT = device("gpu", "gpu-0", "/dev/acme0", driver=DRIVER)
STEPS = st.sampled_from([*(f"change {place}" for place in range(PLACES)), "read", "answer", "fail"])


@dataclass(frozen=True, slots=True)
class Part:
    """A partition that was created for a claim."""

    claimed: ClaimDevice
    listed: Partition


class DynamicNode:
    """A node with one device. What the exporter knows of it is as old as the last reading and answer.

    Args:
        by_name: Whether the collector knows the driver's names of partitions; else only their device nodes.
        reused: Whether a partition at the same place has the same uuid.
    """

    def __init__(self, *, by_name: bool, reused: bool) -> None:
        self._by_name = by_name
        self._reused = reused
        self._cdi = CdiTable()
        self._claims = Claims(None, Lookups(self._cdi))
        self._parts: dict[int, Part] = {}
        self._created: dict[str, str] = {}  # every partition that was ever created, by the claim's uid
        self._listed: Sequence[ClaimDevice] = ()
        self._inventory = Inventory((PARENT,), (), (), (DRIVER,), "acme", read_at=0.0)
        self._now = 1.0

    def change(self, place: int) -> None:
        """Delete the partition at a place with its claim; create one for a new claim where there is none."""
        name = f"gpu-0-part-{place}"
        if place in self._parts:
            del self._cdi.entries[self._parts.pop(place).claimed.cdi_devices[-1].partition("=")[2]]
            return
        number = len(self._created)
        uid = f"{number:08d}-0000-4000-8000-000000000000"
        uuid = f"part-{place}" if self._reused else f"part-{number}"
        nodes = ("/dev/acme0", f"/dev/acme-part{place}")
        names = (nodes[1], name) if self._by_name else nodes[1:]
        made = claimed(name, DRIVER, pod=f"pod-{number}", claim=f"claim-{place}", uid=uid)
        self._parts[place] = Part(made, partition("gpu", uuid, *names, driver=DRIVER))
        self._created[uid] = uuid
        self._cdi.entries[f"{uid}-{name}"] = nodes

    def read(self) -> None:
        """The collector reads the device."""
        listed = tuple(part.listed for part in self._parts.values())
        self._inventory = replace(self._inventory, partitions=listed, read_at=self._now, healthy=True)

    def fail(self) -> None:
        """The collector fails."""
        self._inventory = replace(self._inventory, healthy=False)

    def answer(self) -> None:
        """The kubelet answers."""
        self._listed = [part.claimed for part in self._parts.values()]
        self._claims.answered()

    def edges(self) -> dict[str, str]:
        """What each claim holds, by its uid; an edge to anything but its own partition is an error."""
        self._now += 1.0
        found = self._claims.resolve(self._listed, [self._inventory], self._now)
        edges = {edge.cdi_devices[-1].partition("=")[2][:36]: subject.partition_uuid for edge, subject in found.edges}
        assert edges.items() <= self._created.items()
        assert bool(found.possibly_held) == (len(edges) < len(self._listed))
        self._now += 1.0
        return edges

    def settled(self) -> dict[str, str]:
        """What each claim holds now."""
        return {part.claimed.cdi_devices[-1].partition("=")[2][:36]: part.listed.uuid for part in self._parts.values()}


@given(steps=st.lists(STEPS, max_size=40), by_name=st.booleans(), reused=st.booleans())
def test_a_claim_never_has_another_partition_and_has_its_own_after_a_reading(
    *, steps: list[str], by_name: bool, reused: bool
) -> None:
    node = DynamicNode(by_name=by_name, reused=reused)
    actions: dict[str, Callable[[], None]] = {"read": node.read, "answer": node.answer, "fail": node.fail}
    for step in steps:
        verb, _, place = step.partition(" ")
        actions.get(verb, lambda place=place: node.change(int(place)))()
        node.edges()
    node.answer()
    node.edges()
    node.read()
    assert node.edges() == node.settled()
