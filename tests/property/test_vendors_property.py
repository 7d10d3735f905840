"""Whatever the energy counter of a card returns, from the vendors' doubles to the counters of a device and its pod."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.catalog.bounds import SPIKE
from collectors.contract import Collector, Reading, Reason, SubjectKey, UnavailableError
from collectors.counters import bound
from exporter.snapshot import Holder
from exporter.validation import Accepted
from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_node import collector_of
from tests.doubles.amd_tree import AmdTree
from tests.doubles.books import TRAIN, Books, sole
from tests.doubles.collectors import EVERY, FAST, Clock
from tests.doubles.nvidia_collector import CollectorBench, h100_bench

BASE_JOULES = 5_000_000.0
ENERGY_CALL, COUNT_CALL = "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetCount_v2"
NOT_SUPPORTED, DRIVER_NOT_LOADED = 3, 9


class Wrong(Enum):
    """How a reading goes wrong."""

    ZERO = auto()
    LOW = auto()  # not much more than 0, as after a reset
    FALL = auto()
    JUMP = auto()
    MARK = auto()  # 32 bits
    ALL_ONES = auto()
    UNSUPPORTED = auto()
    GONE = auto()  # the driver
    GONE_AND_RESET = auto()
    RESET = auto()  # not told


class Step(NamedTuple):
    """What happens until the next reading, and how it goes wrong.

    Attributes:
        seconds: Time that passes.
        ratio: How much is counted, as a fraction of the most that is possible.
        wrong: None: it reads what the counter has counted.
    """

    seconds: float
    ratio: float
    wrong: Wrong | None = None


class MeteredCard(ABC):
    """The double of a card with an energy counter, and its collector.

    Attributes:
        uuid: Of the card.
        units_per_joule: Raw units of the counter.
        limit_watts: Its power limit.
        now: Seconds since the first reading.
    """

    uuid: str
    units_per_joule: float
    limit_watts: float
    now = 0.0

    @abstractmethod
    def start(self) -> Collector:
        """A collector that has not read the card yet."""

    @abstractmethod
    def count(self, raw: int) -> None:
        """Set the raw value of the counter; it is supported, and the driver is loaded."""

    @abstractmethod
    def refuse(self, *, gone: bool) -> None:
        """The counter is not supported, or the whole driver is gone, until a value is set again."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Move time forward."""


class NvidiaCard(MeteredCard):
    def __init__(self, opened: CollectorBench) -> None:
        self._opened = opened
        self._card = opened.card
        self._card.power_milliwatts = 300_000
        self.uuid, self.units_per_joule, self.limit_watts = self._card.uuid, 1000.0, 700.0

    def start(self) -> Collector:
        self._opened.collector.close()
        return self._opened.collector

    def count(self, raw: int) -> None:
        self._opened.state.heal()
        self._card.energy_millijoules = raw

    def refuse(self, *, gone: bool) -> None:
        self._opened.state.fail(*((COUNT_CALL, DRIVER_NOT_LOADED) if gone else (ENERGY_CALL, NOT_SUPPORTED)))

    def pass_time(self, seconds: float) -> None:
        self._opened.pass_time(seconds)


class AmdCard(MeteredCard):
    def __init__(self, path: Path) -> None:
        self._tree = AmdTree(path / "sys")
        self._gpu = self._tree.add(MI300X, "0000:05:00.0")
        self._clock = Clock()
        self.uuid, self.units_per_joule, self.limit_watts = self._gpu.uuid, 2.0**16, 750.0

    def start(self) -> Collector:
        return collector_of(self._tree, parse=parse, clock=self._clock)

    def count(self, raw: int) -> None:
        if not self._gpu.present:
            self._gpu.bind()
        self._gpu.write_table(energy=raw)

    def refuse(self, *, gone: bool) -> None:
        if gone and self._gpu.present:
            self._gpu.unbind()
        elif self._gpu.present:
            self._gpu.path("gpu_metrics").unlink(missing_ok=True)

    def pass_time(self, seconds: float) -> None:
        self._clock.now += seconds


class DeviceSeries:
    """The energy series of the device, which may fall only where the rule for counters allows it."""

    def __init__(self) -> None:
        self._value = 0.0
        self._read: float | None = None
        self._session: object = None
        self._sessions = 0
        self._session_of_value = 0

    def reset_may_have_happened(self) -> None:
        """The driver was gone."""
        self._sessions += 1

    def check(self, reading: Reading, exported: float | None, *, integrated: bool) -> None:
        """Check what is exported of a reading.

        Args:
            reading: The reading.
            exported: The value of the series; None if it is absent.
            integrated: Whether it is not the counter.
        """
        [device] = reading.devices
        session = (reading.sessions.get(device.uuid), device.lost)
        if session != self._session:
            self._session = session
            self.reset_may_have_happened()
        read = next((sample.value for sample in reading.samples if sample.metric is catalog.ENERGY), None)
        if exported is not None:
            if exported < self._value and self._sessions == self._session_of_value:  # a reset that nobody told
                assert read is not None
                assert self._read is not None
                assert self._read < self._value
                assert read >= self._read
            if integrated or exported == read:
                self._session_of_value = self._sessions
            self._value = exported
        self._read = self._read if read is None else read


