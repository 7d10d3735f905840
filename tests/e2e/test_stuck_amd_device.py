"""A file of one AMD GPU blocks: this GPU is stuck and named, all others are read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_host import AmdHost, amd_host
from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.slow_files import SlowFiles

_ADDRESSES = ("0000:05:00.0", "0000:26:00.0", "0000:46:00.0")
_AGES = ("--poll.max-age=4s",)
_STUCK = "accelerator_exporter_device_stuck_seconds"
_POWER = "accelerator_device_power_watts"
_PARTITION = "accelerator_partition_utilization_ratio"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[AmdHost]:
    """Three GPUs, the second one partitioned."""
    with amd_host(tmp_path) as made:
        for address in _ADDRESSES:
            made.tree.add(MI300X, address)
        made.tree.gpus[1].set_partition_mode("CPX", "NPS4")
        yield made


@pytest.fixture
def files(tmp_path: Path) -> Iterator[SlowFiles]:
    made = SlowFiles(tmp_path)
    yield made
    made.release()


def _with_power(running: ExporterProcess, count: int) -> Scrape | None:
    scrape = running.scrape()
    return scrape if len(scrape.find(_POWER)) == count else None


@pytest.mark.parametrize("file", ["gpu_metrics", "gpu_busy_percent", "current_compute_partition"])
def test_a_gpu_whose_file_blocks_is_stuck_and_the_others_are_read(host: AmdHost, files: SlowFiles, file: str) -> None:
    _, hung, other = host.tree.gpus
    with host.running(*_AGES, environment=files.environment) as running:
        before = wait_until(lambda: _with_power(running, 3))
        partitions = len(before.find("accelerator_partition_info", uuid=hung.uuid))
        files.slow_down(f"{hung.address}/{file}")
        stuck = wait_until(lambda: s if (s := running.scrape()).find(_STUCK) else None)
        assert [(each.labels["collector"], each.labels["uuid"]) for each in stuck.find(_STUCK)] == [("amd", hung.uuid)]
        expired = wait_until(lambda: _with_power(running, 2))
        assert expired.find("accelerator_device_status", uuid=hung.uuid) == []
        assert expired.find(_PARTITION) == []
        assert len(expired.find("accelerator_partition_info", uuid=hung.uuid)) == partitions > 0
        assert expired.value("accelerator_exporter_collector_up", collector="amd") == 1
        assert expired.value("accelerator_exporter_collector_errors_total", collector="amd", reason="late") == 1
        other.write("gpu_busy_percent", "77")
        wait_until(lambda: running.scrape().value("accelerator_device_utilization_ratio", uuid=other.uuid) == 0.77)

        files.release()
        back = wait_until(lambda: _with_power(running, 3))
        assert back.value("accelerator_device_status", uuid=hung.uuid, state="ok") == 1
        wait_until(lambda: not running.scrape().find(_STUCK))
        log = running.log.read_text()
        for text in ("device stuck", "device recovered"):
            [line] = [line for line in log.splitlines() if text in line]
            assert hung.uuid in line
        assert "Traceback" not in log


def test_sigterm_ends_the_process_within_two_seconds(host: AmdHost, files: SlowFiles) -> None:
    with host.running(*_AGES, environment=files.environment) as running:
        wait_until(lambda: _with_power(running, 3))
        files.slow_down(f"{_ADDRESSES[0]}/gpu_metrics")
        wait_until(lambda: running.scrape().find(_STUCK) or None)
        assert running.terminate(within_seconds=2) == 0
