"""Values of the library appear in /metrics in base units under the right names."""

from functools import partial

from tests.doubles.exporter_process import ExporterProcess, wait_until
from tests.doubles.node import Node, running_exporter
from tests.doubles.nvml import ValueType


def test_eight_devices_each_with_its_own_values(node: Node) -> None:
    node.add_h100s(8)
    for index, gpu in enumerate(node.gpus):
        gpu.utilization_gpu_percent = 10 * index
        gpu.set_gpm({10: 5.0 * index})  # memory bandwidth utilization
        gpu.memory_used_bytes = (index + 1) * 2**30
        gpu.power_milliwatts = 100_000 + index
        gpu.energy_millijoules = 1_000_000 * (index + 1)
        gpu.temperature_celsius = 30 + index
        gpu.clock_sm_megahertz = 1_000 + index
    with running_exporter(node, "--metrics.sets=all") as running:
        scrape = wait_until(
            lambda: (
                s
                if len((s := running.scrape()).find("accelerator_device_memory_bandwidth_utilization_ratio")) == 8
                else None
            )
        )
    for index, uuid in enumerate(node.uuids):
        expected = {
            "utilization_ratio": index / 10,
            "memory_bandwidth_utilization_ratio": index / 20,
            "memory_usage_bytes": (index + 1) * 2**30,
            "memory_limit_bytes": node.gpus[index].memory_total_bytes,
            "memory_reserved_bytes": node.gpus[index].memory_reserved_bytes,
            "power_watts": 100 + index / 1000,
            "energy_joules_total": 1000.0 * (index + 1),
            "power_limit_watts": node.gpus[index].power_enforced_limit_milliwatts / 1000,
            "partitions": 0,
        }
        for stem, value in expected.items():
            assert scrape.value(f"accelerator_device_{stem}", uuid=uuid) == value, stem
        assert scrape.value("accelerator_device_temperature_celsius", uuid=uuid, sensor="core") == 30 + index
        assert scrape.value("accelerator_device_clock_hertz", uuid=uuid, domain="sm") == (1_000 + index) * 1e6
        assert scrape.value("accelerator_device_status", uuid=uuid, state="ok") == 1
        assert scrape.value("accelerator_device_info", uuid=uuid, index=str(index), **{"class": "gpu"}) == 1


def _utilization_is(running: ExporterProcess, ratio: float) -> bool:
    return running.scrape().value("accelerator_device_utilization_ratio") == ratio


def test_values_follow_the_library_while_it_runs(node: Node) -> None:
    node.add_h100s(1)
    with running_exporter(node) as running:
        for percent in (0, 37, 100):
            node.set_utilization(0, percent)
            wait_until(partial(_utilization_is, running, percent / 100))


def test_a_device_with_seven_instances(node: Node) -> None:
    node.add_h100s(1)
    node.partition(0, *["1g.10gb"] * 7)
    for position, mig in enumerate(node.mig(0)):
        mig.memory_used_bytes = (position + 1) * 2**20
    with running_exporter(node, "--metrics.sets=all") as running:
        scrape = wait_until(
            lambda: s if len((s := running.scrape()).find("accelerator_partition_memory_usage_bytes")) == 7 else None
        )
    assert scrape.value("accelerator_device_partitions") == 7
    assert (
        scrape.find("accelerator_device_utilization_ratio") == []
    )  # the driver refuses it while the device is partitioned
    assert scrape.value("accelerator_device_power_watts") == node.gpus[0].power_milliwatts / 1000
    for position, mig in enumerate(node.mig(0)):
        labels = {"partition_uuid": mig.uuid, "profile": "1g.10gb", "uuid": node.uuids[0]}
        assert scrape.value("accelerator_partition_memory_usage_bytes", **labels) == (position + 1) * 2**20
        assert scrape.value("accelerator_partition_compute_ratio", **labels) == 1 / 7
        instances = {"gpu_instance_id": str(mig.gpu_instance), "compute_instance_id": str(mig.compute_instance)}
        assert scrape.value("accelerator_partition_info", **instances, **labels) == 1


