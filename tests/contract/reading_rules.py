"""Rules for readings: they apply on a bench and on real hardware.

A test class inherits them and has a fixture `bench`.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import combinations

from collectors import catalog
from collectors.contract import Collector, CollectorError, Device, Partition, Reading, Sample
from collectors.metric import Cadence, Kind, Metric
from exporter.validation import Validator
from tests.contract.bench import Readable
from tests.contract.breaches import breaches
from tests.contract.hosted import HostedCollector, allocated_blocks
from tests.doubles.exporter_process import wait_until

ALL = frozenset(Cadence)
MIXTURES = tuple(frozenset(some) for size in (1, 2, 3) for some in combinations(Cadence, size))
WARM_UP_READS = 200
READS = 200
MOST_ROUNDS = 8  # measured: the memory of the AMD collector stops growing after about two
_VALIDATED_READS = 10
MOST_MORE_BLOCKS = READS // 4  # a single object kept at every fourth read would be more

Key = tuple[Metric, str, str, tuple[str, ...]]


class ReadingRules:
    """Rules that every reading of every collector must meet."""

    def test_every_reading_meets_the_contract_and_contains_only_due_cadences(self, bench: Readable) -> None:
        collector = bench.start()
        promised = {row.cadence for row in (*bench.spec.metrics, *bench.spec.partition_metrics)}
        for due in (ALL, *MIXTURES, ALL):
            reading = collector.read(due)
            keeps_the_contract(bench, reading, due)
            assert reading.devices, "the bench has devices, but the reading lists none"
            brought = {sample.metric.cadence for sample in reading.samples}
            assert brought == promised & due, (
                f"the samples do not have exactly the collector's cadences among {sorted(due)}"
            )
            bench.pass_time(1)

    def test_counters_rise_and_never_fall(self, bench: Readable) -> None:
        collector = bench.start()
        first = counters(collector.read(ALL))
        before = dict(first)

        def risen() -> bool:
            nonlocal before
            bench.pass_time(1)
            now = counters(collector.read(ALL))
            lower = [key for key, value in before.items() if now.get(key, value) < value]
            assert lower == [], "counters fell without a fault"
            before |= now
            return not first or any(before[key] > value for key, value in first.items())

        for _ in range(20):
            risen()
        wait_until(risen)

    def test_exporter_accepts_every_value(self, bench: Readable) -> None:
        """Values are possible for their device, and counters rise by no more than the catalogue says is possible."""
        collector, validator = bench.start(), Validator()
        for second in range(_VALIDATED_READS):
            reading = collector.read(ALL)
            accepted = validator.validate(reading, float(second))
            refused = [f"{fault.where}: {fault.detail}" for fault in accepted.faults]
            assert refused == [], "the exporter refuses values: " + "; ".join(refused)
            integrated = {(catalog.ENERGY, uuid, "", ()) for uuid in accepted.integrated_power}
            exported, own = counters_of(accepted.samples), counters(reading)
            assert exported == {key: value for key, value in own.items() if key not in integrated}, (
                "the exporter changes or drops counters"
            )
            bench.pass_time(1)

    def test_ids_are_stable_over_reads_and_restarts(self, bench: Readable) -> None:
        collector = bench.start()
        first = identities(collector.read(ALL))
        for due in (*MIXTURES, ALL):
            assert identities(collector.read(due)) == first, "ids, aliases or properties changed between reads"
        collector.close()
        assert identities(eventually_read(collector)) == first, "ids, aliases or properties changed after close"
        assert identities(bench.start().read(ALL)) == first, "ids, aliases or properties changed after a restart"

    def test_close_is_idempotent_and_reading_resumes_after_it(self, bench: Readable) -> None:
        collector = bench.start()
        for _ in range(3):
            collector.close()
            collector.close()
            reading = eventually_read(collector)
            keeps_the_contract(bench, reading)
            assert reading.samples, "no samples after close"

    def test_memory_does_not_grow(self, bench: Readable) -> None:
        collector = bench.start()
        assert collector.read(ALL).samples, "no samples, so the memory test is meaningless"
        keeps_no_memory(bench, collector)


def keeps_the_contract(bench: Readable, reading: Reading, due: frozenset[Cadence] = ALL) -> None:
    """Fail with the sentence of every breach."""
    found = list(breaches(bench.spec, reading, due))
    assert found == [], "\n".join(("a reading breaks the contract:", *found))


def keeps_no_memory(bench: Readable, collector: Collector) -> None:
    """Fail if every round of many reads leaves more than a few small objects, also after caches are full."""
    grown = []
    for more in more_blocks(bench, collector):
        if more < MOST_MORE_BLOCKS:
            return
        grown.append(more)
    raise AssertionError(f"more objects in memory after each round of {READS} reads: {grown}")


def counters(reading: Reading) -> dict[Key, float]:
    """The values of all counters."""
    return counters_of(reading.samples)


def counters_of(samples: Iterable[Sample]) -> dict[Key, float]:
    """The values of the counters among samples."""
    return {
        (s.metric, s.device_uuid, s.partition_uuid, s.labels): s.value for s in samples if s.metric.kind is Kind.COUNTER
    }


def identities(reading: Reading) -> Mapping[str, Device | Partition]:
    """Every device and partition by uuid. Fails if a device is lost."""
    lost = [device.uuid for device in reading.devices if device.lost]
    assert lost == [], "devices are lost without a fault"
    subjects: list[Device | Partition] = [*reading.devices, *reading.partitions]
    return {subject.uuid: subject for subject in subjects}


def attempt(collector: Collector, due: frozenset[Cadence] = ALL) -> Reading | CollectorError:
    """The result of a read; an exception outside the contract fails the test."""
    try:
        return collector.read(due)
    except CollectorError as error:
        return error


def eventually_read(collector: Collector) -> Reading:
    """The first reading that succeeds."""

    def ask() -> Reading | None:
        outcome = attempt(collector)
        return outcome if isinstance(outcome, Reading) else None

    return wait_until(ask)


def more_blocks(bench: Readable, collector: Collector) -> Iterator[int]:
    """Yield the increase of small memory blocks in each round of reads, after other reads have filled the caches."""
    if isinstance(collector, HostedCollector):
        often, used = collector.read_often, collector.allocated_blocks
    else:
        often, used = partial(_read_often, bench, collector), allocated_blocks
    often(ALL, WARM_UP_READS)
    for _ in range(MOST_ROUNDS):
        before = used()
        often(ALL, READS)
        yield used() - before


def _read_often(bench: Readable, collector: Collector, due: frozenset[Cadence], times: int) -> None:
    for _ in range(times):
        attempt(collector, due)
        bench.pass_time(0.1)
