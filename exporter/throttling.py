"""What is said about a device whose clocks are reduced, by reason. Power is no reason to worry: it is so under load."""

from collections.abc import Iterable, Iterator, Mapping

from collectors import catalog
from collectors.condition import Condition
from collectors.contract import Sample

_STATE = "degraded"  # as severe as this; the state of a device does not follow from it
_CHECK_COOLING = "Check fans, air flow and the temperature of the room"
_CONDITIONS: Mapping[str, Condition] = {
    "thermal": Condition(_STATE, "Clocks are reduced: the device is too hot", _CHECK_COOLING),
    "external": Condition(
        _STATE, "Clocks are reduced by a signal from outside, such as the power brake", "Check the power supply"
    ),
    "hardware": Condition(
        _STATE, "Clocks are reduced by the hardware, without a named cause", "Check power supply and cooling"
    ),
    "reliability": Condition(_STATE, "Clocks are reduced to protect the device", _CHECK_COOLING),
}


def throttled(samples: Iterable[Sample]) -> Iterator[tuple[str, Condition]]:
    """The uuid of each device whose clocks are reduced, and why; a device can be listed more than once."""
    for sample in samples:
        if sample.metric is catalog.THROTTLE_ACTIVE and sample.value and sample.labels[0] in _CONDITIONS:
            yield sample.device_uuid, _CONDITIONS[sample.labels[0]]
