"""The effect of each NVML return code on a scrape: series that disappear, series that stay, error counts, recovery.

One exporter over a node with two GPUs runs through all of it, so that every case also shows that the one before it left
nothing behind.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.node import Node, gpu_node, running_exporter

POWER = "nvmlDeviceGetPowerUsage"
COUNT = "nvmlDeviceGetCount_v2"
PROCESSES = "nvmlDeviceGetComputeRunningProcesses_v3"
STATUS = "accelerator_device_status"
# Not readings: they stay whatever the device returns; the state as long as there is a session.
LASTING = {
    "accelerator_device_info",
    STATUS,
    "accelerator_device_errors_total",
    "accelerator_device_error_last_timestamp_seconds",
}

UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION = 1, 2, 3, 4
NOT_FOUND, INSUFFICIENT_SIZE, DRIVER_NOT_LOADED, TIMEOUT, IRQ_ISSUE = 6, 7, 9, 10, 11
FUNCTION_NOT_FOUND, CORRUPTED_INFOROM, GPU_IS_LOST, RESET_REQUIRED = 13, 14, 15, 16
OPERATING_SYSTEM, LIB_RM_VERSION_MISMATCH, IN_USE, MEMORY, NO_DATA = 17, 18, 19, 20, 21
VGPU_ECC_NOT_SUPPORTED, INSUFFICIENT_RESOURCES, FREQ_NOT_SUPPORTED = 22, 23, 24
ARGUMENT_VERSION_MISMATCH, DEPRECATED, NOT_READY, GPU_NOT_FOUND = 25, 26, 27, 28
INVALID_STATE, UNKNOWN, UNHEARD_OF = 29, 999, 12345


class Scene(NamedTuple):
    """A node and the exporter on it."""

    node: Node
    running: ExporterProcess

    @property
    def troubled(self) -> str:
        return self.node.uuids[0]

    @property
    def other(self) -> str:
        return self.node.uuids[1]

    def families(self, uuid: str) -> set[str]:
        return families(self.running.scrape(), uuid)

    def errors(self) -> dict[str, float]:
        found = self.running.scrape().find("accelerator_exporter_collector_errors_total", collector="nvidia")
        return {series.labels["reason"]: series.value for series in found}


def families(scrape: Scrape, uuid: str) -> set[str]:
    return {series.name for series in scrape if series.labels.get("uuid") == uuid}


def state(scrape: Scrape, uuid: str) -> str:
    [now] = [s.labels["state"] for s in scrape.find("accelerator_device_status", uuid=uuid) if s.value]
    return now


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[Scene]:
    with gpu_node(tmp_path_factory.mktemp("node"), nvml_library) as node:
        node.add_h100s(2)
        with running_exporter(node, "--poll.max-age=1s", "--metrics.sets=all") as running:
            yield Scene(node, running)


@pytest.fixture
def scene(started: Scene) -> Iterator[Scene]:
    """Two healthy GPUs, before and after each test."""
    wait_until(lambda: healthy(started))
    yield started
    started.node.nvml.heal()
    wait_until(lambda: healthy(started))


def healthy(scene: Scene) -> bool:
    scrape = scene.running.scrape()
    whole = [families(scrape, uuid) for uuid in scene.node.uuids]
    expected = {
        "accelerator_device_power_watts",
        "accelerator_device_processes",
        "accelerator_device_sm_occupancy_ratio",
    }
    return all(expected <= found for found in whole)


def goes_and_comes_back(scene: Scene, call: str, code: int, lost: set[str]) -> dict[str, float]:
    """Inject a fault, wait, compare, end it, wait; returns the errors that were counted meanwhile."""
    before, other, errors = scene.families(scene.troubled), scene.families(scene.other), scene.errors()
    scene.node.nvml.fail(call, code, device=0)
    wait_until(lambda: scene.families(scene.troubled) == before - lost)
    scrape = scene.running.scrape()
    assert families(scrape, scene.other) == other
    assert state(scrape, scene.troubled) == state(scrape, scene.other) == "ok"
    assert scrape.value("accelerator_exporter_collector_up", collector="nvidia") == 1
    counted = {reason: value - errors[reason] for reason, value in scene.errors().items() if value > errors[reason]}
    scene.node.nvml.heal()
    wait_until(lambda: scene.families(scene.troubled) == before)
    return counted


@pytest.mark.parametrize(
    "code",
    [
        INVALID_ARGUMENT,
        TIMEOUT,
        IRQ_ISSUE,
        CORRUPTED_INFOROM,
        OPERATING_SYSTEM,
        IN_USE,
        MEMORY,
        INSUFFICIENT_RESOURCES,
        NOT_READY,
        INVALID_STATE,
        UNKNOWN,
        UNHEARD_OF,
    ],
)
def test_failing_call_loses_its_reading_is_counted_and_retried(scene: Scene, code: int) -> None:
    assert set(goes_and_comes_back(scene, POWER, code, {"accelerator_device_power_watts"})) == {"unavailable"}


@pytest.mark.parametrize("code", [NOT_FOUND, NO_DATA, FREQ_NOT_SUPPORTED])
def test_missing_data_loses_the_reading_without_an_error(scene: Scene, code: int) -> None:
    assert goes_and_comes_back(scene, POWER, code, {"accelerator_device_power_watts"}) == {}


def test_list_that_never_fits_is_unavailable(scene: Scene) -> None:
    counted = goes_and_comes_back(scene, PROCESSES, INSUFFICIENT_SIZE, {"accelerator_device_processes"})
    assert set(counted) == {"unavailable"}


@pytest.mark.parametrize(
    ("code", "counted"),
    [
        (NOT_SUPPORTED, {"unavailable": 1}),
        (FUNCTION_NOT_FOUND, {"unavailable": 1}),
        (VGPU_ECC_NOT_SUPPORTED, {"unavailable": 1}),
        (ARGUMENT_VERSION_MISMATCH, {"unavailable": 1}),
        (DEPRECATED, {"unavailable": 1}),
        (NO_PERMISSION, {"permission_denied": 1}),
    ],
)
def test_reading_that_is_no_longer_supported_or_permitted_counts_once_and_comes_back(
    scene: Scene, code: int, counted: dict[str, float]
) -> None:
    before, errors = scene.families(scene.troubled), scene.errors()
    scene.node.nvml.fail(POWER, code, device=0)
    wait_until(lambda: scene.families(scene.troubled) == before - {"accelerator_device_power_watts"})
    others = scene.node.nvml.calls(POWER, device=1)
    wait_until(lambda: scene.node.nvml.calls(POWER, device=1) > others + 3)
    grown = {reason: value - errors[reason] for reason, value in scene.errors().items() if value > errors[reason]}
    assert grown == counted
    assert state(scene.running.scrape(), scene.troubled) == "ok"
    scene.node.nvml.heal()
    wait_until(lambda: scene.families(scene.troubled) == before)


@pytest.mark.parametrize("code", [GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND])
def test_lost_device_keeps_identity_and_state_and_does_not_affect_others(scene: Scene, code: int) -> None:
    before, other, errors = scene.families(scene.troubled), scene.families(scene.other), scene.errors()
    scene.node.nvml.lose(0, code)
    wait_until(lambda: scene.families(scene.troubled) == before & LASTING)
    scrape = scene.running.scrape()
    assert state(scrape, scene.troubled) == "failed"
    assert state(scrape, scene.other) == "ok"
    assert families(scrape, scene.other) == other
    assert scrape.value("accelerator_exporter_collector_up", collector="nvidia") == 1
    assert scrape.value("accelerator_exporter_collector_devices", collector="nvidia") == 2
    assert scene.errors()["device_lost"] > errors["device_lost"]
    scene.node.nvml.heal()
    wait_until(lambda: scene.families(scene.troubled) == before)
    assert state(scene.running.scrape(), scene.troubled) == "ok"


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        (COUNT, UNINITIALIZED, "driver_not_loaded"),
        (POWER, DRIVER_NOT_LOADED, "driver_not_loaded"),
        (POWER, LIB_RM_VERSION_MISMATCH, "version_mismatch"),
    ],
)
def test_ended_session_withdraws_all_readings_and_is_reopened(scene: Scene, call: str, code: int, reason: str) -> None:
    before, errors = scene.families(scene.troubled), scene.errors()
    scene.node.nvml.fail(call, code)
    wait_until(lambda: scene.families(scene.troubled) == before & LASTING - {STATUS})
    scrape = scene.running.scrape()
    assert families(scrape, scene.other) == before & LASTING - {STATUS}
    assert scrape.value("accelerator_exporter_collector_up", collector="nvidia") == 0
    assert scene.errors()[reason] > errors[reason]
    scene.node.nvml.heal()
    wait_until(lambda: scene.families(scene.troubled) == before)
    assert scene.running.scrape().value("accelerator_exporter_collector_up", collector="nvidia") == 1


@pytest.mark.parametrize(
    ("code", "reason", "advice"),
    [
        (DRIVER_NOT_LOADED, "driver_not_loaded", "load the nvidia kernel module"),
        (LIB_RM_VERSION_MISMATCH, "version_mismatch", "restart the container"),
        (OPERATING_SYSTEM, "unavailable", "device cgroup was lost; restart the container"),
        (UNKNOWN, "unavailable", "UNKNOWN"),
    ],
)
def test_library_that_does_not_initialise_is_reported_with_advice_and_retried(
    node: Node, code: int, reason: str, advice: str
) -> None:
    node.add_h100s(1)
    node.fail_driver(code)
    with running_exporter(node) as running:
        wait_until(lambda: advice in running.log.read_text())
        scrape = running.scrape()
        assert scrape.value("accelerator_exporter_collector_up", collector="nvidia") == 0
        assert (scrape.value("accelerator_exporter_collector_errors_total", reason=reason) or 0) >= 1
        node.nvml.heal()
        wait_until(lambda: _is_ok(running, node.uuids[0]))


def _is_ok(running: ExporterProcess, uuid: str) -> bool:
    return running.scrape().value("accelerator_device_status", uuid=uuid, state="ok") == 1


def test_vanished_devices_are_reported(scene: Scene) -> None:
    before, errors = scene.families(scene.troubled), scene.errors()
    cards = [gpu.present for gpu in scene.node.gpus]
    with scene.node.nvml.at_once():
        for gpu in scene.node.gpus:
            gpu.present = 0
    wait_until(lambda: scene.families(scene.troubled) == before & LASTING)
    scrape = scene.running.scrape()
    assert {state(scrape, uuid) for uuid in scene.node.uuids} == {"failed"}
    assert scrape.value("accelerator_exporter_collector_devices", collector="nvidia") == 2
    assert scene.errors()["device_lost"] > errors["device_lost"]
    with scene.node.nvml.at_once():
        for gpu, present in zip(scene.node.gpus, cards, strict=True):
            gpu.present = present
    wait_until(lambda: scene.families(scene.troubled) == before)


def test_device_without_permission_is_reported_and_hides_no_other(scene: Scene) -> None:
    before, other, errors = scene.families(scene.troubled), scene.families(scene.other), scene.errors()
    scene.node.nvml.fail("nvmlDeviceGetHandleByIndex_v2", NO_PERMISSION, device=0)
    scene.node.nvml.fail(COUNT, UNINITIALIZED)
    wait_until(lambda: scene.errors()["driver_not_loaded"] > errors["driver_not_loaded"])
    scene.node.nvml.fail(COUNT, 0)
    wait_until(lambda: scene.errors()["permission_denied"] > errors["permission_denied"])
    wait_until(lambda: scene.families(scene.other) == other)
    assert scene.families(scene.troubled) <= before & LASTING
    scene.node.nvml.heal()
    wait_until(lambda: scene.families(scene.troubled) == before)
