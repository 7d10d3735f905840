"""Partitions come and go: a claim means what was read after it was listed, and keeps it as long as it is listed."""

from dataclasses import dataclass, field, replace

import pytest

from collectors.contract import Device, Partition, SubjectKey
from exporter.attribution.claim_resolution import Lookups
from exporter.attribution.claims import Claims
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.inventory import Inventory
from tests.doubles.claims import OTHER_UID, UID, CdiTable, claimed, device, partition

DRIVER = "gpu.acme.example"
DEVICE = device("gpu", "gpu-0", "/dev/acme0", driver=DRIVER)
PLACE, NODE = "gpu-0-part-0", "/dev/acme-part0"
OTHER_PLACE = "gpu-0-part-1"
ONE = claimed(PLACE, DRIVER, claim="one", uid=UID)
TWO = claimed(PLACE, DRIVER, claim="two", uid=OTHER_UID)
OLD, NEW = SubjectKey("gpu", "old"), SubjectKey("gpu", "new")


def part(uuid: str) -> Partition:
    """A partition at the first place."""
    return partition("gpu", uuid, PLACE, NODE, driver=DRIVER)


@dataclass(slots=True)
class ClaimsOfNode:
    """Resolves the claims of a node with one collector, which was read at a time that the test gives."""

    claims: Claims = field(default_factory=Claims)
    inventory: Inventory = field(default_factory=lambda: Inventory((DEVICE,), (), (), (DRIVER,), "acme", read_at=0.0))
    now: float = 0.0

    def read(self, *parts: Partition, at: float | None = None, healthy: bool = True, lost: bool = False) -> None:
        """The collector was read, from a time on."""
        self.inventory = replace(
            self.inventory,
            partitions=parts,
            read_at=self.now if at is None else at,
            healthy=healthy,
            unread=frozenset({"gpu"} if lost else ()),
        )

    def held(self, *listed: ClaimDevice, answers: int = 0) -> dict[str, SubjectKey]:
        """What each claim holds, after some more answers of the kubelet with the same claims."""
        for _ in range(answers):
            self.claims.answered()
        self.now += 1.0
        found = self.claims.resolve(listed, [self.inventory], self.now)
        return {claim.claim_name: subject for claim, subject in found.edges}


def test_a_partition_is_believed_only_as_it_was_read_after_its_claim_was_listed() -> None:
    node = ClaimsOfNode()
    node.read(part("old"))
    assert node.held(TWO) == {}
    assert node.held(TWO) == {}
    node.read(part("new"))
    assert node.held(TWO) == {"two": NEW}


def test_a_whole_device_is_believed_by_its_name_at_once() -> None:
    assert ClaimsOfNode().held(claimed("gpu-0", DRIVER)) == {"own": SubjectKey("gpu")}


@pytest.mark.parametrize("how", ["healthy", "lost"])
def test_a_collector_that_does_not_answer_is_not_believed_about_a_new_claim(how: str) -> None:
    node = ClaimsOfNode()
    assert node.held(ONE) == {}
    node.read(part("old"), healthy=how != "healthy", lost=how == "lost")
    assert node.held(ONE) == {}


def test_a_claim_that_takes_the_place_of_another_has_the_new_partition() -> None:
    node = ClaimsOfNode()
    node.held(ONE)
    node.read(part("old"))
    assert node.held(ONE) == {"one": OLD}
    assert node.held(TWO, answers=1) == {}
    node.read(part("new"))
    assert node.held(TWO) == {"two": NEW}


def test_a_claim_that_is_still_listed_does_not_get_the_partition_of_its_successor() -> None:
    node = ClaimsOfNode()
    node.held(ONE)
    node.read(part("old"))
    node.held(ONE)
    node.read(part("new"))
    assert node.held(ONE) == {"one": OLD}  # the kubelet has not answered since
    assert node.held(ONE, TWO, answers=1) == {"one": OLD}
    node.read(part("new"))
    assert node.held(TWO, answers=1) == {"two": NEW}


def test_a_claim_that_stays_listed_without_its_partition_is_searched_again() -> None:
    node = ClaimsOfNode()
    node.held(ONE)
    node.read(part("old"))
    node.held(ONE)
    node.read(part("new"))
    node.held(ONE)
    assert node.held(ONE, answers=2) == {}
    node.read(part("new"))
    assert node.held(ONE) == {"one": NEW}


def test_a_claim_of_the_same_name_with_another_uid_is_another_claim() -> None:
    node = ClaimsOfNode()
    node.held(ONE)
    node.read(part("old"))
    assert node.held(ONE) == {"one": OLD}
    successor = claimed(PLACE, DRIVER, claim="one", uid=OTHER_UID)
    assert node.held(successor, answers=1) == {}
    node.read(part("new"))
    assert node.held(successor) == {"one": NEW}


def test_a_claim_keeps_its_partition_while_the_collector_fails_or_lists_it_by_another_name() -> None:
    node = ClaimsOfNode()
    node.held(ONE)
    node.read(part("old"))
    node.held(ONE)
    node.read(healthy=False)
    assert node.held(ONE, answers=5) == {"one": OLD}
    node.read(partition("gpu", "old", "something-else", driver=DRIVER))
    assert node.held(ONE, answers=5) == {"one": OLD}


