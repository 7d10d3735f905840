"""The utilization of a partitioned device whose driver reports it for the partitions only."""

import pytest

from collectors import catalog
from collectors.contract import Reading, Sample, SubjectKey
from exporter.assembler import Assembler, Clocks
from exporter.partition_sum import device_utilization
from exporter.snapshot import Snapshot
from tests.doubles.collectors import LIMITS, Clock, ended, gpu, part, utilization

HALF, SEVENTH = part("gpu-a", "half"), part("gpu-a", "seventh")
SIZES = {HALF.subject: 3 / 7, SEVENTH.subject: 1 / 7}
BUSY = (utilization("gpu-a", 0.5, "half"), utilization("gpu-a", 1.0, "seventh"))


def test_it_is_the_sum_of_the_partitions_by_their_size() -> None:
    (total,) = device_utilization((HALF, SEVENTH), BUSY, SIZES)

    assert total.value == pytest.approx(0.5 * 3 / 7 + 1 / 7)
    assert total == utilization("gpu-a", total.value)


@pytest.mark.parametrize(
    ("samples", "sizes"),
    [
        ((*BUSY, utilization("gpu-a", 0.25)), SIZES),
        (BUSY[:1], SIZES),
        (BUSY, {HALF.subject: 3 / 7}),
        (BUSY, {HALF.subject: 4 / 7, SEVENTH.subject: 4 / 7}),
    ],
    ids=["the driver reports it", "a partition without utilization", "a partition without size", "overlap"],
)
def test_it_is_absent_where_it_is_reported_or_unknown(
    samples: tuple[Sample, ...], sizes: dict[SubjectKey, float]
) -> None:
    assert list(device_utilization((HALF, SEVENTH), samples, sizes)) == []


def test_it_is_integrated_like_a_reading() -> None:
    clock = Clock()
    assembler = Assembler(["acme"], ("acme/",), LIMITS, Clocks(clock, clock))
    ratios = tuple(Sample(catalog.COMPUTE_RATIO, "gpu-a", size, key.partition_uuid) for key, size in SIZES.items())

    def poll(at: float, *samples: Sample) -> Snapshot:
        clock.now = at
        assembler.apply(ended(at, Reading((gpu("gpu-a"),), (HALF, SEVENTH), samples)))
        return assembler.snapshot()

    poll(1.0, *BUSY, *ratios)
    snapshot = poll(2.0, *BUSY, *ratios)

    values = {sample.metric: sample.value for sample in snapshot.samples if not sample.partition_uuid}
    assert values[catalog.UTILIZATION] == values[catalog.BUSY_SECONDS] == pytest.approx(0.357, abs=0.001)
    assert values[catalog.OBSERVED_SECONDS] == 1.0
