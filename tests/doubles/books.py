"""The exporter's own counters, fed with validated polls."""

from dataclasses import replace

from collectors.contract import Reading, Sample, SubjectKey
from exporter.accounting import Accounting
from exporter.snapshot import Allocation, Container
from exporter.validation import Validator
from tests.doubles.collectors import Clock, gpu, no_energy, part

MAX_GAP = 10.0
NO_ALLOCATIONS: tuple[Allocation, ...] = ()
TRAIN = Container("ml", "train-0", "main")
SERVE = Container("ml", "serve-0", "main")
A, B = SubjectKey("gpu-a"), SubjectKey("gpu-b")
SLICE = SubjectKey("gpu-a", "slice-0")


class Books(Accounting):
    """Accounting with what validates its readings."""

    def __init__(self, wall: Clock) -> None:
        super().__init__(MAX_GAP, wall)
        self.validator = Validator()


def sole(container: Container, subject: SubjectKey = A, share: float | None = 1.0) -> Allocation:
    return Allocation(container, subject, "acme.example/gpu", "device_plugin", share_ratio=share, sole=True)


def sharing(container: Container, subject: SubjectKey = A) -> Allocation:
    return replace(sole(container, subject, 0.5), sole=False)


def poll(
    books: Books,
    at: float,
    *samples: Sample,
    held: tuple[Allocation, ...] | None = NO_ALLOCATIONS,
    estimated: str = "",
) -> None:
    """One poll and the snapshot after it."""
    unsupported = (no_energy(estimated),) if estimated else ()
    reading = Reading((gpu("gpu-a"), gpu("gpu-b")), (part("gpu-a", "slice-0"),), samples, unsupported=unsupported)
    books.add_readings(at, books.validator.validate(reading, at))
    books.add_allocations(at, held)
