"""AMD GPUs in the real exporter: whole and partitioned, with the pods on them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.doubles.amd_cards import GIB, MI300X, RX_7900_XTX
from tests.doubles.amd_host import AmdHost, amd_host, partition_ids
from tests.doubles.amd_tree import eight_of
from tests.doubles.exporter_process import ExporterProcess, Scrape, run_once, wait_until
from tests.doubles.kubelet import container, device, grouped, pod

_UTILIZATION = "accelerator_container_utilization_ratio"
_DIES = [ratio / 100 for ratio in MI300X.dies]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[AmdHost]:
    with amd_host(tmp_path) as made:
        yield made


def _with(running: ExporterProcess, name: str, count: int, **labels: str) -> Scrape | None:
    scrape = running.scrape()
    return scrape if len(scrape.find(name, **labels)) == count else None


def _device_series(scrape: Scrape) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The series of whole GPUs that do not depend on partitions and allocations."""
    of_cut = ("partitions", "mode", "allocated", "allocations", "processes", "throttle", "_seconds_total")
    return {
        (series.name, tuple(sorted(series.labels.items()))): series.value
        for series in scrape
        if series.name.startswith("accelerator_device_") and not any(stem in series.name for stem in of_cut)
    }


def test_whole_gpus_and_the_pods_on_them(host: AmdHost) -> None:
    gpus = eight_of(host.tree, MI300X)
    for index, gpu in enumerate(gpus):
        gpu.write("gpu_busy_percent", str(10 * index))
        host.processes.compute(100 + index, gpu, 0, memory=index * GIB, queues=1)
    host.kubelet.pods = [
        pod("serving", f"llm-{index}", container("server", device("amd.com/gpu", gpu.address)))
        for index, gpu in enumerate(gpus[:6])
    ]
    host.kubelet.pods.append(
        pod("research", "pair", container("main", grouped("amd.com/gpu", gpus[6].address, gpus[7].address)))
    )
    with host.kubelet, host.running("--collect.processes=true") as running:
        wait_until(lambda: _with(running, "accelerator_container_power_watts", 8))
        scrape = wait_until(lambda: _with(running, "accelerator_device_processes", 8))
    for index, gpu in enumerate(gpus):
        assert scrape.value("accelerator_device_utilization_ratio", uuid=gpu.uuid) == index / 10
        assert scrape.value("accelerator_device_power_watts", uuid=gpu.uuid) == 611
        assert scrape.value("accelerator_device_energy_joules_total", uuid=gpu.uuid) == 1_000_000
        assert scrape.value("accelerator_device_partitions", uuid=gpu.uuid) == 0
        assert scrape.value(_UTILIZATION, uuid=gpu.uuid) == index / 10
        assert scrape.value("accelerator_process_memory_usage_bytes", pid=str(100 + index)) == index * GIB
        assert scrape.value("accelerator_process_occupancy_ratio", pid=str(100 + index)) == 7 / 304
    assert {series.labels["pod"] for series in scrape.find(_UTILIZATION)} == {*(f"llm-{n}" for n in range(6)), "pair"}
    assert scrape.find("accelerator_exporter_unmatched_devices") == []


def test_a_partitioned_gpu_and_the_pods_on_its_partitions(host: AmdHost) -> None:
    """Each pod has the values of its own partition; the GPU's values are the same as when it was whole."""
    whole, partitioned = host.tree.add(MI300X, "0000:05:00.0"), host.tree.add(MI300X, "0000:26:00.0")
    with host.kubelet, host.running("--metrics.sets=all") as running:
        before = wait_until(lambda: _with(running, "accelerator_device_energy_joules_total", 2))
        partitioned.set_partition_mode("CPX", "NPS4")
        host.kubelet.pods = [
            pod("serving", f"small-{number}", container("server", device("amd.com/cpx_nps4", name)))
            for number, name in enumerate(partition_ids(partitioned))
        ]
        host.kubelet.pods.append(pod("serving", "large", container("server", device("amd.com/gpu", whole.address))))
        wait_until(lambda: _with(running, _UTILIZATION, 9))
        scrape = wait_until(lambda: _with(running, "accelerator_allocation_share_ratio", 9))
    assert {series.labels["pod"]: series.value for series in scrape.find(_UTILIZATION, uuid=partitioned.uuid)} == {
        f"small-{number}": ratio for number, ratio in enumerate(_DIES)
    }
    for number in range(8):
        held = {"pod": f"small-{number}"}
        assert scrape.value("accelerator_container_memory_limit_bytes", **held) == 24 * GIB
        assert scrape.value("accelerator_container_memory_usage_bytes", **held) == 2_907_979_776 + number
        assert scrape.value("accelerator_allocation_share_ratio", **held) == 1 / 8
        [info] = scrape.find("accelerator_allocation_info", **held)
        assert info.labels["profile"] == "cpx_nps4"
    assert scrape.value(_UTILIZATION, pod="large") == 0.88
    assert scrape.value("accelerator_device_partitions", uuid=partitioned.uuid) == 8
    assert scrape.value("accelerator_device_mode", uuid=partitioned.uuid, mode="partitioning") == 1
    assert _device_series(scrape) == _device_series(before)
    # No value of the whole GPU is repeated for a partition.
    assert not scrape.find("accelerator_partition_power_watts")
    assert sum(series.value for series in scrape.find("accelerator_partition_compute_ratio")) == 1


