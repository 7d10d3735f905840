"""A collector that is called when its cadences are due, over time that the test lets pass."""

from collections.abc import Callable

from collectors.contract import Reading
from collectors.metric import Cadence
from exporter.poller import Schedule, answering_subjects
from tests.doubles.collectors import INTERVALS


class Polled:
    """What is known of one device and its partitions: the families of the last reading of each cadence.

    Args:
        read: Reads the collector.
        pass_time: Lets so many seconds pass.
        uuid: The device.
    """

    def __init__(
        self, read: Callable[[frozenset[Cadence]], Reading], pass_time: Callable[[float], None], uuid: str
    ) -> None:
        self._read = read
        self._pass_time = pass_time
        self._uuid = uuid
        self._schedule = Schedule(INTERVALS)
        self._known: dict[Cadence, set[tuple[str, bool]]] = {}
        self.now = 0.0
        self.dues: list[frozenset[Cadence]] = []

    @property
    def families(self) -> set[tuple[str, bool]]:
        """The families, each with whether it is of a partition."""
        return set().union(*self._known.values())

    def run(self, seconds: float) -> None:
        """Poll for some time."""
        end = self.now + seconds
        while self.now <= end:
            due = self._schedule.due(self.now)
            if due:
                self._poll(due)
            pause = self._schedule.wait_seconds(self.now)
            self.now += pause
            self._pass_time(pause)

    def seconds_until(self, condition: Callable[[], bool], limit: float) -> float:
        """How long it takes, polling, until a condition holds; the limit if it does not."""
        begin = self.now
        while not condition() and self.now - begin < limit:
            self.run(0)
        return self.now - begin

    def _poll(self, due: frozenset[Cadence]) -> None:
        reading = self._read(due)
        self.dues.append(due)
        self._schedule.succeeded(due, self.now)
        self._schedule.add_missing(due, answering_subjects(reading), self.now, incomplete=reading.incomplete)
        for cadence in due:
            self._known[cadence] = {
                (sample.metric.stem, bool(sample.partition_uuid))
                for sample in reading.samples
                if sample.device_uuid == self._uuid and sample.metric.cadence is cadence
            }
