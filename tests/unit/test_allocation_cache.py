"""Which answers are used, and for how long. Times are seconds, the hold time is 60."""

from collections.abc import Collection

import pytest

from exporter.attribution.allocation_cache import AllocationCache
from exporter.attribution.holding import ClaimDevice, Holding, PodResourcesList

GPU = "nvidia.com/gpu"


def holding(pod: str, device_id: str) -> Holding:
    return Holding("ml", pod, "main", GPU, device_id, "device_plugin")


def answer(**pods: str) -> PodResourcesList:
    """Pods by name, each with one device; an empty id for a pod without a device."""
    return PodResourcesList(
        frozenset(("ml", pod) for pod in pods),
        tuple(sorted(holding(pod, device_id) for pod, device_id in pods.items() if device_id)),
    )


def holdings(cache: AllocationCache, now: float) -> Collection[Holding] | None:
    """The allocations by device plugins; None while unknown."""
    current = cache.current(now)
    return None if current is None else current.holdings


FOUR = answer(a="GPU-1", b="GPU-2", c="GPU-3", d="GPU-4")
NOTHING = answer()


@pytest.fixture
def held() -> AllocationCache:
    return AllocationCache(60, 60)


@pytest.fixture
def restarted(held: AllocationCache) -> AllocationCache:
    """Four pods known at 0; at 10 a new connection lists none of them."""
    held.answered(FOUR, 0, reconnected=True)
    held.answered(NOTHING, 10, reconnected=True)
    return held


def test_suspect_answers_are_not_counted(restarted: AllocationCache) -> None:
    assert restarted.answers == 1
    restarted.answered(NOTHING, 20, reconnected=False)
    assert restarted.answers == 1
    restarted.answered(FOUR, 30, reconnected=False)
    assert restarted.answers == 2