def test_a_claim_keeps_its_device_after_its_files_and_slices_have_gone() -> None:
    cdi = CdiTable({f"{UID}-gpu-vm-0": ("/dev/acme0",)})
    node = ClaimsOfNode(Claims(None, Lookups(cdi)))
    machine = claimed("gpu-vm-0", DRIVER)
    node.held(machine)
    node.read()
    assert node.held(machine) == {"own": SubjectKey("gpu")}
    cdi.entries.clear()
    assert node.held(machine, answers=5) == {"own": SubjectKey("gpu")}
    assert node.held() == {}
    assert node.held(machine) == {}


def test_a_reading_between_a_claim_of_an_unknown_driver_and_its_file_is_enough() -> None:
    cdi = CdiTable()
    node = ClaimsOfNode(Claims(None, Lookups(cdi)))
    core = claimed("core-1", "qpu.invented.example")
    assert node.held(core) == {}
    node.read(at=1.5)
    cdi.entries[f"{UID}-core-1"] = ("/dev/acme0",)
    assert node.held(core) == {"own": SubjectKey("gpu")}


def test_nodes_of_a_device_do_not_mean_the_device_while_its_new_partition_may_not_be_listed_yet() -> None:
    node = ClaimsOfNode(Claims(None, Lookups(CdiTable({f"{UID}-{OTHER_PLACE}": ("/dev/acme0", "/dev/acme-part1")}))))
    new = claimed(OTHER_PLACE, DRIVER)
    assert node.held(new) == {}
    node.read(part("old"), at=0.5)
    assert node.held(new) == {}
    node.read(part("old"), partition("gpu", "new", "/dev/acme-part1"))
    assert node.held(new) == {"own": NEW}


def test_a_device_that_another_collector_takes_over_is_still_held() -> None:
    claims, whole = Claims(), claimed("gpu-0", DRIVER)
    first = Inventory((DEVICE,), (), collector="first")
    second = Inventory((replace(DEVICE, uuid="same-gpu"),), (), collector="second")
    [edge] = claims.resolve([whole], [first, replace(second, devices=())], 1.0).edges
    assert edge.subject == SubjectKey("gpu")
    [edge] = claims.resolve([whole], [replace(first, devices=()), second], 2.0).edges
    assert edge.subject == SubjectKey("same-gpu")


def searches(node: ClaimsOfNode, *listed: ClaimDevice, at: float) -> frozenset[str]:
    node.now = at
    return node.claims.resolve(listed, [node.inventory], at).to_read


def test_a_collector_is_read_out_of_turn_for_a_new_claim_three_times_and_at_most_every_two_seconds() -> None:
    node = ClaimsOfNode()
    seconds = [second for second in range(60) if searches(node, ONE, at=float(second)) == {"acme"}]
    assert seconds == [0, 2, 4]
    assert searches(node, ONE, TWO, at=60.0) == {"acme"}
    assert searches(node, ONE, TWO, claimed(OTHER_PLACE, DRIVER, claim="three"), at=61.0) == frozenset()


def test_no_collector_is_read_for_a_device_that_is_known_or_that_none_can_list() -> None:
    node = ClaimsOfNode()
    assert searches(node, claimed("gpu-0", DRIVER), at=0.0) == frozenset()
    assert searches(node, claimed("eth0", "net.example"), at=1.0) == frozenset()
    node.read(healthy=False)
    assert searches(node, ONE, at=2.0) == frozenset()


def without_partitions() -> Device:
    return replace(DEVICE, partitions_known=False)


def test_a_device_that_becomes_partitioned_is_no_longer_that_of_a_claim_found_by_its_nodes() -> None:
    node = ClaimsOfNode(Claims(None, Lookups(CdiTable({f"{UID}-gpu-vm-0": ("/dev/acme0",)}))))
    machine = claimed("gpu-vm-0", DRIVER)
    node.held(machine)
    node.read()
    assert node.held(machine) == {"own": SubjectKey("gpu")}
    node.inventory = replace(node.inventory, devices=(without_partitions(),))
    assert node.held(machine) == {}


@pytest.mark.parametrize("names", [(PLACE, NODE), (NODE,)], ids=["by its name", "by its device node"])
def test_a_partition_is_not_that_of_a_claim_whose_file_was_last_seen_before_the_reading_ended(
    names: tuple[str, ...],
) -> None:
    cdi = CdiTable({f"{UID}-{PLACE}": ("/dev/acme0", NODE)}, as_of=1.0)
    node = ClaimsOfNode(Claims(None, Lookups(cdi)))
    node.held(ONE)
    node.inventory = replace(node.inventory, partitions=(partition("gpu", "new", *names, driver=DRIVER),), read_at=2.0)
    node.inventory = replace(node.inventory, read_until=3.0)
    found = node.claims.resolve([ONE], [node.inventory], 3.0)
    assert (found.edges, found.files_to_read, found.to_read) == ((), True, frozenset())
    assert found.possibly_held == {"gpu"}

    ended = ClaimsOfNode(Claims(None, Lookups(CdiTable(as_of=4.0))), node.inventory)
    assert ended.held(ONE) == {}
    cdi.as_of = 3.0
    found = node.claims.resolve([ONE], [node.inventory], 3.0)
    assert ([edge.subject for edge in found.edges], found.files_to_read) == ([NEW], False)
