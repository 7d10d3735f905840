"""Replaces values of the simulated hardware by garbage if the scenario says so, and drops all garbage."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from collectors import catalog
from collectors.contract import Fault, Reason, Sample
from collectors.metric import Kind, Metric, Unit

# Values that real libraries are known to return for unknown readings.
_GARBAGE: Mapping[Metric, float] = {
    catalog.UTILIZATION: 8083344.18,
    catalog.MEMORY_USAGE: float(2**64 - 1),
    catalog.POWER: 4294967.295,
    catalog.TEMPERATURE: -32768.0,
    catalog.CLOCK: math.nan,
}
# The bounds of plausible values, by unit of a gauge.
_BOUNDS: Mapping[Unit, tuple[float, float]] = {
    Unit.NONE: (0.0, 2**32),
    Unit.RATIO: (0.0, 1.0),
    Unit.SECONDS: (0.0, 2**40),
    Unit.BYTES: (0.0, 2**48),
    Unit.WATTS: (0.0, 20_000.0),
    Unit.CELSIUS: (-60.0, 250.0),
    Unit.HERTZ: (0.0, 1e11),
    Unit.BYTES_PER_SECOND: (0.0, 1e15),
}


def garbled(sample: Sample) -> Sample:
    """The sample as faulty hardware returns it; most families are not affected."""
    return replace(sample, value=_GARBAGE.get(sample.metric, sample.value))


def checked(samples: Iterable[Sample], where: str, faults: list[Fault]) -> list[Sample]:
    """The plausible samples.

    Args:
        samples: As the hardware returns them.
        where: The device, for the log.
        faults: Receives one fault for each implausible sample.
    """
    kept: list[Sample] = []
    for sample in samples:
        if plausible(sample):
            kept.append(sample)
        else:
            row = sample.metric.stem
            faults.append(Fault(Reason.INVALID_VALUE, f"{where} {row}", f"simulated fault: value {sample.value}"))
    return kept


def plausible(sample: Sample) -> bool:
    """True if the value is within the bounds. A counter has no upper bound."""
    counter = sample.metric.kind is Kind.COUNTER
    low, high = (0.0, math.inf) if counter else _BOUNDS[sample.metric.unit]
    return math.isfinite(sample.value) and low <= sample.value <= high
