"""Packed holdings are the same as a sorted tuple of them."""

from itertools import permutations

import pytest

from exporter.attribution.holding import Holding, Holdings

GPU, NET = "nvidia.com/gpu", "example.com/net"


def holding(pod: str, device_id: str, resource: str = GPU, source: str = "device_plugin") -> Holding:
    return Holding("ml", pod, "main", resource, device_id, source)


ALL = (holding("a", ""), holding("a", "é\0"), holding("a", "\U0001f600"), holding("b", "1", NET), holding("b", "1"))


@pytest.mark.parametrize("listed", list(permutations(ALL)))
def test_they_are_sorted_whatever_the_order(listed: tuple[Holding, ...]) -> None:
    packed = Holdings.of(listed)
    assert tuple(packed) == ALL
    assert packed == ALL
    assert packed == Holdings.of(ALL)
    assert len(packed) == 5
    assert packed.by_resource() == {GPU: 4, NET: 1}


def test_each_is_kept_once() -> None:
    packed = Holdings.of((*ALL, *ALL))
    assert packed == Holdings.of(ALL)
    assert len(packed) == 5


def test_none() -> None:
    packed = Holdings.of(())
    assert packed == ()
    assert not packed
    assert packed.by_resource() == {}


def test_holdings_differ_by_every_field() -> None:
    one = Holding("ns", "p", "c", "r", "d", "s", "claim")
    others = [one._replace(**{name: "x"}) for name in Holding._fields]
    for other in others:
        assert Holdings.of((one,)) != Holdings.of((other,))
        assert Holdings.of((one,)) != (other,)
        assert set(Holdings.of((one, other))) == {one, other}
    assert Holdings.of((one,)) != "one"


def test_membership_and_hash_are_those_of_the_tuple() -> None:
    packed = Holdings.of(ALL)
    assert all(each in packed for each in ALL)
    assert holding("c", "1") not in packed
    assert hash(packed) == hash(ALL)
