"""A call about one device that does not return: this device is stuck and named, all others are read."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.node import Node, running_exporter
from tests.doubles.page_text import PageText

_CARDS, _HUNG = 8, 3
_AGES = ("--poll.max-age=4s",)
_POWER = "nvmlDeviceGetPowerUsage"
_STUCK = "accelerator_exporter_device_stuck_seconds"
_NOT_READINGS = (
    "accelerator_device_info",
    "accelerator_device_errors_total",
    "accelerator_device_error_last_timestamp_seconds",
    "accelerator_device_allocated",
    "accelerator_device_allocations",
    "accelerator_container_last_active_timestamp_seconds",
)


@contextmanager
def _exporter(node: Node) -> Iterator[ExporterProcess]:
    """The exporter on a node with eight cards, each allocated to a pod, after its first readings."""
    node.train_on_h100s(_CARDS)
    with node.kubelet, running_exporter(node, *_AGES) as running:
        wait_until(lambda: len(running.scrape().find("accelerator_container_energy_joules_total")) == _CARDS)
        yield running


def _series(scrape: Scrape, uuid: str) -> set[tuple[str, ...]]:
    """The series of a device, its container's included, by name and labels."""
    return {
        (each.name, *sorted(each.labels.values()))
        for each in scrape
        if each.labels.get("uuid") == uuid and each.name != _STUCK
    }


def _readings(scrape: Scrape, uuid: str) -> list[str]:
    """The names of the readings of a device, and of what is derived from them for its container."""
    found = [each.name for each in scrape if each.labels.get("uuid") == uuid]
    kinds = ("accelerator_device_", "accelerator_container_")
    return [name for name in found if name.startswith(kinds) and name not in _NOT_READINGS]


def _stuck(running: ExporterProcess, *uuids: str) -> Scrape | None:
    scrape = running.scrape()
    return scrape if {each.labels["uuid"] for each in scrape.find(_STUCK)} == {*uuids} else None


def _expired(running: ExporterProcess, uuid: str) -> Scrape | None:
    scrape = running.scrape()
    return None if _readings(scrape, uuid) else scrape


def test_one_hung_gpu_of_eight_is_stuck_and_the_others_are_read(node: Node) -> None:
    with _exporter(node) as running:
        hung, others = node.uuids[_HUNG], [uuid for uuid in node.uuids if uuid != node.uuids[_HUNG]]
        before = running.scrape()
        node.hang(_POWER, _HUNG)
        stuck = wait_until(lambda: _stuck(running, hung))
        assert stuck.value("accelerator_exporter_collector_errors_total", reason="late") == 1

        def all_of_the_others_are_there() -> Scrape | None:
            scrape = running.scrape()
            assert [uuid for uuid in others if not _series(before, uuid) <= _series(scrape, uuid)] == []
            return None if _readings(scrape, hung) else scrape

        expired = wait_until(all_of_the_others_are_there)
        assert (expired.value(_STUCK, collector="nvidia", uuid=hung) or 0) > 0
        assert expired.value("accelerator_exporter_collector_up", collector="nvidia") == 1
        # Identity and allocations are not readings: they stay.
        assert expired.find("accelerator_device_info", uuid=hung)
        assert expired.value("accelerator_device_allocated", uuid=hung) == 1
        assert expired.find("accelerator_allocation_device_seconds_total", uuid=hung)
        _are_fresh(node, running, others)
        row = PageText(running.get("/")[2].decode()).row(node.gpus[_HUNG].pci_address)
        assert row[1].startswith("stuck\nno answer for ")


def _are_fresh(node: Node, running: ExporterProcess, uuids: list[str]) -> None:
    """Wait until new values of these devices are exported."""
    for index, uuid in enumerate(node.uuids):
        if uuid in uuids:
            node.set_utilization(index, 77)
    wait_until(
        lambda: all(running.scrape().value("accelerator_device_utilization_ratio", uuid=uuid) == 0.77 for uuid in uuids)
    )


def test_a_hang_that_ends_is_logged_and_the_device_is_read_again(node: Node) -> None:
    with _exporter(node) as running:
        uuid = node.uuids[_HUNG]
        before = running.scrape()
        node.hang(_POWER, _HUNG)
        wait_until(lambda: _expired(running, uuid))
        node.release()
        wait_until(lambda: _series(before, uuid) <= _series(running.scrape(), uuid))
        after = wait_until(lambda: _stuck(running))
        assert after.value("accelerator_exporter_collector_errors_total", reason="late") == 1
        log = running.log.read_text()
        for text in ("device stuck", "device recovered"):
            [line] = [line for line in log.splitlines() if text in line]
            assert f"uuid={uuid}" in line
            assert node.gpus[_HUNG].pci_address in line
        assert "collector late" not in log
        assert "Traceback" not in log


def test_the_hang_of_several_gpus_is_counted_for_each(node: Node) -> None:
    with _exporter(node) as running:
        hung = [node.uuids[index] for index in (0, 2, 7)]
        for index in (0, 2, 7):
            node.hang(_POWER, index)
        stuck = wait_until(lambda: _stuck(running, *hung))
        assert stuck.value("accelerator_exporter_collector_errors_total", reason="late") == len(hung)
        _are_fresh(node, running, [uuid for uuid in node.uuids if uuid not in hung])
        node.release()
        for index in range(_CARDS):
            node.lose(index)
        wait_until(lambda: all(_lost_lines(running, gpu.pci_address) == 1 for gpu in node.gpus))


def _lost_lines(running: ExporterProcess, address: str) -> int:
    """How many lines of the log say that the GPU at an address is lost."""
    lines = [line for line in running.log.read_text().splitlines() if 'msg="device lost"' in line]
    return sum(f"device={address}" in line for line in lines)


@pytest.mark.parametrize("hung", [(_HUNG,), tuple(range(_CARDS))], ids=["one", "all"])
def test_sigterm_ends_the_process_within_two_seconds(node: Node, hung: tuple[int, ...]) -> None:
    with _exporter(node) as running:
        for index in hung:
            node.hang(_POWER, index)
        wait_until(lambda: running.scrape().value("accelerator_exporter_collector_errors_total", reason="late"))
        assert running.terminate(within_seconds=2) == 0


def test_sigterm_ends_the_process_within_two_seconds_when_everything_hangs(node: Node) -> None:
    with _exporter(node) as running, ExitStack() as clients:
        for call in (_POWER, "nvmlEventSetWait_v2", "nvmlShutdown"):
            node.hang(call)
        for _ in range(40):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        node.kubelet.delay_seconds = 60
        wait_until(lambda: running.scrape().value("accelerator_exporter_collector_errors_total", reason="late"))
        assert running.terminate(within_seconds=2) == 0
        node.kubelet.delay_seconds = 0


def test_a_release_during_a_hang_shuts_the_library_down_when_the_call_returns(node: Node) -> None:
    with _exporter(node) as running:
        node.hang(_POWER, _HUNG)
        wait_until(lambda: _stuck(running, node.uuids[_HUNG]))
        os.kill(running.process.pid, signal.SIGUSR1)
        released = wait_until(lambda: _stuck(running))
        assert released.find("accelerator_device_status") == []
        assert node.nvml.calls("nvmlShutdown") == 0
        node.release()
        wait_until(lambda: node.nvml.calls("nvmlShutdown") == 1)
