"""A file of one AMD GPU blocks while GPUs or processes are searched for: it costs this GPU only."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.doubles.amd_cards import GIB, MI300X
from tests.doubles.amd_host import AmdHost, amd_host
from tests.doubles.amd_processes import vram
from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.slow_files import SlowFiles

_ADDRESSES = ("0000:05:00.0", "0000:26:00.0", "0000:46:00.0")
_STUCK = "accelerator_exporter_device_stuck_seconds"
_POWER = "accelerator_device_power_watts"
_PROCESSES = "accelerator_device_processes"
_FLAGS = ("--poll.max-age=1s",)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[AmdHost]:
    """Three GPUs with a process on each."""
    with amd_host(tmp_path) as made:
        for number, address in enumerate(_ADDRESSES):
            gpu = made.tree.add(MI300X, address)
            made.processes.open(20 + number, 5, gpu, 7 + number, vram(4))
            made.processes.compute(20 + number, gpu, 0, memory=GIB, queues=1)
        yield made


@pytest.fixture
def files(tmp_path: Path) -> Iterator[SlowFiles]:
    made = SlowFiles(tmp_path)
    yield made
    made.release()


def _all_back(running: ExporterProcess) -> Scrape | None:
    scrape = running.scrape()
    complete = len(scrape.find(_POWER)) == len(scrape.find(_PROCESSES)) == len(_ADDRESSES)
    return scrape if complete and not scrape.find(_STUCK) else None


def _named(running: ExporterProcess) -> set[str]:
    return {each.labels["uuid"] for each in running.scrape().find("accelerator_device_info")}


def _have(running: ExporterProcess, power: set[str], processes: set[str]) -> Scrape | None:
    """A scrape in which these GPUs have readings, these have processes, and no other."""
    scrape = running.scrape()
    found = [{each.labels["uuid"] for each in scrape.find(name)} for name in (_POWER, _PROCESSES)]
    return scrape if found == [power, processes] else None


def _blocking(host: AmdHost) -> tuple[str, ...]:
    """The end of the path of a file that belongs to each GPU."""
    [memory] = host.processes.kfd.glob("21/vram_*")
    return (f"{host.tree.gpus[0].hwmon}/temp2_label", f"21/{memory.name}", "22/fdinfo/5")


def test_files_of_one_gpu_after_the_other(host: AmdHost, files: SlowFiles) -> None:
    with host.running(*_FLAGS, environment=files.environment) as running:
        wait_until(lambda: _all_back(running))
        for hung, file in zip(host.tree.gpus, _blocking(host), strict=True):
            others = {gpu.uuid for gpu in host.tree.gpus if gpu is not hung}
            files.slow_down(file)
            found = wait_until(partial(_have, running, others, others))
            assert [each.labels["uuid"] for each in found.find(_STUCK)] == [hung.uuid], file
            assert found.value("accelerator_exporter_collector_up", collector="amd") == 1
            files.release()
            wait_until(lambda: _all_back(running))
        assert "Traceback" not in running.log.read_text()


def test_files_that_belong_to_no_gpu_cost_what_is_in_them(host: AmdHost, files: SlowFiles) -> None:
    everywhere = {gpu.uuid for gpu in host.tree.gpus}
    [queue, *_] = host.processes.kfd.glob("20/queues/*/gpuid")
    with host.running(*_FLAGS, environment=files.environment) as running:
        wait_until(lambda: _all_back(running))
        files.slow_down(str(queue.relative_to(host.processes.kfd)))
        found = wait_until(lambda: _have(running, everywhere, set()))
        assert found.find(_STUCK) == []
        assert found.value("accelerator_exporter_collector_up", collector="amd") == 1
        assert found.value("accelerator_exporter_collector_errors_total", collector="amd", reason="late")
        files.slow_down("topology/generation_id")
        wait_until(lambda: "KFD nodes" in running.log.read_text())
        wait_until(lambda: _have(running, everywhere, everywhere))


def test_a_gpu_that_blocks_from_the_start_has_a_name(host: AmdHost, files: SlowFiles) -> None:
    hung, *others = host.tree.gpus
    files.slow_down(f"{hung.address}/unique_id")
    with host.running(*_FLAGS, environment=files.environment) as running:
        uuids = {gpu.uuid for gpu in others}
        found = wait_until(lambda: _have(running, uuids, uuids))
        [stuck] = found.find(_STUCK)
        assert found.value("accelerator_device_info", uuid=stuck.labels["uuid"], pci_bus_id=hung.address) == 1
        files.release()
        wait_until(lambda: _all_back(running))
        uuids = {gpu.uuid for gpu in host.tree.gpus}
        wait_until(lambda: _named(running) == uuids)
