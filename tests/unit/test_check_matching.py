from collectors.contract import Reading
from exporter.attribution.holding import Holding, PodResourcesList
from exporter.check.facts import CollectorFacts, CollectorStatus, DeviceHolders, Holder
from exporter.check.matching import match
from tests.doubles.collectors import gpu, part

GPU = "acme.com/gpu"


def acme(reading: Reading | None) -> CollectorFacts:
    state = CollectorStatus.OK if reading else CollectorStatus.LATE
    return CollectorFacts("acme", state, ("acme.com/",), 0.0, reading)


def holding(device_id: str, resource: str = GPU, pod: str = "p") -> Holding:
    return Holding("ns", pod, "main", resource, device_id, "device_plugin")


def answer(*holdings: Holding) -> PodResourcesList:
    return PodResourcesList(frozenset((each.namespace, each.pod) for each in holdings), tuple(sorted(holdings)))


def test_devices_and_partitions_come_with_their_holders() -> None:
    a, b, slice_of_b = gpu("a"), gpu("b"), part("b", "b-1")
    found = match(
        answer(holding("a"), holding("a", pod="q"), holding("b-1")), 0, [acme(Reading((a, b), (slice_of_b,)))]
    )
    assert found.device_holders == (
        DeviceHolders(a, None, (Holder("ns", "p", "main", GPU), Holder("ns", "q", "main", GPU))),
        DeviceHolders(b, None, ()),
        DeviceHolders(b, slice_of_b, (Holder("ns", "p", "main", GPU),)),
    )
    assert (found.pods, found.device_ids, found.unmatched) == (2, 3, ())


def test_replicas_of_one_container_are_one_holder() -> None:
    found = match(answer(holding("a::0"), holding("a::1")), 0, [acme(Reading((gpu("a"),)))])
    assert found.device_holders[0].holders == (Holder("ns", "p", "main", GPU),)


def test_unmatched_ids_are_those_of_resources_that_a_collector_is_responsible_for() -> None:
    strange, foreign, monitor = holding("x"), holding("hca", "example.com/rdma"), holding("all", "acme.com/monitoring")
    found = match(answer(strange, foreign, monitor), None, [acme(Reading((gpu("a"),)))])
    assert found.unmatched == (strange,)
    assert found.other_resources == {"acme.com/monitoring": 1, "example.com/rdma": 1}
    assert found.claim_devices is None


def test_a_collector_that_says_nothing_knows_no_device() -> None:
    found = match(answer(holding("a")), 0, [acme(None)])
    assert (found.device_holders, found.unmatched) == ((), (holding("a"),))


def test_a_lost_device_may_be_what_an_unmatched_id_means() -> None:
    reading = Reading((gpu("a", lost=True), gpu("b")))
    assert [each.holders for each in match(answer(holding("x")), 0, [acme(reading)]).device_holders] == [None, ()]
    assert [each.holders for each in match(answer(), 0, [acme(reading)]).device_holders] == [(), ()]
    known = match(answer(holding("a"), holding("x")), 0, [acme(reading)]).device_holders
    assert known[0].holders == (Holder("ns", "p", "main", GPU),)
