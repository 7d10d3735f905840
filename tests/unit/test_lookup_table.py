import pytest

from exporter.attribution.lookup_table import LookupTable, ObjectListing, ObjectName

A: ObjectName = ("ml", "a")
B: ObjectName = ("ml", "b")


def listing(contents: str = "gpu-0", users: str = "train") -> ObjectListing:
    return ObjectListing(frozenset(contents.split()), frozenset(users.split()))


def got(table: LookupTable[str], value: str | None, now: float = 0.0, again_at: float = float("inf")) -> None:
    """Get what is due."""
    due = table.due(now)
    assert due is not None
    table.found(due[1], value, again_at)


def test_what_is_new_is_due_at_once_and_then_never_again() -> None:
    table = LookupTable[str](8)
    assert (table.due(5.0), table.next_due()) == (None, float("inf"))
    table.follow({A: listing()}, 5.0)
    assert table.next_due() == 5.0
    assert table.is_pending(A)
    got(table, "value", 5.0)
    assert (table.value(A), table.is_pending(A), table.due(1e9)) == ("value", False, None)


def test_what_has_nothing_is_due_again() -> None:
    table = LookupTable[str](8)
    table.follow({A: listing()}, 0.0)
    got(table, None, 0.0, again_at=60.0)
    assert (table.value(A), table.is_pending(A), table.due(59.9)) == (None, False, None)
    got(table, "value", 60.0)
    assert table.value(A) == "value"


def test_the_one_that_waits_for_longest_is_due_first() -> None:
    table = LookupTable[str](8)
    table.follow({B: listing()}, 0.0)
    table.follow({A: listing(), B: listing()}, 1.0)
    due = table.due(1.0)
    assert due is not None
    assert due[0] == B


@pytest.mark.parametrize(
    ("then", "kept"),
    [
        pytest.param(listing(), True, id="the same"),
        pytest.param(listing(users="train other"), True, id="one more user"),
        pytest.param(listing(users="other"), False, id="other users"),
        pytest.param(listing("gpu-1"), False, id="other contents"),
        pytest.param(None, False, id="no longer listed"),
    ],
)
def test_what_may_be_another_object_is_forgotten(then: ObjectListing | None, kept: bool) -> None:  # noqa: FBT001 - a case
    table = LookupTable[str](8)
    table.follow({A: listing()}, 0.0)
    got(table, "value")
    assert table.follow({} if then is None else {A: then}, 1.0) is not kept
    assert table.value(A) == ("value" if kept else None)


def test_users_may_change_one_by_one() -> None:
    table = LookupTable[str](8)
    table.follow({A: listing(users="one")}, 0.0)
    got(table, "value")
    for users in ("one two", "two", "two three", "three"):
        assert not table.follow({A: listing(users=users)}, 1.0)
    assert table.value(A) == "value"


def test_an_answer_for_an_object_that_was_forgotten_meanwhile_is_dropped() -> None:
    table = LookupTable[str](8)
    table.follow({A: listing()}, 0.0)
    due = table.due(0.0)
    assert due is not None
    table.follow({A: listing("gpu-1")}, 1.0)
    table.found(due[1], "of the earlier object")
    assert table.value(A) is None
    assert table.is_pending(A)


def test_nothing_is_awaited_after_giving_up() -> None:
    table = LookupTable[str](8)
    table.follow({A: listing()}, 0.0)
    assert table.give_up()
    assert not table.is_pending(A)
    assert not table.give_up()
    assert table.due(0.0) is not None


def test_only_so_many_objects_are_known_and_they_stay() -> None:
    table = LookupTable[str](2)
    many = {("ml", f"c{number}"): listing() for number in range(5)}
    table.follow(many, 0.0)
    got(table, "first")
    got(table, "second")
    assert table.due(1e9) is None
    table.follow({("ml", "b"): listing(), **many}, 1.0)
    assert sorted(table.values()) == [("ml", "c0"), ("ml", "c1")]
    del many["ml", "c0"]
    table.follow(many, 2.0)
    got(table, "third", 2.0)
    assert sorted(table.values()) == [("ml", "c1"), ("ml", "c2")]
