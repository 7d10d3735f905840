"""Replaces values of the simulated hardware by garbage if the scenario says so, and drops all garbage."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from collectors import catalog
from collectors.contract import Fault, Reason, Sample
from collectors.metric import Metric
from collectors.plausibility import ImplausibleError, require_possible

# Values that real libraries are known to return for unknown readings.
_GARBAGE: Mapping[Metric, float] = {
    catalog.UTILIZATION: 8083344.18,
    catalog.MEMORY_USAGE: float(2**64 - 1),
    catalog.POWER: 4294967.295,
    catalog.TEMPERATURE: -32768.0,
    catalog.CLOCK: math.nan,
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
        try:
            require_possible(sample.metric, sample.value)
        except ImplausibleError as error:
            faults.append(Fault(Reason.INVALID_VALUE, f"{where} {sample.metric.stem}", f"simulated fault: {error}"))
        else:
            kept.append(sample)
    return kept
