"""A library whose version differs from its driver's: accepted for a while, then the process ends."""

from tests.doubles.exporter_process import wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, running_exporter

_LIB_RM_VERSION_MISMATCH = 18
_UP = "accelerator_exporter_collector_up"


def test_lasting_mismatch_ends_the_process_with_one_line(node: Node) -> None:
    node.add_h100s(1)
    with running_exporter(node, "--poll.version-mismatch-timeout=1s") as running:
        wait_until(lambda: running.scrape().value(_UP) == 1)
        node.fail_driver(_LIB_RM_VERSION_MISMATCH)
        node.nvml.fail("nvmlDeviceGetCount_v2", _LIB_RM_VERSION_MISMATCH)
        assert running.process.wait(30) == 4
    lines = [line for line in running.log.read_text().splitlines() if line.startswith("accelerator-exporter: ")]
    assert len(lines) == 1
    assert lines[0].startswith("accelerator-exporter: collector nvidia: nvml")
    assert "library and kernel module have different driver versions" in lines[0]
    assert "more than 1s (poll.version_mismatch_timeout)" in lines[0]
    assert "Only a restart of the container fixes it" in lines[0]
    assert "Traceback" not in running.log.read_text()


def test_short_mismatch_does_not_end_the_process(node: Node) -> None:
    node.add_h100s(1)
    node.kubelet.pods = [pod("ml", "train-0", container("main", device("nvidia.com/gpu", node.uuids[0])))]
    node.fail_driver(_LIB_RM_VERSION_MISMATCH)
    with node.kubelet, running_exporter(node, "--poll.version-mismatch-timeout=8s") as running:
        wait_until(lambda: running.scrape().value(_UP) == 0)
        node.nvml.heal()
        wait_until(lambda: running.scrape().value(_UP) == 1)
        held = "accelerator_allocation_device_seconds_total"
        wait_until(lambda: (running.scrape().value(held) or 0) > 9)  # seconds: after the timeout
        assert running.process.poll() is None
        assert "different driver versions" in running.log.read_text()
