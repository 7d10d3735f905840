from exporter.attribution.claims import ResolvedClaims
from exporter.attribution.finished_pods import CurrentHolders
from exporter.attribution.holding import Holding, Holdings
from exporter.attribution.inventory import Inventory
from exporter.attribution.join import join
from tests.doubles.collectors import gpu


def held(pod: str, device_id: str = "GPU-a", container: str = "main", resource: str = "acme.com/gpu") -> Holding:
    return Holding("ml", pod, container, resource, device_id, "device_plugin")


def current(holders: CurrentHolders, *listed: Holding) -> tuple[Holding, ...]:
    """The holdings of an answer that are not of ended pods."""
    return tuple(Holdings(holders.of(dict.fromkeys(Holdings.of(listed).groups))))


def test_an_id_belongs_to_the_pod_that_was_listed_last() -> None:
    holders = CurrentHolders()
    assert current(holders, held("job-1")) == (held("job-1"),)
    for _ in range(2):
        assert current(holders, held("job-1"), held("job-2")) == (held("job-2"),)
    assert current(holders, held("job-1")) == (held("job-1"),)


def test_which_of_two_pods_has_ended_is_unknown_if_both_are_listed_from_the_start() -> None:
    both = (held("job-1"), held("job-2"))
    holders = CurrentHolders()
    assert current(holders, *both) == current(holders, *both) == both
    assert current(holders, *both, held("job-3")) == (held("job-3"),)


def test_containers_of_a_pod_other_ids_and_other_resources_are_kept() -> None:
    kept = (
        held("a"),
        held("a", container="init"),
        held("b", "GPU-b"),
        held("b", "GPU-a", resource="acme.com/gpu.shared"),
        held("c", "GPU-c::0"),
    )
    holders = CurrentHolders()
    current(holders, kept[0])
    assert current(holders, *kept, held("d", "GPU-c::1")) == (*sorted(kept), held("d", "GPU-c::1"))


def test_an_ended_pod_keeps_the_ids_that_no_later_pod_has() -> None:
    both, other = (held("job-1", "GPU-a"), held("job-1", "GPU-b")), held("job-2", "GPU-b")
    holders = CurrentHolders()
    current(holders, *both)
    assert current(holders, *both, other) == (both[0], other)


def test_a_pod_that_is_listed_again_is_a_new_one() -> None:
    holders = CurrentHolders()
    current(holders, held("job-1"))
    current(holders, held("job-2"))
    assert current(holders, held("job-1"), held("job-2")) == (held("job-1"),)


def test_the_next_pod_has_the_whole_device() -> None:
    holders = CurrentHolders()
    inventory = Inventory((gpu("GPU-a"),), (), ("acme.com/",))
    for listed in ((held("job-1"),), (held("job-1"), held("job-2"))):
        found = join(listed, ResolvedClaims(), [inventory], None, None, holders)

    assert [each.container.pod for each in found.allocations] == ["job-2"]
    assert (len(found.unmatched), found.held_devices) == (0, frozenset({"GPU-a"}))
