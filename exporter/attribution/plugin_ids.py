"""Resolves the ids that device plugins have allocated. No I/O.

An answer of the kubelet can list 250,000 ids, such as replicas of a few devices. So nothing is kept for a single id:
the ids of one container that mean the same are kept together, packed as they came.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from collectors.contract import SubjectKey
from exporter.attribution.device_ids import AliasTable, only_monitors
from exporter.attribution.holding import GroupKey, Holding, HoldingGroup, Holdings


class PluginIds:
    """What the ids of one answer mean.

    Args:
        table: The names of all devices and partitions.
        prefixes: The resources of collectors.
        known: The devices and partitions that have series: an id of another one is counted as unmatched.
        earlier: `subjects` of an earlier answer: a listed id keeps its meaning while it has no known name.

    Attributes:
        subjects: What ids mean, for each container, resource and meaning.
        others: Number of ids of each resource that belongs to no collector.
        possibly_held: Uuids of the devices that an unmatched id names.
        unknown_id: Whether an id of a collector's resource matches no known device.
    """

    def __init__(
        self,
        table: AliasTable,
        prefixes: tuple[str, ...],
        known: AbstractSet[SubjectKey],
        earlier: Mapping[HoldingGroup, SubjectKey],
    ) -> None:
        self.subjects: dict[HoldingGroup, SubjectKey] = {}
        self.others: Counter[str] = Counter()
        self.possibly_held: set[str] = set()
        self.unknown_id = False
        self._table = table
        self._prefixes = prefixes
        self._known = known
        self._earlier: defaultdict[GroupKey, list[tuple[HoldingGroup, SubjectKey]]] = defaultdict(list)
        for group, subject in earlier.items():
            self._earlier[group.key].append((group, subject))

    def unmatched(self, holdings: Iterable[Holding]) -> Holdings:
        """Add all holdings to the attributes, and return those that should match a device and match none."""
        return Holdings(unmatched for group in Holdings.of(holdings).groups for unmatched in self._unmatched(group))

    def _unmatched(self, group: HoldingGroup) -> Iterator[HoldingGroup]:
        """Add the ids of one group, and yield the group of those that should match a device and match none."""
        earlier = {each: subject for same, subject in self._earlier.get(group.key, ()) for each in same.split()}
        monitors = only_monitors(group.resource)
        own = group.resource.startswith(self._prefixes) and not monitors
        found: defaultdict[SubjectKey, list[bytes]] = defaultdict(list)
        unmatched: list[bytes] = []
        for packed_id in group.split():
            device_id = packed_id.decode()
            match = self._table.resolve(group.resource, device_id, earlier.get(packed_id))
            if match is not None:
                found[SubjectKey(*match)].append(packed_id)
            if match is None or match not in self._known:
                named = frozenset() if monitors else self._table.named(device_id)
                self.possibly_held |= named if match is None else frozenset()
                if named or own:
                    self.unknown_id = self.unknown_id or own
                    unmatched.append(packed_id)
                else:
                    self.others[group.resource] += 1
        self.subjects |= {group.of(ids): subject for subject, ids in found.items()}
        if unmatched:
            yield group.of(unmatched)
