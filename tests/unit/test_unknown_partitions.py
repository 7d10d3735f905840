"""A device whose partitions are unknown: an id that is not understood may mean one of them."""

from dataclasses import replace

from collectors.contract import Device, Partition
from exporter.attribution.claims import ResolvedClaims
from exporter.attribution.holding import Holding
from exporter.attribution.inventory import Inventory
from exporter.attribution.join import JoinResult, join
from tests.doubles.collectors import gpu, part

CUT, OTHER = replace(gpu("a"), partitions_known=False), gpu("b")
PARTS = (part("a", "a0"), part("b", "b0"))


def joined(*held: tuple[str, str], devices: tuple[Device, ...] = (CUT, OTHER)) -> JoinResult:
    holdings = [Holding("ns", f"pod-{n}", "c", *each, "device_plugin") for n, each in enumerate(held)]
    return join(holdings, ResolvedClaims(), [Inventory(devices, PARTS, ("acme.example/",))])


def holders(found: JoinResult, *subjects: Device | Partition) -> list[int | None]:
    held = (found.holders(subject) for subject in subjects)
    return [None if each is None else len(each) for each in held]


def test_it_is_not_free_while_an_id_of_an_accelerator_is_not_understood() -> None:
    found = joined(("acme.example/slice", "MIG-unknown"))

    assert holders(found, CUT, OTHER, PARTS[1]) == [None, 0, 0]
    assert len(found.unmatched) == 1


def test_it_is_free_while_every_id_is_understood() -> None:
    found = joined(("acme.example/gpu", "b"), ("dra.example/nic", "eth0"), ("acme.example/monitoring", "all"))

    assert holders(found, CUT, OTHER) == [0, 1]


def test_one_that_is_known_to_be_held_stays_so() -> None:
    found = joined(("acme.example/slice", "MIG-unknown"), ("acme.example/slice", "a0"))

    assert holders(found, CUT, PARTS[0]) == [0, 1]
    assert found.held_devices == {"a"}


def test_text_behind_its_uuid_is_no_share_of_the_whole() -> None:
    assert joined(("acme.example/slice", "a/p1")).subjects == {}
