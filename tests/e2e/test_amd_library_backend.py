"""The real exporter with `amd.backend: rocm-smi` and the real `librocm_smi64` of Debian 12."""

import os
import shutil
import signal
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import psutil
import pytest

from collectors.amd.rocm_smi import worker
from tests.doubles.amd_cards import MI210, MI300X, RX_7900_XTX
from tests.doubles.amd_tree import AmdTree
from tests.doubles.exporter_process import ExporterProcess, exporter, wait_until
from tests.doubles.mounted import within
from tests.doubles.node import QUICK

BUSY = "accelerator_device_utilization_ratio"
POWER = "accelerator_device_power_watts"
ERRORS = "accelerator_exporter_collector_errors_total"


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


def _running(tree: AmdTree, backend: str = "rocm-smi") -> AbstractContextManager[ExporterProcess]:
    flags = (f"--amd.backend={backend}", "--kubelet.socket=/nonexistent")
    return exporter(tree.path.parent, *flags, *QUICK, within=within(tree))


def _asking(running: ExporterProcess) -> psutil.Process | None:
    """The process that calls the library."""
    children = psutil.Process(running.process.pid).children()
    return next((child for child in children if worker.__name__ in child.cmdline()), None)


def test_the_library_is_called_in_its_own_process(tree: AmdTree) -> None:
    instinct, radeon = tree.add(MI210, "0000:63:00.0"), tree.add(RX_7900_XTX, "0000:43:00.0")
    instinct.write("gpu_busy_percent", "7 garbage")  # the library reads this as 7, the reader of files does not
    with _running(tree) as running:
        scrape = wait_until(lambda: s if len((s := running.scrape()).find(BUSY)) == 2 else None)
        assert scrape.value(BUSY, uuid=instinct.uuid) == 0.07
        assert scrape.value(BUSY, uuid=radeon.uuid) == 0.81
        assert scrape.value(POWER, uuid=instinct.uuid) == 96
        assert scrape.value("accelerator_device_clock_hertz", uuid=instinct.uuid, domain="core") == 1.7e9
        assert "rocm_smi" not in Path(f"/proc/{running.process.pid}/maps").read_text()
        asking = _asking(running)
        assert asking is not None
        assert "rocm_smi" in Path(f"/proc/{asking.pid}/maps").read_text()
        assert running.terminate(30) == 0
        asking.wait(30)


@pytest.mark.parametrize("backend", ["auto", "kernel"])
def test_the_library_is_not_called_by_default(tree: AmdTree, backend: str) -> None:
    gpu = tree.add(MI210, "0000:63:00.0")
    with _running(tree, backend) as running:
        scrape = wait_until(lambda: s if (s := running.scrape()).find(BUSY) else None)
        assert scrape.value(BUSY, uuid=gpu.uuid) == 0.37
        assert _asking(running) is None


def test_a_library_that_aborts_loses_only_the_readings_it_aborts_at(tree: AmdTree) -> None:
    """A card without sensors: the library's assertions end its process."""
    broken, other = tree.add(MI210, "0000:63:00.0"), tree.add(MI210, "0000:43:00.0")
    shutil.rmtree(broken.folder / "hwmon")
    with _running(tree) as running:
        scrape = wait_until(lambda: s if len((s := running.scrape()).find(BUSY)) == 2 else None)
        assert {series.labels["uuid"] for series in scrape.find(POWER)} == {other.uuid}
        broken.write("gpu_busy_percent", "55")
        wait_until(lambda: running.scrape().value(BUSY, uuid=broken.uuid) == 0.55)
        assert running.process.poll() is None


def _is_busy(running: ExporterProcess, uuid: str, ratio: float) -> bool:
    return running.scrape().value(BUSY, uuid=uuid) == ratio


def test_a_process_that_is_killed_often_is_restarted_and_costs_no_series(tree: AmdTree) -> None:
    gpu = tree.add(MI210, "0000:63:00.0")
    with _running(tree) as running:
        before = wait_until(lambda: s if (s := running.scrape()).find(BUSY) and s.find(POWER) else None)
        for number in range(8):
            killed = wait_until(lambda: _asking(running))
            os.kill(killed.pid, signal.SIGKILL)
            gpu.write("gpu_busy_percent", f"{50 + number}")
            wait_until(partial(_is_busy, running, gpu.uuid, (50 + number) / 100))
        devices = {series.name for series in before if series.name.startswith("accelerator_device_")}
        wait_until(lambda: devices <= {series.name for series in running.scrape()})


def test_a_library_that_refuses_the_card_is_an_error_and_files_are_still_read(tree: AmdTree) -> None:
    """Debian's release can't start with an MI300, because the card has no voltage sensor."""
    gpu = tree.add(MI300X, "0000:63:00.0")
    with _running(tree) as running:
        scrape = wait_until(
            lambda: s if (s := running.scrape()).value(ERRORS, collector="amd", reason="library_missing") else None
        )
        assert scrape.find(BUSY) == []
        assert scrape.value("accelerator_device_clock_hertz", uuid=gpu.uuid, domain="core") == 2.1e9
        assert scrape.value("accelerator_device_status", uuid=gpu.uuid, state="ok") == 1
    assert "rsmi_init: status 8" in running.log.read_text()
