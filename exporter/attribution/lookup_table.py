"""Which objects are to be got by name, and what was got. No I/O; the caller gives the time.

An object is got again only if the kubelet's list shows that it may be another one of the same name.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

ObjectName = tuple[str, str]  # namespace and name

_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class ObjectListing:
    """How the kubelet lists an object.

    Attributes:
        contents: What is listed of it. With other contents it is another object.
        users: Who uses it. If none of them remains, it may be another object.
    """

    contents: frozenset[object]
    users: frozenset[object]

    def continues(self, before: "ObjectListing") -> bool:
        """Whether it is the same object as in an earlier list."""
        return self.contents == before.contents and not self.users.isdisjoint(before.users)


@dataclass(slots=True, eq=False)
class PendingObject(Generic[T]):
    """One object of the table.

    Attributes:
        listing: How it is listed now.
        due: When it is to be got, in monotonic seconds.
        value: What was got; None before that, or if it has nothing.
        awaited: True until the first attempt has ended.
    """

    listing: ObjectListing
    due: float
    value: T | None = None
    awaited: bool = True


class LookupTable(Generic[T]):
    """The objects that the kubelet lists, at most a fixed number.

    Args:
        most: How many objects; others are never got.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._objects: dict[ObjectName, PendingObject[T]] = {}

    @property
    def names(self) -> Collection[ObjectName]:
        """The objects that are known."""
        return self._objects.keys()

    def follow(self, listed: Mapping[ObjectName, ObjectListing], now: float) -> bool:
        """Forget what is no longer listed, and plan to get what is new. Returns whether anything was forgotten.

        Args:
            listed: All objects that are listed now.
            now: The time.
        """
        kept = {
            name: each
            for name, each in self._objects.items()
            if name in listed and listed[name].continues(each.listing)
        }
        forgotten = len(kept) < len(self._objects)
        for name, each in kept.items():
            each.listing = listed[name]
        for name in sorted(listed.keys() - kept.keys())[: max(0, self._most - len(kept))]:
            kept[name] = PendingObject(listed[name], now)
        self._objects = kept
        return forgotten

    def due(self, now: float) -> tuple[ObjectName, PendingObject[T]] | None:
        """Return the object that has been due for longest; None if none is."""
        waiting = min(self._objects.items(), key=lambda each: each[1].due, default=None)
        return waiting if waiting is not None and waiting[1].due <= now else None

    def next_due(self) -> float:
        """Return when the next object is due; infinity if none will be."""
        return min((each.due for each in self._objects.values()), default=_NEVER)

    def found(self, pending: PendingObject[T], value: T | None, again_at: float = _NEVER) -> None:
        """Record what was got; it is without effect if the object has been forgotten since.

        Args:
            pending: What `due` returned.
            value: What it has; None for nothing.
            again_at: When to get it again.
        """
        pending.value, pending.due, pending.awaited = value, again_at, False

    def give_up(self) -> bool:
        """Stop to wait for first attempts: calls fail at present. Returns whether any was awaited."""
        awaited = [each for each in self._objects.values() if each.awaited]
        for each in awaited:
            each.awaited = False
        return bool(awaited)

    def is_pending(self, name: ObjectName) -> bool:
        """Whether the first attempt to get an object is still to end."""
        return name in self._objects and self._objects[name].awaited

    def is_any_pending(self) -> bool:
        """Whether the first attempt to get any object is still to end."""
        return any(each.awaited for each in self._objects.values())

    def value(self, name: ObjectName) -> T | None:
        """Return what an object has; None if that is unknown."""
        return self._objects[name].value if name in self._objects else None

    def values(self) -> Mapping[ObjectName, tuple[ObjectListing, T]]:
        """Every object whose value is known, with how it is listed."""
        return {name: (each.listing, each.value) for name, each in self._objects.items() if each.value is not None}