def test_lost_device_keeps_its_identity_and_does_not_affect_others(node: Node) -> None:
    node.add_h100s(2)
    lost, fine = node.uuids
    with running_exporter(node) as running:
        wait_until(lambda: len(running.scrape().find("accelerator_device_utilization_ratio")) == 2)
        node.lose(0)
        scrape = wait_until(
            lambda: (
                s
                if (s := running.scrape()).value("accelerator_device_status", uuid=lost, state="failed") == 1
                else None
            )
        )
        assert scrape.find("accelerator_device_utilization_ratio", uuid=lost) == []
        assert scrape.find("accelerator_device_power_watts", uuid=lost) == []
        assert len(scrape.find("accelerator_device_info", uuid=lost)) == 1
        assert scrape.value("accelerator_device_utilization_ratio", uuid=fine) == 0
        assert scrape.value("accelerator_exporter_collector_up", collector="nvidia") == 1
        assert (scrape.value("accelerator_exporter_collector_errors_total", reason="device_lost") or 0) >= 1
        node.nvml.heal()
        wait_until(lambda: running.scrape().value("accelerator_device_status", uuid=lost, state="ok") == 1)
        wait_until(lambda: len(running.scrape().find("accelerator_device_utilization_ratio")) == 2)


def test_missing_library_is_reported_where_the_pci_bus_has_a_gpu(node: Node) -> None:
    node.add_h100s(1)
    node.remove_library()
    with running_exporter(node) as running:
        scrape = wait_until(lambda: s if (s := running.scrape()).find("accelerator_exporter_collector_up") else None)
        assert scrape.value("accelerator_exporter_collector_up", collector="nvidia") == 0
        assert (scrape.value("accelerator_exporter_collector_errors_total", reason="library_missing") or 0) >= 1
        assert "runtimeClassName nvidia" in running.log.read_text()


def test_node_without_gpus_logs_nothing(node: Node) -> None:
    with node.kubelet, running_exporter(node) as running:
        scrape = wait_until(lambda: s if (s := running.scrape()).find("accelerator_exporter_attribution_up") else None)
        assert scrape.value("accelerator_exporter_collector_devices", collector="nvidia") == 0
        assert scrape.find("accelerator_exporter_collector_up") == []
        assert "level=warning" not in running.log.read_text()
        assert "level=error" not in running.log.read_text()


def test_optional_readings_are_read_when_enabled(node: Node) -> None:
    node.add_h100s(1)
    gpu = node.gpus[0]
    gpu.pcie_transmit_kilobytes_per_second, gpu.pcie_receive_kilobytes_per_second = 1_000, 2_000
    for link in range(2):
        for field in (138, 139):
            gpu.set_field(field, 3 + link, ValueType.UNSIGNED_LONG_LONG, scope=link)
    throughput = "accelerator_device_pcie_throughput_bytes_per_second"
    moved = "accelerator_device_interconnect_bytes_total"
    with running_exporter(node) as running:
        scrape = wait_until(lambda: s if (s := running.scrape()).find(moved) else None)
        assert not [series for series in scrape.find(moved) if "link" in series.labels]
        assert scrape.find(throughput) == []
    assert node.nvml.calls("nvmlDeviceGetPcieThroughput") == 0
    with running_exporter(node, "--collect.pcie-throughput=true", "--metrics.sets=all") as running:
        scrape = wait_until(lambda: s if (s := running.scrape()).find(throughput) else None)
        assert scrape.value(throughput, direction="transmit") == 1_000_000
        assert scrape.value(throughput, direction="receive") == 2_000_000
        links = {(series.labels["link"], series.value) for series in scrape.find(moved, direction="receive")}
        assert links == {("0", 3 * 1024), ("1", 4 * 1024)}
