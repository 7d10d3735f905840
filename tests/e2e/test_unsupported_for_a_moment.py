"""Readings that are unsupported or forbidden for a moment come back; a lost reading is counted."""

import shutil
from pathlib import Path

import pytest

from tests.doubles.amd_cards import MI210, MI300X, AmdCard
from tests.doubles.amd_tree import AmdTree
from tests.doubles.exporter_process import Scrape, exporter, wait_until
from tests.doubles.node import QUICK, Node, running_exporter
from tests.native.nvml_calls import CALLS

NOT_SUPPORTED, NO_PERMISSION = 3, 4
# What ends a session, or is asked of the system.
_SESSION = ("nvmlInit", "nvmlShutdown", "nvmlSystem", "nvmlDeviceGetCount", "nvmlDeviceGetHandle", "nvmlEventSet")
_ERRORS = "accelerator_exporter_collector_errors_total"


def series(scrape: Scrape) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Every series of devices and partitions."""
    prefixes = ("accelerator_device_", "accelerator_partition_")
    return {(each.name, frozenset(each.labels.items())) for each in scrape if each.name.startswith(prefixes)}


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION])
def test_every_series_of_nvml_comes_back(node: Node, code: int) -> None:
    node.add_h100s(2)
    node.partition(1, "1g.10gb")
    with running_exporter(node) as running:
        wait_until(lambda: running.scrape().find("accelerator_device_throttle_active") or None)
        before = series(running.scrape())
        for call in CALLS:
            if not call.startswith(_SESSION):
                node.nvml.fail(call, code)
        wait_until(lambda: not running.scrape().find("accelerator_device_power_watts"))
        during = running.scrape()
        node.nvml.heal()
        wait_until(lambda: before <= series(running.scrape()))
        assert series(during) < before
        reason = "unavailable" if code == NOT_SUPPORTED else "permission_denied"
        assert (during.value(_ERRORS, collector="nvidia", reason=reason) or 0) > 0


@pytest.mark.parametrize("card", [MI210, MI300X], ids=["MI210", "MI300X"])
def test_every_series_of_amd_files_comes_back(tmp_path: Path, card: AmdCard) -> None:
    tree = AmdTree(tmp_path / "sys")
    gpu = tree.add(card, "0000:63:00.0")
    flags = (*QUICK, f"--path.sysfs={tree.path}", "--kubelet.socket=/nonexistent")
    with exporter(tmp_path, *flags) as running:
        wait_until(lambda: running.scrape().find("accelerator_device_clock_hertz") or None)
        before = series(running.scrape())
        away = tmp_path / "away"
        away.mkdir()
        kept = {"driver", "vendor", "device", "class", "subsystem_vendor", "subsystem_device", "unique_id"}
        moved = [path for path in gpu.folder.iterdir() if path.name not in kept and not path.name.startswith("0000")]
        for path in moved:
            shutil.move(path, away / path.name)
        wait_until(lambda: not running.scrape().find("accelerator_device_power_watts"))
        for path in moved:
            shutil.move(away / path.name, path)
        wait_until(lambda: before <= series(running.scrape()))
