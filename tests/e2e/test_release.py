"""SIGUSR1 makes the real process release the hardware, SIGUSR2 makes it resume; it serves all the time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.doubles.exporter_process import ExporterProcess, Scrape, clean_environment, exporter, parse, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, running_exporter
from tests.doubles.open_devices import open_devices
from tests.native.nvml_calls import CALLS

_UP = "accelerator_exporter_collector_up"
_UTILIZATION = "accelerator_device_utilization_ratio"
_ALLOCATED_SECONDS = "accelerator_allocation_device_seconds_total"
_RELEASED = "collector released: closed until SIGUSR2"


def _is_up(running: ExporterProcess, value: int) -> Scrape | None:
    scrape = running.scrape()
    return scrape if scrape.value(_UP) == value else None


def _release(running: ExporterProcess) -> Scrape:
    os.kill(running.process.pid, signal.SIGUSR1)
    return wait_until(lambda: _is_up(running, 0))


def _resume(running: ExporterProcess) -> Scrape:
    os.kill(running.process.pid, signal.SIGUSR2)
    return wait_until(lambda: _is_up(running, 1))


def _errors(scrape: Scrape) -> dict[str, float]:
    return {s.labels["reason"]: s.value for s in scrape.find("accelerator_exporter_collector_errors_total")}


def _calls(node: Node) -> dict[str, int]:
    return {call: node.nvml.calls(call) for call in CALLS}


def _sessions(node: Node) -> tuple[int, int]:
    return node.nvml.calls("nvmlInitWithFlags"), node.nvml.calls("nvmlShutdown")


def _has_waited(running: ExporterProcess, seconds: float) -> None:
    """Wait, by a counter that rises while the hardware is released."""
    end = (running.scrape().value(_ALLOCATED_SECONDS) or 0) + seconds
    wait_until(lambda: (running.scrape().value(_ALLOCATED_SECONDS) or 0) > end)


def test_released_hardware_is_closed_and_not_read_and_repeated_signals_are_harmless(node: Node) -> None:
    node.add_h100s(1)
    node.kubelet.pods = [pod("ml", "train-0", container("main", device("nvidia.com/gpu", node.uuids[0])))]
    with node.kubelet, running_exporter(node) as running:
        before = wait_until(
            lambda: s if (s := running.scrape()).find(_ALLOCATED_SECONDS) and s.find(_UTILIZATION) else None
        )
        assert _sessions(node) == (1, 0)
        _release(running)
        assert _sessions(node) == (1, 1)
        calls = _calls(node)
        _release(running)
        _has_waited(running, seconds=3)  # three intervals of the slowest cadence
        released = running.scrape()
        assert _calls(node) == calls
        assert released.value(_UP, collector="nvidia") == 0
        assert _errors(released) == _errors(before)
        assert set(_errors(released).values()) == {0}
        assert _sessions(node) == (1, 1)
        _resume(running)
        _resume(running)
        _has_waited(running, seconds=1)  # longer than the daemon takes to react to a signal
        assert _sessions(node) == (2, 1)
        assert running.terminate(within_seconds=10) == 0
    assert _sessions(node) == (2, 2)
    assert running.log.read_text().count(_RELEASED) == 1
    assert running.log.read_text().count('msg="collector up"') == 2
    assert "level=error" not in running.log.read_text()


def test_release_withdraws_readings_and_keeps_allocations(node: Node) -> None:
    node.add_h100s(1)
    node.kubelet.pods = [pod("ml", "train-0", container("main", device("nvidia.com/gpu", node.uuids[0])))]
    with node.kubelet, running_exporter(node, "--poll.max-age=10m") as running:
        before = wait_until(
            lambda: s if (s := running.scrape()).find(_ALLOCATED_SECONDS) and s.find(_UTILIZATION) else None
        )
        released = _release(running)
        withdrawn = {s.name for s in before} - {s.name for s in released}
        assert {_UTILIZATION, "accelerator_device_status", "accelerator_device_busy_seconds_total"} <= withdrawn
        left = {s.name for s in released if s.name.startswith("accelerator_device_")}
        assert left == {f"accelerator_device_{stem}" for stem in ("info", "allocated", "allocations", "errors_total")}
        assert released.value("accelerator_device_allocated", uuid=node.uuids[0]) == 1
        assert released.value("accelerator_exporter_collector_devices", collector="nvidia") == 1
        assert len(released.find("accelerator_allocation_info", pod="train-0")) == 1
        assert [running.get(path)[0] for path in ("/-/healthy", "/-/ready", "/")] == [200, 200, 200]
        page = running.get("/")[2].decode()
        assert "devices are not read until the exporter receives SIGUSR2" in page
        assert ">released<" in page
        _resume(running)
        wait_until(lambda: {s.name for s in before} <= {s.name for s in running.scrape()})  # activity needs two polls
        assert "SIGUSR2" not in running.get("/")[2].decode()


def test_driver_removed_during_a_release_is_reported_after_it(node: Node) -> None:
    node.add_h100s(1)
    with running_exporter(node) as running:
        wait_until(lambda: _is_up(running, 1))
        _release(running)
        node.fail_driver(9)
        os.kill(running.process.pid, signal.SIGUSR2)
        wait_until(lambda: _errors(running.scrape())["driver_not_loaded"] >= 1)
        assert _is_up(running, 0)
        node.nvml.heal()
        wait_until(lambda: _is_up(running, 1))


def test_simulated_node_can_be_released(tmp_path: Path) -> None:
    with exporter(tmp_path, "--simulate") as running:
        wait_until(lambda: running.scrape().find(_UTILIZATION) != [])
        released = _release(running)
        assert released.find(_UTILIZATION) == []
        assert len(released.find("accelerator_device_info")) == 4
        assert len(released.find("accelerator_allocation_info")) == 6
        assert len(_resume(running).find(_UTILIZATION)) == 4


def test_release_on_a_node_without_accelerators_does_nothing(node: Node) -> None:
    with running_exporter(node) as running:
        wait_until(lambda: running.get("/-/ready")[0] == 200)
        os.kill(running.process.pid, signal.SIGUSR1)
        wait_until(lambda: ">released<" in running.get("/")[2].decode())
        assert running.scrape().find(_UP) == []
        assert running.terminate(within_seconds=10) == 0


def test_call_in_progress_returns_before_the_library_is_closed(node: Node) -> None:
    node.add_h100s(1)
    node.nvml.delay("nvmlDeviceGetPowerUsage", 600_000)
    with running_exporter(node, "--poll.deadline=1m") as running:
        wait_until(lambda: node.nvml.waiting("nvmlDeviceGetPowerUsage") == 1)
        os.kill(running.process.pid, signal.SIGUSR1)
        seen = running.scrape().value("accelerator_exporter_scrapes_total") or 0
        wait_until(lambda: (running.scrape().value("accelerator_exporter_scrapes_total") or 0) > seen + 20)
        assert _sessions(node) == (1, 0)
        node.nvml.release()
        assert wait_until(lambda: _is_up(running, 0)).find(_UTILIZATION) == []
        wait_until(lambda: _sessions(node) == (1, 1))  # closed by the thread of the call, when that returns


def test_release_is_not_reported_while_a_stuck_device_keeps_the_library_open(node: Node) -> None:
    node.add_h100s(2)
    with running_exporter(node) as running:
        wait_until(lambda: _is_up(running, 1))
        node.hang("nvmlDeviceGetPowerUsage", 0)
        wait_until(lambda: "device stuck" in running.log.read_text())
        os.kill(running.process.pid, signal.SIGUSR1)
        wait_until(lambda: "collector not released yet" in running.log.read_text())
        assert _RELEASED not in running.log.read_text()
        assert wait_until(lambda: _is_up(running, 0)).find(_UTILIZATION) == []
        assert open_devices(running.process.pid) == ["nvidia0", "nvidia1"]
        node.release()
        wait_until(lambda: _RELEASED in running.log.read_text())
        assert open_devices(running.process.pid) == []
        _resume(running)
        os.kill(running.process.pid, signal.SIGUSR1)
        wait_until(lambda: running.log.read_text().count(_RELEASED) == 2)
        assert running.log.read_text().count("not released yet") == 1


def test_once_is_not_ended_by_the_signals(node: Node) -> None:
    node.add_h100s(1)
    node.nvml.delay("nvmlDeviceGetPowerUsage", 600_000)
    command = [sys.executable, "-m", "exporter", "--once", "--poll.deadline=1m", *node.flags]
    environment = {**clean_environment(), **node.environment}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as once:
        wait_until(lambda: node.nvml.waiting("nvmlDeviceGetPowerUsage") == 1)
        once.send_signal(signal.SIGUSR1)
        once.send_signal(signal.SIGUSR2)
        node.nvml.release()
        printed, _ = once.communicate(timeout=30)
    assert once.returncode == 0
    assert parse(printed).value(_UTILIZATION) == 0
