from exporter.attribution.claims import ResolvedClaims
from exporter.attribution.finished_pods import CurrentHolders
from exporter.attribution.holding import Holding
from exporter.attribution.inventory import Inventory
from exporter.attribution.join import join
from tests.doubles.collectors import gpu


def held(pod: str, device_id: str = "GPU-a", container: str = "main", resource: str = "acme.com/gpu") -> Holding:
    return Holding("ml", pod, container, resource, device_id, "device_plugin")


def test_an_id_belongs_to_the_pod_that_was_listed_last() -> None:
    holders = CurrentHolders()
    assert holders.of((held("job-1"),)) == (held("job-1"),)
    for _ in range(2):
        assert holders.of((held("job-1"), held("job-2"))) == (held("job-2"),)
    assert holders.of((held("job-1"),)) == (held("job-1"),)


def test_which_of_two_pods_has_ended_is_unknown_if_both_are_listed_from_the_start() -> None:
    both = (held("job-1"), held("job-2"))
    holders = CurrentHolders()
    assert holders.of(both) == holders.of(both) == both
    assert holders.of((*both, held("job-3"))) == (held("job-3"),)


def test_containers_of_a_pod_other_ids_and_other_resources_are_kept() -> None:
    kept = (
        held("a"),
        held("a", container="init"),
        held("b", "GPU-b"),
        held("b", "GPU-a", resource="acme.com/gpu.shared"),
        held("c", "GPU-c::0"),
    )
    holders = CurrentHolders()
    holders.of(kept[:1])
    assert holders.of((*kept, held("d", "GPU-c::1"))) == (*kept, held("d", "GPU-c::1"))


def test_a_pod_that_is_listed_again_is_a_new_one() -> None:
    holders = CurrentHolders()
    holders.of((held("job-1"),))
    holders.of((held("job-2"),))
    assert holders.of((held("job-1"), held("job-2"))) == (held("job-1"),)


def test_the_next_pod_has_the_whole_device() -> None:
    current = CurrentHolders()
    inventory = Inventory((gpu("GPU-a"),), (), ("acme.com/",))
    for listed in ((held("job-1"),), (held("job-1"), held("job-2"))):
        found = join(listed, ResolvedClaims(), [inventory], None, None, current)

    assert [each.container.pod for each in found.allocations] == ["job-2"]
    assert (len(found.unmatched), found.held_devices) == (0, frozenset({"GPU-a"}))