class TestHoldTime:
    def test_unknown_before_the_first_answer(self, held: AllocationCache) -> None:
        assert holdings(held, 0) is None
        assert held.changes_at(0) is None

    def test_the_first_answer_is_used_even_if_it_lists_no_pod(self, held: AllocationCache) -> None:
        held.answered(NOTHING, 0, reconnected=True)
        assert holdings(held, 0) == ()

    def test_an_equal_answer_is_kept_once(self, held: AllocationCache) -> None:
        first, same = (answer(a="GPU-1") for _ in range(2))
        held.answered(first, 0, reconnected=True)
        held.answered(same, 50, reconnected=False)
        assert held.current(100) is first

    def test_an_answer_expires_after_the_hold_time(self, held: AllocationCache) -> None:
        held.answered(FOUR, 100, reconnected=True)
        assert held.changes_at(100) == 160
        assert holdings(held, 159.9) == FOUR.holdings
        assert holdings(held, 160) is None
        assert held.changes_at(160) is None

    def test_each_answer_starts_the_hold_time_again(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(FOUR, 50, reconnected=False)
        assert holdings(held, 109) == FOUR.holdings

    def test_an_answer_after_the_hold_time_is_used(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(FOUR, 1000, reconnected=True)
        assert holdings(held, 1000) == FOUR.holdings


class TestUsedAtOnce:
    def test_pods_that_disappear_on_the_same_connection_are_removed_at_once(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(NOTHING, 5, reconnected=False)
        assert holdings(held, 5) == ()

    def test_a_pod_that_finished_during_an_outage_is_removed_by_the_first_answer(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        half = answer(a="GPU-1", b="GPU-2")
        held.answered(half, 30, reconnected=True)
        assert holdings(held, 30) == half.holdings

    def test_a_drop_long_after_a_reconnection_is_used(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(FOUR, 10, reconnected=True)
        held.answered(NOTHING, 70, reconnected=False)
        assert holdings(held, 70) == ()

    def test_a_drop_after_a_good_answer_of_the_restarted_kubelet_is_used(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(FOUR, 10, reconnected=True)
        held.answered(NOTHING, 15, reconnected=False)
        assert holdings(held, 15) == ()

    def test_new_pods_do_not_replace_missing_ones(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(answer(e="", f="", g="", h="", a="GPU-1"), 10, reconnected=True)
        assert holdings(held, 10) == FOUR.holdings

    def test_no_answer_is_suspect_on_a_node_without_pods(self, held: AllocationCache) -> None:
        held.answered(NOTHING, 0, reconnected=True)
        held.answered(NOTHING, 10, reconnected=True)
        held.answered(FOUR, 15, reconnected=False)
        assert holdings(held, 15) == FOUR.holdings


class TestSuspect:
    def test_pods_that_are_not_listed_keep_their_devices(self, restarted: AllocationCache) -> None:
        assert holdings(restarted, 10) == FOUR.holdings

    def test_listed_pods_have_the_devices_of_the_new_answer(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(answer(a="GPU-9"), 10, reconnected=True)
        assert holdings(held, 10) == answer(a="GPU-9", b="GPU-2", c="GPU-3", d="GPU-4").holdings

    def test_a_listed_pod_without_devices_has_none(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(answer(a=""), 10, reconnected=True)
        assert holdings(held, 10) == answer(b="GPU-2", c="GPU-3", d="GPU-4").holdings

    def test_a_device_of_a_listed_pod_belongs_to_no_other_pod(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(answer(new="GPU-3"), 10, reconnected=True)
        assert holdings(held, 10) == answer(a="GPU-1", b="GPU-2", d="GPU-4", new="GPU-3").holdings

    def test_answers_are_compared_with_the_last_good_answer(self, restarted: AllocationCache) -> None:
        restarted.answered(answer(a="GPU-1"), 15, reconnected=False)
        assert holdings(restarted, 15) == FOUR.holdings
        restarted.answered(NOTHING, 20, reconnected=False)
        assert holdings(restarted, 20) == FOUR.holdings

    def test_an_answer_with_half_of_the_pods_is_used(self, restarted: AllocationCache) -> None:
        half = answer(c="GPU-3", d="GPU-4")
        restarted.answered(half, 15, reconnected=False)
        assert holdings(restarted, 15) == half.holdings
        restarted.answered(NOTHING, 20, reconnected=False)
        assert holdings(restarted, 20) == ()

    def test_the_newest_answer_is_used_when_the_time_is_over(self, restarted: AllocationCache) -> None:
        newest = answer(d="GPU-4")
        restarted.answered(newest, 65, reconnected=False)
        assert restarted.changes_at(65) == 70
        assert holdings(restarted, 69.9) == FOUR.holdings
        assert holdings(restarted, 70) == newest.holdings
        restarted.answered(NOTHING, 75, reconnected=False)
        assert holdings(restarted, 75) == ()

    def test_repeated_restarts_do_not_extend_it(self, restarted: AllocationCache) -> None:
        for now in (30, 50, 69):
            restarted.answered(NOTHING, now, reconnected=True)
            assert holdings(restarted, now) == FOUR.holdings
        restarted.answered(NOTHING, 71, reconnected=True)
        assert holdings(restarted, 71) == ()

    def test_the_hold_time_also_applies_during_it(self, restarted: AllocationCache) -> None:
        assert holdings(restarted, 69) == FOUR.holdings
        assert holdings(restarted, 70) is None

    def test_expired_allocations_are_not_restored(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(NOTHING, 100, reconnected=True)
        assert holdings(held, 100) is None
        held.answered(NOTHING, 105, reconnected=False)
        assert holdings(held, 105) is None
        held.answered(FOUR, 110, reconnected=False)
        assert holdings(held, 110) == FOUR.holdings

    def test_expired_allocations_are_known_again_when_it_ends(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.answered(NOTHING, 100, reconnected=True)
        held.answered(answer(a="GPU-1"), 155, reconnected=False)
        assert holdings(held, 159) is None
        assert holdings(held, 160) == answer(a="GPU-1").holdings

    def test_it_can_be_shorter_than_the_hold_time(self) -> None:
        held = AllocationCache(60, 8)
        held.answered(FOUR, 0, reconnected=True)
        held.answered(NOTHING, 10, reconnected=True)
        assert held.changes_at(10) == 18
        assert holdings(held, 17.9) == FOUR.holdings
        assert holdings(held, 18) == ()


class TestClaims:
    def test_claims_of_pods_that_a_restarted_kubelet_does_not_list_yet_are_kept(self, held: AllocationCache) -> None:
        claims = tuple(ClaimDevice("ml", pod, "gpu.example.com", "n", f"gpu-{pod}") for pod in "ab")
        held.answered(PodResourcesList(FOUR.pods, FOUR.holdings, claims), 0, reconnected=True)
        held.answered(PodResourcesList(frozenset({("ml", "a")}), ()), 10, reconnected=True)
        current = held.current(10)
        assert current is not None
        assert current.claim_devices == claims[1:]


class TestLimits:
    def test_other_times_apply_to_the_last_answer(self, held: AllocationCache) -> None:
        held.answered(FOUR, 0, reconnected=True)
        held.set_limits(5, 5)
        assert held.changes_at(0) == 5
        assert holdings(held, 5) is None
