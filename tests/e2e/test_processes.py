"""Processes from the library: counted by default; a series for each only when enabled."""

from pathlib import Path

from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.node import Node, running_exporter
from tests.doubles.nvml import process

MEMORY, UTILIZATION = "accelerator_process_memory_usage_bytes", "accelerator_process_utilization_ratio"
MIB = 1 << 20


def busy(node: Node) -> None:
    """Two processes on a whole device, one on a MIG device."""
    node.add_h100s(2)
    node.partition(1, "1g.10gb")
    first, second = process(41, 100 * MIB), process(42, None)
    first.utilization_percent = 60
    node.gpus[0].processes = [first, second]
    node.gpus[1].processes = [process(43, 7 * MIB, mig=node.mig(1)[0])]


def counted(running: ExporterProcess) -> Scrape | None:
    scrape = running.scrape()
    return scrape if scrape.find("accelerator_partition_processes") else None


def test_processes_are_only_counted_by_default(node: Node) -> None:
    busy(node)
    with running_exporter(node, "--metrics.sets=all") as running:
        scrape = wait_until(lambda: counted(running))
    assert scrape.value("accelerator_device_processes", uuid=node.uuids[0]) == 2
    assert scrape.value("accelerator_device_processes", uuid=node.uuids[1]) == 1
    assert scrape.value("accelerator_partition_processes", uuid=node.uuids[1]) == 1
    assert scrape.find(MEMORY) == scrape.find(UTILIZATION) == []


def test_enabled_process_series_have_names(node: Node, tmp_path: Path) -> None:
    busy(node)
    procfs = tmp_path / "proc"
    (procfs / "41").mkdir(parents=True)
    (procfs / "41" / "comm").write_text("python3\n")
    with running_exporter(node, "--collect.processes=true", f"--path.procfs={procfs}") as running:
        scrape = wait_until(lambda: s if (s := running.scrape()).find(UTILIZATION) else None)
        assert scrape.value(MEMORY, uuid=node.uuids[0], pid="41") == 100 * MIB
        assert scrape.value(UTILIZATION, uuid=node.uuids[0], pid="41") == 0.6
        assert {series.labels["name"] for series in scrape if series.labels.get("pid") == "41"} == {"python3"}
        assert scrape.find(MEMORY, pid="42") == []  # unknown to the library
        [on_mig] = scrape.find(MEMORY, uuid=node.uuids[1])
        assert (on_mig.labels["pid"], on_mig.labels["partition_uuid"]) == ("43", node.mig_uuids(1)[0])
        assert "name" not in on_mig.labels
        assert on_mig.value == 7 * MIB
        node.gpus[0].processes = []
        wait_until(lambda: not running.scrape().find(MEMORY, uuid=node.uuids[0]))
        node.lose(1)
        wait_until(lambda: not running.scrape().find(MEMORY))