def test_repartitioning_while_pods_run(host: AmdHost) -> None:
    gpu = host.tree.add(MI300X, "0000:05:00.0")
    with host.kubelet, host.running("--metrics.sets=all") as running:
        for mode, count in (("CPX", 8), ("DPX", 2), ("SPX", 0), ("QPX", 4)):
            gpu.set_partition_mode(mode)
            names = [f"{mode.lower()}-{number}" for number in range(count or 1)]
            held = zip(names, partition_ids(gpu), strict=True)
            host.kubelet.pods = [
                pod("serving", name, container("server", device("amd.com/gpu", held_id))) for name, held_id in held
            ]
            scrape = wait_until(partial(_held_by, running, set(names)))
            assert scrape.value("accelerator_device_partitions") == count
            assert {series.labels["profile"] for series in scrape.find("accelerator_partition_info")} == (
                {f"{mode.lower()}_nps1"} if count else set()
            )


def _held_by(running: ExporterProcess, pods: set[str]) -> Scrape | None:
    scrape = running.scrape()
    return scrape if {series.labels["pod"] for series in scrape.find(_UTILIZATION)} == pods else None


def test_a_table_of_an_unsupported_version_is_counted_once_and_named(host: AmdHost) -> None:
    gpu = host.tree.add(MI300X, "0000:05:00.0")
    gpu.write_bytes("gpu_metrics", b"\x0c\x00\x01\x0a" + b"\0" * 8)
    errors = ("accelerator_exporter_collector_errors_total", "amd", "invalid_value")
    with host.running() as running:
        wait_until(lambda: _value(running, *errors) or None)
        for percent in (10, 20, 30):  # each needs another poll
            gpu.write("gpu_busy_percent", str(percent))
            wait_until(lambda: _busy(running) == percent / 100)  # noqa: B023 - waited for within the loop
        assert _value(running, *errors) == 1
    checked = run_once(["check", *host.flags], {"LD_LIBRARY_PATH": "/dev/null"})
    assert "gpu_metrics 1.10: this version is not supported" in checked.stdout


def _value(running: ExporterProcess, name: str, collector: str, reason: str) -> float | None:
    return running.scrape().value(name, collector=collector, reason=reason)


def _busy(running: ExporterProcess) -> float | None:
    return running.scrape().value("accelerator_device_utilization_ratio")


def test_a_radeon_beside_an_instinct(host: AmdHost) -> None:
    radeon, instinct = host.tree.add(RX_7900_XTX, "0000:03:00.0"), host.tree.add(MI300X, "0000:05:00.0")
    with host.running() as running:
        scrape = wait_until(
            lambda: (
                s if (s := running.scrape()).value("accelerator_device_energy_joules_total", uuid=radeon.uuid) else None
            )
        )
    assert scrape.value("accelerator_device_fan_speed_ratio", uuid=radeon.uuid) == 0.5
    assert scrape.find("accelerator_device_fan_speed_ratio", uuid=instinct.uuid) == []
    assert scrape.value("accelerator_device_info", uuid=radeon.uuid, architecture="gfx1100") == 1


def test_an_unbound_gpu_keeps_its_name_and_does_not_affect_the_others(host: AmdHost) -> None:
    lost, other = host.tree.add(MI300X, "0000:05:00.0"), host.tree.add(MI300X, "0000:26:00.0")
    with host.running() as running:
        wait_until(lambda: _with(running, "accelerator_device_utilization_ratio", 2))
        lost.unbind()
        scrape = wait_until(
            lambda: (
                s
                if (s := running.scrape()).value("accelerator_device_status", uuid=lost.uuid, state="failed")
                else None
            )
        )
        assert len(scrape.find("accelerator_device_info", uuid=lost.uuid)) == 1
        assert scrape.find("accelerator_device_power_watts", uuid=lost.uuid) == []
        assert scrape.value("accelerator_device_power_watts", uuid=other.uuid) == 611
        lost.bind()
        scrape = wait_until(lambda: _with(running, "accelerator_device_utilization_ratio", 2))
        assert scrape.value("accelerator_device_status", uuid=lost.uuid, state="ok") == 1


def test_unreadable_files_affect_only_their_own_readings(host: AmdHost) -> None:
    gpu = host.tree.add(MI300X, "0000:05:00.0")
    with host.running() as running:
        wait_until(lambda: _with(running, "accelerator_device_utilization_ratio", 1))
        for name in ("gpu_busy_percent", "hwmon/power1_input", "gpu_metrics"):
            gpu.fail(name)
        gpu.write_bytes("mem_info_vram_used", b"")
        gone = ("utilization_ratio", "power_watts", "memory_usage_bytes", "interconnect_links")
        scrape = wait_until(
            lambda: None if any((s := running.scrape()).find(f"accelerator_device_{stem}") for stem in gone) else s
        )
        reasons = {
            series.labels["reason"]
            for series in scrape.find("accelerator_exporter_collector_errors_total", collector="amd")
            if series.value
        }
        assert reasons == {"unavailable", "invalid_value"}
        assert scrape.value("accelerator_device_temperature_celsius", uuid=gpu.uuid, sensor="hotspot") == 61
        assert scrape.value("accelerator_exporter_collector_up", collector="amd") == 1
