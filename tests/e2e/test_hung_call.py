"""A call into the library that does not return: the collector is late, everything else continues."""

from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, running_exporter

_AGES = ("--poll.deadline=500ms", "--poll.max-age=1s")
_CARDS = 5  # one more than may be stuck
_POWER, _UTILIZATION = "nvmlDeviceGetPowerUsage", "nvmlDeviceGetUtilizationRates"
_READINGS = ("accelerator_device_utilization_ratio", "accelerator_device_power_watts", "accelerator_device_clock_hertz")
_COUNTERS = (
    "accelerator_device_busy_seconds_total",
    "accelerator_device_observed_seconds_total",
    "accelerator_container_busy_seconds_total",
    "accelerator_container_observed_seconds_total",
)


def _late(running: ExporterProcess) -> Scrape | None:
    scrape = running.scrape()
    return scrape if scrape.value("accelerator_exporter_collector_up", collector="nvidia") == 0 else None


def _without_readings(running: ExporterProcess) -> Scrape | None:
    scrape = running.scrape()
    expiring = (*_READINGS, *_COUNTERS, "accelerator_device_status")
    return None if any(scrape.find(name) for name in expiring) else scrape


def _counting(running: ExporterProcess) -> Scrape | None:
    scrape = running.scrape()
    return scrape if (scrape.value("accelerator_container_busy_seconds_total") or 0) > 1 else None


def test_a_wait_for_events_that_hangs_is_counted_and_ends_the_counts_of_events(node: Node) -> None:
    node.add_h100s(1)
    with running_exporter(node) as running:
        wait_until(lambda: running.scrape().find("accelerator_device_errors_total") or None)
        node.hang("nvmlEventSetWait_v2")
        hung = wait_until(lambda: None if (s := running.scrape()).find("accelerator_device_errors_total") else s)
        assert hung.value("accelerator_exporter_collector_errors_total", reason="late") == 1
        assert hung.find("accelerator_device_utilization_ratio")
        node.release()
        wait_until(lambda: running.scrape().find("accelerator_device_errors_total") or None)


def test_readings_expire_while_all_devices_hang_and_resume_afterwards(node: Node) -> None:
    node.add_h100s(_CARDS)
    node.set_utilization(0, 60)
    node.kubelet.pods = [pod("research", "train-0", container("main", device("nvidia.com/gpu", node.uuids[0])))]
    with node.kubelet, running_exporter(node, *_AGES) as running:
        before = wait_until(lambda: _counting(running))
        for index in range(_CARDS):
            node.hang(_UTILIZATION, index)
        late = wait_until(lambda: _late(running))
        assert late.value("accelerator_exporter_collector_errors_total", reason="late") == 1
        hung = wait_until(lambda: _without_readings(running))
        # Identity and allocations are not readings: they stay.
        assert len(hung.find("accelerator_device_info")) == _CARDS
        assert hung.value("accelerator_device_allocated", uuid=node.uuids[0]) == 1
        assert hung.value("accelerator_allocation_share_ratio", pod="train-0") == 1
        assert running.get("/-/healthy")[0] == 200
        handed_out = hung.value("accelerator_allocation_device_seconds_total") or 0
        wait_until(
            lambda: (running.scrape().value("accelerator_allocation_device_seconds_total") or 0) > handed_out + 3
        )
        node.release()
        back = wait_until(lambda: _counting(running))
        for name in _COUNTERS:
            first, then = (scrape.value(name, uuid=node.uuids[0]) for scrape in (before, back))
            assert first is not None
            assert then is not None
            # It resumes at its last value, without the gap of more than three seconds.
            assert first <= then < first + 3, name
        wait_until(lambda: _late(running) is None)
        assert "collector late" in running.log.read_text()
        assert running.log.read_text().count("collector late") == 1
        assert "Traceback" not in running.log.read_text()


def test_a_hang_of_the_enumeration_makes_the_collector_late(node: Node) -> None:
    node.add_h100s(2)
    with running_exporter(node, *_AGES) as running:
        wait_until(lambda: running.scrape().find("accelerator_device_utilization_ratio") or None)
        node.hang("nvmlDeviceGetCount_v2")
        hung = wait_until(lambda: _late(running))
        assert hung.find("accelerator_exporter_device_stuck_seconds") == []
        wait_until(lambda: _without_readings(running))
        node.release()
        back = wait_until(lambda: _up(running))
        assert len(back.find("accelerator_device_utilization_ratio")) == 2


def test_sigterm_during_a_hang_ends_the_process_within_two_seconds(node: Node) -> None:
    node.add_h100s(1)
    with running_exporter(node, *_AGES) as running:
        wait_until(lambda: running.scrape().find("accelerator_device_utilization_ratio") or None)
        node.hang("nvmlDeviceGetCount_v2")
        wait_until(lambda: _late(running))
        assert running.terminate(within_seconds=2) == 0


def _up(running: ExporterProcess) -> Scrape | None:
    scrape = running.scrape()
    return scrape if scrape.value("accelerator_exporter_collector_up", collector="nvidia") == 1 else None
