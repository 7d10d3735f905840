from pathlib import Path

import pytest

from collectors import catalog, labels
from collectors.contract import AbsentError, Node, Reading, Reason, UnavailableError, Wishes
from collectors.metric import Cadence, Metric
from collectors.nvidia import SPEC, activity
from collectors.nvidia.collector import NvidiaCollector
from collectors.nvidia.nvml import Nvml
from collectors.sysfs import Root
from tests.doubles.nvml_binding import GPU_IS_LOST, FakeBinding, FakeGpu, gpus, mig_device
from tests.doubles.sysfs_tree import SysfsTree

ALL = frozenset(Cadence)
NO_WISHES = Wishes()
FAST = frozenset({Cadence.FAST})
MEDIUM = frozenset({Cadence.FAST, Cadence.MEDIUM})


class Bench:
    """The collector over a library, a PCI bus and a clock that the test sets."""

    def __init__(self, path: Path, devices: list[FakeGpu], wishes: Wishes = NO_WISHES) -> None:
        self.tree = SysfsTree(path)
        self.binding = FakeBinding(devices)
        self.opened = 0
        self.now = 0.0
        node = Node(self.tree.root, Root(path / "no-proc"), "machine", wishes)
        self.collector = NvidiaCollector(node, self.open, lambda: self.now, lambda: 1e9 + self.now)

    def open(self) -> Nvml:
        self.opened += 1
        return Nvml(self.binding)

    def read(self, due: frozenset[Cadence] = ALL) -> Reading:
        return self.collector.read(due)


def states(reading: Reading) -> dict[str, str]:
    """The state of each device that has one; every state must be told, one of them as 1."""
    told: dict[str, dict[str, float]] = {}
    for sample in reading.samples:
        if sample.metric is catalog.STATUS_STATE:
            told.setdefault(sample.device_uuid, {})[sample.labels[0]] = sample.value
    for states_of_one in told.values():
        assert tuple(states_of_one) == labels.STATUS.values
        assert sorted(states_of_one.values()) == [0, 0, 0, 1]
    return {uuid: max(states_of_one, key=states_of_one.__getitem__) for uuid, states_of_one in told.items()}


def value(reading: Reading, metric: Metric, uuid: str, partition_uuid: str = "") -> float | None:
    found = [
        sample.value
        for sample in reading.samples
        if (sample.metric, sample.device_uuid, sample.partition_uuid) == (metric, uuid, partition_uuid)
    ]
    assert len(found) <= 1
    return found[0] if found else None


def lost(reading: Reading) -> list[str]:
    return [device.uuid for device in reading.devices if device.lost]


def test_the_entry_point_names_every_row_it_supplies_and_no_other(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), mig_devices={0: mig_device(1)})
    before_ampere = FakeGpu(uuid="GPU-9", bus_id="00000000:99:00.0")
    before_ampere.answers |= {"nvmlDeviceGetRetiredPages": lambda _: [1, 2]}
    del before_ampere.answers["nvmlDeviceGetRemappedRows"]
    wishes = Wishes(pcie_throughput=True)
    reading = Bench(tmp_path, [gpu, *gpus(1), before_ampere], wishes).read()
    assert reading.faults == ()
    told = {sample.metric for sample in reading.samples if not sample.partition_uuid}
    # These devices have neither activity counters nor events; test_nvidia_library.py has.
    rest = {*activity.GPM_ROWS, catalog.ERRORS, catalog.ERROR_LAST_TIMESTAMP} - {catalog.UTILIZATION}
    assert told | rest == set(SPEC.metrics)
    of_partitions = {sample.metric for sample in reading.samples if sample.partition_uuid}
    assert of_partitions | activity.GPM_ROWS == set(SPEC.partition_metrics)
    assert (SPEC.name, SPEC.resource_prefixes) == ("nvidia", ("nvidia.com/",))
    assert list(SPEC.metrics) == [row for row in catalog.ROWS if row in SPEC.metrics]


def test_making_the_collector_touches_nothing(tmp_path: Path) -> None:
    assert Bench(tmp_path, gpus(1)).opened == 0


@pytest.mark.parametrize("due", [FAST, MEDIUM, ALL, frozenset({Cadence.SLOW})])
def test_samples_are_of_the_cadences_that_were_due(tmp_path: Path, due: frozenset[Cadence]) -> None:
    reading = Bench(tmp_path, gpus(2)).read(due)
    assert {sample.metric.cadence for sample in reading.samples} == due
    assert len(reading.devices) == 2


