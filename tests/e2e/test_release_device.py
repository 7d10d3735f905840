"""SIGUSR1 with a PCI address in a file makes the real process close one device and go on reading the others."""

import os
import signal
from pathlib import Path

import pytest

from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.node import Node, running_exporter
from tests.doubles.open_devices import open_devices

_UTILIZATION = "accelerator_device_utilization_ratio"
_ERRORS = "accelerator_exporter_collector_errors_total"
_BOTH = ["nvidia0", "nvidia1"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "release"


def _send(running: ExporterProcess, number: int) -> None:
    os.kill(running.process.pid, number)


def _reads(running: ExporterProcess, node: Node, *indices: int) -> Scrape:
    """A scrape in which exactly these devices have readings."""
    wanted = {node.uuids[index] for index in indices}

    def scrape() -> Scrape | None:
        found = running.scrape()
        return found if {each.labels["uuid"] for each in found.find(_UTILIZATION)} == wanted else None

    return wait_until(scrape)


def _opens(running: ExporterProcess, *names: str) -> None:
    wait_until(lambda: open_devices(running.process.pid) == list(names))


def _logs(running: ExporterProcess, text: str) -> None:
    wait_until(lambda: text in running.log.read_text())


def test_the_device_in_the_file_is_closed_until_it_is_resumed(node: Node, file: Path) -> None:
    node.add_h100s(2)
    with running_exporter(node, f"--release.file={file}", "--poll.max-age=10m") as running:
        before = _reads(running, node, 0, 1)
        file.write_text(f"{node.gpus[0].pci_address}\n")
        _send(running, signal.SIGUSR1)
        released = _reads(running, node, 1)
        _opens(running, "nvidia1")
        _logs(running, "device released: closed until SIGUSR2")
        assert released.value("accelerator_exporter_collector_up") == 1
        assert released.find("accelerator_device_status", uuid=node.uuids[0]) == []
        assert len(released.find("accelerator_device_info")) == 2
        assert released.find(_ERRORS) == before.find(_ERRORS)
        assert running.get("/")[2].decode().count(">released<") == 1
        file.write_text(f"{node.gpus[1].pci_address.upper()}\n")
        _send(running, signal.SIGUSR1)
        _reads(running, node, 0)
        _opens(running, "nvidia0")
        _send(running, signal.SIGUSR2)
        _reads(running, node, 0, 1)
        _opens(running, *_BOTH)
        assert running.terminate(within_seconds=10) == 0
    assert "level=error" not in running.log.read_text()


@pytest.mark.parametrize("content", [None, "\n\n"])
def test_without_an_address_everything_is_released(node: Node, file: Path, content: str | None) -> None:
    node.add_h100s(2)
    if content is not None:
        file.write_text(content)
    with running_exporter(node, f"--release.file={file}") as running:
        _reads(running, node, 0, 1)
        _send(running, signal.SIGUSR1)
        _opens(running)
        _logs(running, "collector released: closed until SIGUSR2")


def test_a_file_that_is_not_understood_releases_nothing(node: Node, file: Path) -> None:
    node.add_h100s(2)
    with running_exporter(node, f"--release.file={file}") as running:
        _reads(running, node, 0, 1)
        file.write_text("gpu 0\n")
        _send(running, signal.SIGUSR1)
        _logs(running, "nothing released")
        file.write_text("0000:ff:00.0\n")
        _send(running, signal.SIGUSR1)
        _logs(running, "no such device, so that nothing is released for it: 0000:ff:00.0")
        _reads(running, node, 0, 1)
        assert open_devices(running.process.pid) == _BOTH


def test_a_device_that_is_unbound_is_closed_without_being_told(node: Node) -> None:
    node.add_h100s(2)
    with running_exporter(node) as running:
        _reads(running, node, 0, 1)
        node.sysfs.bind(node.gpus[0].pci_address, None)
        _opens(running, "nvidia1")
        _reads(running, node, 1)
        node.sysfs.bind(node.gpus[0].pci_address, "nvidia")
        _reads(running, node, 0, 1)


def test_sigterm_shuts_the_library_down(node: Node) -> None:
    node.add_h100s(2)
    with running_exporter(node) as running:
        _reads(running, node, 0, 1)
        assert open_devices(running.process.pid) == _BOTH
        assert running.terminate(within_seconds=10) == 0
    assert node.nvml.calls("nvmlShutdown") == 1
    assert "collector not closed" not in running.log.read_text()