class Node:
    """A card, one pod on it, and the exporter from the collector to the counters.

    Args:
        card: The card.
    """

    def __init__(self, card: MeteredCard) -> None:
        self.card = card
        self.collector = card.start()
        self.clock = Clock()
        self.books = Books(self.clock)
        self.series = DeviceSeries()
        self.counted = BASE_JOULES
        self.subject = SubjectKey(card.uuid)
        self._first = True
        self._most = SPIKE * card.limit_watts
        self._credited_at = 0.0
        self._credited = (0.0, 0.0)
        self.books.add_allocations(0.0, (sole(TRAIN, self.subject),))

    def poll(self, step: Step) -> None:
        """Let the step happen, read, and check what has risen."""
        self.clock.now += step.seconds
        self.card.pass_time(step.seconds)
        self.counted += step.ratio * self._most * step.seconds
        self._act(step.wrong)
        try:
            reading = self.collector.read(EVERY if self._first else FAST)
        except UnavailableError as error:
            if error.reason is not Reason.DRIVER_NOT_LOADED:
                raise
            self.books.validator.interrupt()
            self.series.reset_may_have_happened()
        else:
            self._first = False
            self._add(reading)
        self._check_credit()

    def _act(self, wrong: Wrong | None) -> None:
        if wrong in (Wrong.RESET, Wrong.GONE_AND_RESET):
            self.counted = 0.0
        if wrong in (Wrong.UNSUPPORTED, Wrong.GONE, Wrong.GONE_AND_RESET):
            self.card.refuse(gone=wrong is not Wrong.UNSUPPORTED)
            return
        raw = round(self.counted * self.card.units_per_joule)
        read = {
            Wrong.ZERO: 0,
            Wrong.LOW: raw % 10**7,
            Wrong.FALL: raw * 99 // 100,
            Wrong.JUMP: raw + 2**50,
            Wrong.MARK: 2**32 - 1,
            Wrong.ALL_ONES: 2**64 - 1,
        }
        self.card.count(raw if wrong is None else read.get(wrong, raw))

    def _add(self, reading: Reading) -> None:
        accepted = self.books.validator.validate(reading, self.clock.now)
        self.books.add_readings(self.clock.now, accepted)
        self.books.add_allocations(self.clock.now, (sole(TRAIN, self.subject),))
        integrated = self.card.uuid in accepted.integrated_power
        self.series.check(reading, self._exported(accepted), integrated=integrated)

    def _exported(self, accepted: Accepted) -> float | None:
        samples = (*accepted.samples, *self.books.samples(accepted.samples))
        found = [sample.value for sample in samples if sample.metric is catalog.ENERGY]
        assert len(found) <= 1
        return found[0] if found else None

    def credited(self) -> tuple[float, float]:
        """Joules of the pod: measured, and by its share."""
        usage = self.books.usage(Holder(TRAIN, self.subject))
        return usage.energy_joules, usage.allocated_energy_joules

    def _check_credit(self) -> None:
        credited = self.credited()
        for before, now in zip(self._credited, credited, strict=True):
            assert before <= now <= before + bound(self._most, self.clock.now - self._credited_at)
        if credited != self._credited:
            self._credited, self._credited_at = credited, self.clock.now


@pytest.fixture(scope="module", params=["nvidia", "amd"])
def card(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, nvml_library: Path
) -> Iterator[MeteredCard]:
    path = tmp_path_factory.mktemp("vendor")
    if request.param == "amd":
        yield AmdCard(path)
        return
    with h100_bench(path, nvml_library) as opened:
        yield NvidiaCard(opened)


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([1.0] * 4 + [5.0, 20.0]),
        st.floats(0, 1),
        st.sampled_from([None] * len(Wrong)) | st.sampled_from(Wrong),
    ),
    min_size=2,
    max_size=25,
)
GOOD = Step(1, 0.1)
WRONG_ONCE = [GOOD, *(step for wrong in Wrong for step in (Step(1, 0.1, wrong), GOOD, GOOD, GOOD))]
WRONG_AFTER_GONE = [
    GOOD,
    *(step for wrong in Wrong for step in (Step(1, 0.1, Wrong.GONE), Step(1, 0.1, wrong), GOOD, GOOD, GOOD)),
]


@settings(deadline=None, max_examples=20)
@given(steps=STEPS)
@example(steps=WRONG_ONCE)
@example(steps=WRONG_AFTER_GONE)
def test_energy_of_a_pod_never_falls_or_rises_beyond_the_bound_and_that_of_its_device_falls_only_at_a_reset(
    card: MeteredCard, steps: list[Step]
) -> None:
    node = Node(card)
    for step in steps:
        node.poll(step)


def test_energy_without_wrong_readings_is_credited_in_full(card: MeteredCard) -> None:
    node = Node(card)
    for _ in range(11):
        node.poll(Step(1.0, 0.3))
    assert node.credited() == pytest.approx((node.counted - BASE_JOULES - 0.3 * SPIKE * card.limit_watts,) * 2)