def test_no_sample_is_told_twice(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), mig_devices={n: mig_device(n) for n in range(7)})
    reading = Bench(tmp_path, [gpu, *gpus(3)]).read()
    series = [(sample.metric, sample.device_uuid, sample.partition_uuid, sample.labels) for sample in reading.samples]
    assert len(set(series)) == len(series)
    assert len(reading.partitions) == 7


def test_a_healthy_device_is_ok_and_whole(tmp_path: Path) -> None:
    reading = Bench(tmp_path, gpus(1)).read()
    assert states(reading) == {"GPU-0": "ok"}
    assert value(reading, catalog.PARTITIONS, "GPU-0") == 0
    assert reading.faults == ()


def test_a_device_that_is_lost_keeps_its_name_and_only_its_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(3))
    bench.read()
    bench.binding.devices[1].errors["nvmlDeviceGetPowerUsage"] = GPU_IS_LOST
    reading = bench.read(FAST)
    assert lost(reading) == ["GPU-1"]
    assert states(reading) == {"GPU-0": "ok", "GPU-1": "failed", "GPU-2": "ok"}
    assert {sample.metric for sample in reading.samples if sample.device_uuid == "GPU-1"} == {catalog.STATUS_STATE}
    assert [(fault.reason, fault.where) for fault in reading.faults] == [(Reason.DEVICE_LOST, "0000:11:00.0")]


def test_a_lost_device_is_left_alone_until_the_next_medium_poll_and_then_found_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    gpu = bench.binding.devices[0]
    gpu.errors["*"] = GPU_IS_LOST
    bench.tree.add_pci("0000:10:00.0")
    assert states(bench.read()) != {"GPU-0": "ok"}
    calls = gpu.calls.total()
    gpu.errors.clear()
    bench.read(FAST)
    assert gpu.calls.total() == calls
    reading = bench.read(MEDIUM)
    assert (lost(reading), states(reading)) == ([], {"GPU-0": "ok"})
    assert value(reading, catalog.POWER, "GPU-0") == 350.5


def test_healthy_devices_are_enumerated_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    for _ in range(5):
        bench.read()
    assert bench.binding.calls["nvmlDeviceGetHandleByIndex"] == 2


