"""A GPU that is lost and then works again has all its families back at once, and not only with the next slow poll.

Its driver is busy at first: every call about a reading fails twice.
"""

import pytest

from tests.doubles.exporter_process import Scrape, exporter, wait_until
from tests.doubles.node import Node

_PROFILE = "1g.10gb"
_SLOW_CALL = "nvmlDeviceGetPersistenceMode"
# Long before the next slow poll, which comes after 60 seconds.
_SECONDS = 10.0
_IN_USE = 19
_BUSY_CALLS = ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetPowerManagementDefaultLimit", _SLOW_CALL)


def families(scrape: Scrape, uuid: str) -> set[str]:
    """The families of a GPU and of its partitions."""
    return {series.name for series in scrape if series.labels.get("uuid") == uuid}


@pytest.mark.parametrize("subject", ["device", "partition"])
def test_a_healed_gpu_has_all_its_families_within_ten_seconds_at_the_default_intervals(
    node: Node, subject: str
) -> None:
    node.add_h100s(2)
    if subject == "partition":
        node.partition(0, _PROFILE)
    lost, other = node.uuids
    last_to_come = f"accelerator_{subject}_sm_occupancy_ratio"  # it needs two samples
    with exporter(node.path, *node.flags, "--poll.fast-interval=200ms", environment=node.environment) as running:

        def complete() -> set[str] | None:
            found = families(running.scrape(), lost)
            return found if last_to_come in found else None

        before = wait_until(complete)
        assert {"accelerator_device_mode", "accelerator_device_temperature_celsius"} <= before  # slow and medium
        node.lose(0)
        wait_until(lambda: "accelerator_device_power_watts" not in families(running.scrape(), lost))
        calls = node.nvml.calls(_SLOW_CALL, device=1)
        node.partition(1, _PROFILE)  # a new partition makes slow readings due, which the lost GPU misses
        wait_until(lambda: node.nvml.calls(_SLOW_CALL, device=1) > calls)
        wait_until(lambda: "accelerator_partition_info" in families(running.scrape(), other))
        with node.nvml.at_once():
            node.nvml.heal()
            for call in _BUSY_CALLS:
                node.nvml.fail(call, _IN_USE, device=0, times=2)
        wait_until(lambda: before <= families(running.scrape(), lost), _SECONDS)
        assert running.scrape().value("accelerator_device_status", uuid=lost, state="ok") == 1
