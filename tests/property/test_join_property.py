"""The daemon and `check` join allocations with devices in the same way: they agree on what is allocated."""

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import catalog
from collectors.contract import Alias, Device, Partition, Reading, SubjectKey
from collectors.metric import Metric
from exporter.assembler import Assembler, Clocks
from exporter.attribution.holding import Holding, PodResourcesList
from exporter.attribution.watcher import AttributionState
from exporter.check.facts import AllocationFacts, CallOutcome, CollectorFacts
from exporter.check.kubelet import allocation_facts
from exporter.snapshot import Snapshot
from tests.doubles.collectors import LIMITS, Clock, ended

# A property must not fail on a slow machine.
UNHURRIED = settings(deadline=None)
PREFIXES = ("acme.com/",)
DEVICES = ("a", "b", "c")
IDS = (*DEVICES, "a0", "b0", "b1", "c0", "a::0", "a::1", "b0::0", "shared", "stranger", "")
RESOURCES = ("acme.com/gpu", "acme.com/gpu.shared", "acme.com/monitoring", "example.com/net")
NAMES = st.sampled_from(("p", "q"))

holdings = st.frozensets(
    st.builds(Holding, NAMES, NAMES, NAMES, st.sampled_from(RESOURCES), st.sampled_from(IDS), st.just("device_plugin")),
    max_size=8,
)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """Some devices, each lost or not, with aliases or without, whole or partitioned."""
    devices: list[Device] = []
    partitions: list[Partition] = []
    for uuid in draw(st.sets(st.sampled_from(DEVICES))):
        names = draw(st.frozensets(st.sampled_from((Alias(uuid), Alias("shared")))))
        devices.append(Device(uuid, f"dev-{uuid}", "acme", "A1", names, draw(st.booleans())))
        parts = draw(st.sets(st.sampled_from((f"{uuid}0", f"{uuid}1"))))
        partitions += (Partition(part, uuid, "1g", frozenset({Alias(part)})) for part in parts)
    return Reading(tuple(devices), tuple(partitions))


def served(held: frozenset[Holding], reading: Reading) -> Snapshot:
    """The daemon's snapshot."""
    clock = Clock()
    assembler = Assembler(["acme"], PREFIXES, LIMITS, Clocks(clock, clock))
    assembler.apply(ended(1.0, reading))
    assembler.apply(AttributionState(tuple(sorted(held)), up=True, last_success_timestamp_seconds=1.0))
    return assembler.snapshot()


def values(snapshot: Snapshot, metric: Metric) -> dict[SubjectKey, float]:
    return {SubjectKey(s.device_uuid, s.partition_uuid): s.value for s in snapshot.samples if s.metric is metric}


def checked(held: frozenset[Holding], reading: Reading) -> AllocationFacts:
    """The result of `check` for the same."""
    pods = frozenset((each.namespace, each.pod) for each in held)
    acme = CollectorFacts("acme", CallOutcome.OK, PREFIXES, 0.0, reading)
    return allocation_facts(PodResourcesList(pods, tuple(sorted(held))), [acme])


@UNHURRIED
@given(holdings, readings())
def test_daemon_and_check_agree_on_allocations(held: frozenset[Holding], reading: Reading) -> None:
    snapshot, report = served(held, reading), checked(held, reading)
    holders = {
        SubjectKey(row.device.uuid, row.partition.uuid if row.partition else ""): row.holders
        for row in report.device_holders
    }
    known = {subject: found for subject, found in holders.items() if found is not None}
    held_devices = {subject.device_uuid for subject, found in known.items() if found}

    counts = values(snapshot, catalog.ALLOCATIONS)
    assert counts == {subject: len(found) for subject, found in known.items() if subject in counts}
    # One more may hold what several hold: an id that is not understood has its name.
    assert all(len(found) > 1 and report.unmatched for subject, found in known.items() if subject not in counts)
    assert values(snapshot, catalog.ALLOCATED) == {
        subject: float(bool(found) or (not subject.partition_uuid and subject.device_uuid in held_devices))
        for subject, found in known.items()
    }
    assert sum(snapshot.unmatched.values()) == len(report.unmatched)


@UNHURRIED
@given(holdings, readings())
def test_only_what_an_unmatched_id_may_hold_is_unknown(held: frozenset[Holding], reading: Reading) -> None:
    report = checked(held, reading)
    whole = {row.device.uuid for row in report.device_holders if row.holders and row.partition is None}
    held_devices = {row.device.uuid for row in report.device_holders if row.holders}
    ambiguous = "shared" in {holding.device_id for holding in report.unmatched}
    for row in report.device_holders:
        accounted = row.device.uuid in (held_devices if row.partition is None else whole) or bool(row.holders)
        named = ambiguous and Alias("shared") in row.device.aliases
        lost = row.partition is None and row.device.lost and bool(report.unmatched)
        assert (row.holders is None) is (not accounted and (named or lost))