def test_a_device_that_answers_nothing_has_no_known_state(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.read()
    bench.binding.devices[0].errors["*"] = 999
    reading = bench.read(FAST)
    assert states(reading) == {"GPU-1": "ok"}
    assert lost(reading) == []
    assert {fault.reason for fault in reading.faults} == {Reason.UNAVAILABLE}


def test_a_device_that_may_not_be_opened_any_more_is_known_without_a_state(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.read()
    bench.binding.devices.append(FakeGpu(uuid="GPU-new", bus_id="00000000:20:00.0"))  # makes it look again
    bench.binding.handle_errors[0] = 4
    reading = bench.read()
    assert [device.uuid for device in reading.devices] == ["GPU-0", "GPU-1", "GPU-new"]
    assert states(reading) == {"GPU-1": "ok", "GPU-new": "ok"}
    assert value(reading, catalog.INFO, "GPU-0") == 1


def test_a_changed_number_of_devices_is_seen_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    bench.read()
    bench.binding.devices = gpus(2)
    assert [device.uuid for device in bench.read(FAST).devices] == ["GPU-0", "GPU-1"]


def test_no_device_and_never_one_is_absence(tmp_path: Path) -> None:
    with pytest.raises(AbsentError):
        Bench(tmp_path, []).read()


def test_no_device_after_some_is_loud(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.read()
    bench.binding.devices = []
    reading = bench.read(FAST)
    assert reading.devices == ()
    assert {fault.reason for fault in reading.faults} == {Reason.DEVICES_VANISHED}
    assert bench.read(FAST).faults == ()
    assert len(bench.read(MEDIUM).faults) == 2


def test_no_device_while_the_bus_has_one_is_a_lost_device(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [])
    bench.tree.add_pci("0000:10:00.0")
    reading = bench.read()
    assert [device.device for device in reading.devices] == ["0000:10:00.0"]
    assert list(states(reading).values()) == ["failed"]


def test_a_count_that_cannot_be_true_fails_the_reading(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1) * 257)
    with pytest.raises(UnavailableError, match="257 devices") as caught:
        bench.read()
    assert caught.value.reason is Reason.INVALID_VALUE


@pytest.mark.parametrize("call", ["nvmlDeviceGetCount", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetUUID"])
def test_the_end_of_the_session_is_followed_by_a_new_one_after_a_pause(tmp_path: Path, call: str) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.binding.errors[call] = 1
    for _ in range(2):
        with pytest.raises(UnavailableError) as caught:
            bench.read()
        assert caught.value.reason is Reason.DRIVER_NOT_LOADED
    assert (bench.opened, bench.binding.calls["nvmlShutdown"]) == (1, 1)
    bench.binding.errors.clear()
    bench.now += 1
    reading = bench.read()
    assert bench.opened == 2
    assert states(reading) == {"GPU-0": "ok", "GPU-1": "ok"}


def test_pcie_bytes_that_were_withdrawn_are_listed_as_unsupported(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    assert catalog.PCIE_BYTES not in {gap.metric for gap in bench.read().unsupported}
    bench.binding.devices[1].fields[197, 0] = (0, 3, 0)
    reading = bench.read()
    assert {s.device_uuid for s in reading.samples if s.metric is catalog.PCIE_BYTES} == {"GPU-0"}
    assert [gap.device_uuid for gap in reading.unsupported if gap.metric is catalog.PCIE_BYTES] == ["GPU-1"]


def test_a_new_session_asks_again_what_was_unsupported(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    bench.binding.errors["nvmlDeviceGetTotalEnergyConsumption"] = 13
    for _ in range(2):
        reading = bench.read()
        assert catalog.ENERGY in {gap.metric for gap in reading.unsupported}
    bench.binding.errors.clear()
    bench.collector.close()
    reading = bench.read()
    assert catalog.ENERGY not in {gap.metric for gap in reading.unsupported}
    assert value(reading, catalog.ENERGY, "GPU-0") == 12_345.678


def test_a_good_poll_makes_the_next_pause_short_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    for _ in range(3):
        bench.binding.errors["nvmlDeviceGetCount"] = 9
        with pytest.raises(UnavailableError):
            bench.read()
        bench.binding.errors.clear()
        bench.now += 1
        bench.read()
    assert bench.opened == 4


def test_closing_twice_is_safe_and_reading_opens_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    bench.collector.close()
    bench.read()
    bench.collector.close()
    bench.collector.close()
    assert bench.binding.calls["nvmlShutdown"] == 1
    assert states(bench.read()) == {"GPU-0": "ok"}


def test_a_device_that_appears_on_the_bus_is_looked_for_by_one_new_session(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    bench.tree.add_pci("0000:10:00.0")
    bench.read()
    bench.tree.add_pci("0000:11:00.0")
    bench.read(FAST)
    assert bench.opened == 1
    assert lost(bench.read(MEDIUM)) != []
    bench.read(MEDIUM)
    assert (bench.opened, bench.binding.calls["nvmlShutdown"]) == (2, 1)
    bench.binding.devices = gpus(2)
    assert states(bench.read(MEDIUM)) == {"GPU-0": "ok", "GPU-1": "ok"}


def test_a_partition_gives_what_a_mig_device_can(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), mig_devices={0: mig_device(3), 2: mig_device(5)})
    gpu.errors["nvmlDeviceGetUtilizationRates"] = 3
    gpu.mig_devices[0].compute_pids = (4, 5)
    reading = Bench(tmp_path, [gpu]).read()
    assert value(reading, catalog.PARTITIONS, "GPU-0") == 2
    assert value(reading, catalog.MEMORY_USAGE, "GPU-0", "MIG-3-0") == 300
    assert value(reading, catalog.MEMORY_LIMIT, "GPU-0", "MIG-3-0") == 1000
    assert value(reading, catalog.COMPUTE_RATIO, "GPU-0", "MIG-3-0") == 1 / 7
    assert value(reading, catalog.PROCESSES, "GPU-0", "MIG-3-0") == 2
    (info,) = [s for s in reading.samples if s.metric is catalog.INFO and s.partition_uuid == "MIG-5-0"]
    told = {label.name: text for label, text in zip(catalog.INFO.labels, info.labels, strict=True) if text}
    assert told == {"gpu_instance_id": "5", "compute_instance_id": "0"}


def test_memory_that_compute_instances_share_is_told_once(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), mig_devices={0: mig_device(1, 1), 1: mig_device(1, 0)})
    reading = Bench(tmp_path, [gpu]).read()
    assert value(reading, catalog.MEMORY_USAGE, "GPU-0", "MIG-1-1") is None
    assert value(reading, catalog.MEMORY_USAGE, "GPU-0", "MIG-1-0") == 300
    assert value(reading, catalog.PROCESSES, "GPU-0", "MIG-1-1") == 0


def test_a_new_cut_is_named_right_in_the_very_next_poll(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), mig_devices={0: mig_device(1, uuid="MIG-old")})
    bench = Bench(tmp_path, [gpu])
    bench.read()
    gpu.mig_devices[0].uuid = "MIG-new"
    reading = bench.read(FAST)
    assert [partition.uuid for partition in reading.partitions] == ["MIG-new"]
    assert {sample.partition_uuid for sample in reading.samples} == {"", "MIG-new"}


def test_utilization_returns_when_mig_is_switched_off(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), errors={"nvmlDeviceGetUtilizationRates": 3})
    bench = Bench(tmp_path, [gpu])
    assert value(bench.read(), catalog.UTILIZATION, "GPU-0") is None
    gpu.mig = (0, 0)
    gpu.errors.clear()
    assert value(bench.read(FAST), catalog.UTILIZATION, "GPU-0") == 0.5


def test_a_partition_removed_within_a_poll_does_not_fail_its_device(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), mig_devices={0: mig_device(1)})
    bench = Bench(tmp_path, [gpu])
    bench.read()
    gpu.mig_devices[0].errors["nvmlDeviceGetMemoryInfo_v2"] = 28
    reading = bench.read(FAST)
    assert states(reading) == {"GPU-0": "ok"}
    assert [fault.where for fault in reading.faults] == ["MIG-1-0"]


def test_a_lost_device_keeps_its_partitions(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), mig_devices={0: mig_device(1)})
    bench = Bench(tmp_path, [gpu])
    bench.read()
    gpu.errors["*"] = GPU_IS_LOST
    for due in (FAST, ALL):
        reading = bench.read(due)
        assert lost(reading) == ["GPU-0"]
        assert [partition.uuid for partition in reading.partitions] == ["MIG-1-0"]
        assert {sample.metric for sample in reading.samples} <= {catalog.STATUS_STATE, catalog.INFO}
    assert value(reading, catalog.INFO, "GPU-0", "MIG-1-0") == 1


def test_the_number_of_partitions_is_unknown_while_one_does_not_answer(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), mig_devices={0: mig_device(1), 1: mig_device(2)})
    bench = Bench(tmp_path, [gpu])
    assert value(bench.read(), catalog.PARTITIONS, "GPU-0") == 2
    gpu.mig_devices[1].errors["nvmlDeviceGetUUID"] = 999
    assert value(bench.read(FAST), catalog.PARTITIONS, "GPU-0") is None


def test_properties_of_partitions_are_read_again_at_slow_polls(tmp_path: Path) -> None:
    gpu = FakeGpu(mig=(1, 1), mig_devices={0: mig_device(1, profile="1g.10gb")})
    bench = Bench(tmp_path, [gpu])
    bench.read()
    gpu.mig_devices[0].name = "NVIDIA H100 80GB HBM3 MIG 2g.20gb"
    assert [partition.profile for partition in bench.read(MEDIUM).partitions] == ["1g.10gb"]
    assert [partition.profile for partition in bench.read().partitions] == ["2g.20gb"]


def test_switches_and_audio_functions_of_the_vendor_are_no_lost_gpus(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    bench.tree.add_pci("0000:05:00.0", pci_class=0x068000)
    bench.tree.add_pci("0000:10:00.1", pci_class=0x040300)
    assert [device.uuid for device in bench.read().devices] == ["GPU-0"]


def test_a_new_session_may_list_devices_in_another_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.read()
    bench.collector.close()
    bench.binding.devices.reverse()
    bench.binding.handle_errors[1] = 4
    reading = bench.read()
    assert [(device.uuid, device.lost) for device in reading.devices] == [("GPU-1", False)]
    assert [fault.where for fault in reading.faults] == ["device at index 1"]
