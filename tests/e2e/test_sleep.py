"""The real process does not wake a GPU that the kernel has suspended, and reads it while another program uses it."""

import pytest

from tests.doubles.exporter_process import ExporterProcess, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, running_exporter
from tests.native.nvml_calls import CALLS

_UP = "accelerator_exporter_collector_up"
_UTILIZATION = "accelerator_device_utilization_ratio"


def _power(node: Node, index: int, status: str, control: str = "auto") -> None:
    address = node.gpus[index].pci_address
    for name, text in (("runtime_status", status), ("control", control)):
        node.sysfs.write(f"{text}\n".encode(), "bus", "pci", "devices", address, "power", name)


def _calls(node: Node, index: int | None = None) -> int:
    return sum(node.nvml.calls(call, device=index) for call in CALLS)


def _has_polled(running: ExporterProcess, count: int) -> None:
    """Wait for this many polls of the collector."""
    seen: set[float | None] = set()

    def polled_enough() -> bool:
        seen.add(running.scrape().value("accelerator_exporter_collector_last_success_timestamp_seconds"))
        return len(seen - {None}) > count

    wait_until(polled_enough)


@pytest.fixture
def laptop(node: Node) -> Node:
    node.add_h100s(1)
    _power(node, 0, "suspended")
    return node


def test_sleeping_gpu_is_exported_and_not_called(laptop: Node) -> None:
    with running_exporter(laptop) as running:
        wait_until(lambda: running.scrape().value(_UP) == 1)
        _has_polled(running, 5)
        scrape = running.scrape()
    assert _calls(laptop) == 0
    (info,) = scrape.find("accelerator_device_info")
    assert info.labels["device"] == laptop.gpus[0].pci_address
    assert scrape.value("accelerator_exporter_collector_devices", collector="nvidia") == 1
    assert scrape.find("accelerator_device_status") == []
    assert scrape.find(_UTILIZATION) == []
    assert {s.value for s in scrape.find("accelerator_exporter_collector_errors_total")} == {0}


def test_gpu_is_read_as_soon_as_it_is_awake(laptop: Node) -> None:
    with running_exporter(laptop) as running:
        wait_until(lambda: running.scrape().value(_UP) == 1)
        _power(laptop, 0, "active")
        laptop.set_utilization(0, 40)
        wait_until(lambda: running.scrape().value(_UTILIZATION, uuid=laptop.uuids[0]) == 0.4)
        assert running.scrape().value("accelerator_device_status", state="ok") == 1


def test_gpu_that_sleeps_again_keeps_its_identity_and_holder(laptop: Node) -> None:
    _power(laptop, 0, "active")
    laptop.kubelet.pods = [pod("edge", "camera", container("main", device("nvidia.com/gpu", laptop.uuids[0])))]
    with laptop.kubelet, running_exporter(laptop) as running:
        wait_until(lambda: running.scrape().find(_UTILIZATION) != [])
        _power(laptop, 0, "suspended")
        scrape = wait_until(lambda: s if not (s := running.scrape()).find(_UTILIZATION) else None)
        assert laptop.nvml.calls("nvmlShutdown") == 1
        assert [s.labels["uuid"] for s in scrape.find("accelerator_device_info")] == list(laptop.uuids)
        assert scrape.value("accelerator_device_allocated", uuid=laptop.uuids[0]) == 1
        assert scrape.find("accelerator_device_status") == []
        calls = _calls(laptop)
        _has_polled(running, 5)
        assert _calls(laptop) == calls


def test_sleeping_gpu_is_woken_when_enabled(laptop: Node) -> None:
    with running_exporter(laptop, "--collect.wake-sleeping=true") as running:
        wait_until(lambda: running.scrape().find(_UTILIZATION) != [])


def test_sleeping_gpu_beside_a_busy_one_is_not_called(node: Node) -> None:
    node.add_h100s(2)
    _power(node, 0, "active")
    _power(node, 1, "suspended")
    with running_exporter(node) as running:
        wait_until(lambda: running.scrape().find(_UTILIZATION, uuid=node.uuids[0]) != [])
        calls = _calls(node, 1)  # its identity was read when the library was opened
        _has_polled(running, 5)
        scrape = running.scrape()
        assert _calls(node, 1) == calls
        assert len(scrape.find("accelerator_device_info")) == 2
        assert scrape.find("accelerator_device_status", uuid=node.uuids[1]) == []
        assert scrape.find(_UTILIZATION, uuid=node.uuids[1]) == []
        _power(node, 1, "active")
        wait_until(lambda: running.scrape().find(_UTILIZATION, uuid=node.uuids[1]) != [])
