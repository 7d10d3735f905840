"""The state that each device is in, by the collectors' own word. No I/O."""

from collectors import catalog
from exporter.check.facts import Facts

_FAILED = "failed"


def device_states(facts: Facts) -> dict[str, str]:
    """State by device uuid, of the catalogue's closed list; a device whose state nobody tells is left out."""
    states = {device.uuid: _FAILED for device in facts.devices if device.lost}
    for collector in facts.collectors:
        for sample in collector.reading.samples if collector.reading else ():
            if sample.metric is catalog.STATUS_STATE and sample.value:
                states[sample.device_uuid] = sample.labels[0]
    return states
