from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from collectors import catalog, labels
from collectors.contract import AbsentError, CollectOptions, Reading, Reason, UnavailableError
from collectors.metric import Cadence, Metric
from collectors.nvidia import SPEC
from tests.doubles.exporter_process import wait_until
from tests.doubles.nvidia_collector import CollectorBench, collector_bench
from tests.doubles.nvidia_device import gpus, mig_device
from tests.doubles.nvml import XID_EVENT, Device, MigDevice, NvmlState, ProcessKind, ValueType, h100, process
from tests.doubles.options import SUMS_OF_LINKS

ALL = frozenset(Cadence)
NO_OPTIONS = CollectOptions()
FAST = frozenset({Cadence.FAST})
MEDIUM = frozenset({Cadence.FAST, Cadence.MEDIUM})
COUNT, HANDLE, SHUTDOWN = "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlShutdown"
UUID, POWER, ENERGY = "nvmlDeviceGetUUID", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetTotalEnergyConsumption"
UNINITIALIZED, NO_PERMISSION, DRIVER_NOT_LOADED, FUNCTION_NOT_FOUND, GPU_IS_LOST = 1, 4, 9, 13, 15
GPU_NOT_FOUND, UNKNOWN = 28, 999
CYCLES = (248, 249, 250, 257, 258, 259, 260)


Benches = Callable[..., CollectorBench]


@pytest.fixture
def bench(tmp_path: Path, nvml: NvmlState) -> Iterator[Benches]:
    with ExitStack() as closing:

        def bench(devices: Iterable[Device], options: CollectOptions = NO_OPTIONS) -> CollectorBench:
            nvml.devices = devices
            return closing.enter_context(collector_bench(tmp_path, nvml, options))

        yield bench


def partitioned(*mig_devices: MigDevice | None) -> Device:
    """GPU-0 in MIG mode."""
    [card] = gpus(1)
    card.partition(mig_devices)
    return card


def states(reading: Reading) -> dict[str, str]:
    """The state of each device that has one; every state must be reported, exactly one of them as 1."""
    found: dict[str, dict[str, float]] = {}
    for sample in reading.samples:
        if sample.metric is catalog.STATUS_STATE:
            found.setdefault(sample.device_uuid, {})[sample.labels[0]] = sample.value
    for states_of_one in found.values():
        assert tuple(states_of_one) == labels.STATUS.values
        assert sorted(states_of_one.values()) == [0, 0, 0, 1]
    return {uuid: max(states_of_one, key=states_of_one.__getitem__) for uuid, states_of_one in found.items()}


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


def without_memory() -> Device:
    """A card that uses the memory of its host."""
    card = h100(3)
    card.memory_total_bytes = card.bar1_total_bytes = None
    card.processes = (process(7, 2**30, ProcessKind.COMPUTE),)
    return card


def test_the_entry_point_lists_exactly_the_supplied_rows(bench: Benches, nvml: NvmlState) -> None:
    whole, in_mig_mode, before_ampere = gpus(3)
    in_mig_mode.partition([mig_device(1)])
    in_mig_mode.mig[0].set_gpm(dict.fromkeys(CYCLES, 1.0))
    whole.set_gpm(dict.fromkeys(CYCLES, 1.0))
    whole.gpm_supported = in_mig_mode.gpm_supported = 1
    whole.supported_event_types = XID_EVENT
    whole.fabric_health_mask = 0x1AA
    for field in range(301, 308):
        whole.set_field(field, 0, ValueType.UNSIGNED_INT)
    before_ampere.remapped_rows_corrected = None
    before_ampere.retired_pages_corrected = before_ampere.retired_pages_uncorrected = 0
    before_ampere.retirement_pending = before_ampere.fan_speed_percent = 0
    before_ampere.fans, before_ampere.threshold_shutdown_celsius = 1, 92
    cards = [whole, in_mig_mode, before_ampere, without_memory()]
    reader = bench(cards, replace(SUMS_OF_LINKS, pcie_throughput=True))
    reader.read()
    nvml.happen(0, 31)

    def with_event() -> Reading | None:
        reader.pass_time(1)
        reading = reader.read()
        assert reading.faults == ()
        metrics = {sample.metric for sample in reading.samples}
        return reading if catalog.ERROR_LAST_TIMESTAMP in metrics else None

    samples = wait_until(with_event).samples
    assert {sample.metric for sample in samples if not sample.partition_uuid} == set(SPEC.metrics)
    assert {sample.metric for sample in samples if sample.partition_uuid} == set(SPEC.partition_metrics)
    assert (SPEC.name, SPEC.resource_prefixes) == ("nvidia", ("nvidia.com/",))
    assert list(SPEC.metrics) == [row for row in catalog.ROWS if row in SPEC.metrics]


def test_creating_the_collector_does_not_open_the_library(bench: Benches) -> None:
    assert bench(gpus(1)).opened == 0


@pytest.mark.parametrize("due", [FAST, MEDIUM, ALL, frozenset({Cadence.SLOW})])
def test_samples_have_the_due_cadences(bench: Benches, due: frozenset[Cadence]) -> None:
    reading = bench(gpus(2)).read(due)
    assert {sample.metric.cadence for sample in reading.samples} == due
    assert len(reading.devices) == 2


def test_no_series_is_reported_twice(bench: Benches) -> None:
    reader = bench(gpus(4))
    reader.card.partition(mig_device(n) for n in range(7))
    reading = reader.read()
    series = [(sample.metric, sample.device_uuid, sample.partition_uuid, sample.labels) for sample in reading.samples]
    assert len(set(series)) == len(series)
    assert len(reading.partitions) == 7


def test_a_healthy_device_is_ok_and_not_partitioned(bench: Benches) -> None:
    reading = bench(gpus(1)).read()
    assert states(reading) == {"GPU-0": "ok"}
    assert value(reading, catalog.PARTITIONS, "GPU-0") == 0
    assert reading.faults == ()


def test_a_lost_device_reports_only_its_status(bench: Benches) -> None:
    reader = bench(gpus(3))
    reader.read()
    reader.state.fail(POWER, GPU_IS_LOST, device=1)
    reading = reader.read(FAST)
    assert lost(reading) == ["GPU-1"]
    assert states(reading) == {"GPU-0": "ok", "GPU-1": "failed", "GPU-2": "ok"}
    assert {sample.metric for sample in reading.samples if sample.device_uuid == "GPU-1"} == {catalog.STATUS_STATE}
    assert [(fault.reason, fault.where) for fault in reading.faults] == [(Reason.DEVICE_LOST, "0000:11:00.0")]


def test_healthy_devices_are_enumerated_once(bench: Benches) -> None:
    reader = bench(gpus(2))
    for _ in range(5):
        reader.read()
    assert reader.state.calls(HANDLE) == 2


def test_a_device_whose_calls_all_fail_has_no_state(bench: Benches) -> None:
    reader = bench(gpus(2))
    reader.read()
    reader.state.lose(0, UNKNOWN)
    reading = reader.read(FAST)
    assert states(reading) == {"GPU-1": "ok"}
    assert lost(reading) == []
    assert {fault.reason for fault in reading.faults} == {Reason.UNAVAILABLE}


def test_a_device_that_loses_its_permission_keeps_its_identity_without_a_state(bench: Benches) -> None:
    reader = bench(gpus(2))
    reader.read()
    reader.state.devices = gpus(3)  # causes a new enumeration
    reader.state.fail(HANDLE, NO_PERMISSION, device=0)
    reading = reader.read()
    assert [device.uuid for device in reading.devices] == ["GPU-0", "GPU-1", "GPU-2"]
    assert states(reading) == {"GPU-1": "ok", "GPU-2": "ok"}
    assert value(reading, catalog.INFO, "GPU-0") == 1


def test_a_changed_number_of_devices_takes_effect_at_once(bench: Benches) -> None:
    reader = bench(gpus(1))
    reader.read()
    reader.state.devices = gpus(2)
    assert [device.uuid for device in reader.read(FAST).devices] == ["GPU-0", "GPU-1"]


def test_no_devices_from_the_start_means_absent(bench: Benches) -> None:
    with pytest.raises(AbsentError):
        bench([]).read()


def test_devices_that_vanish_are_faults(bench: Benches) -> None:
    reader = bench(gpus(2))
    reader.read()
    reader.state.devices = ()
    reading = reader.read(FAST)
    assert reading.devices == ()
    assert {fault.reason for fault in reading.faults} == {Reason.DEVICES_VANISHED}
    assert reader.read(FAST).faults == ()
    assert len(reader.read(MEDIUM).faults) == 2


def test_a_device_that_only_the_bus_lists_is_lost(bench: Benches) -> None:
    reader = bench([])
    reader.tree.add_pci("0000:10:00.0")
    reading = reader.read()
    assert [device.device for device in reading.devices] == ["0000:10:00.0"]
    assert list(states(reading).values()) == ["failed"]


def test_an_impossible_device_count_fails_the_reading(bench: Benches) -> None:
    reader = bench(gpus(1))
    reader.state.unreal_devices = 256
    with pytest.raises(UnavailableError, match="257 devices") as caught:
        reader.read()
    assert caught.value.reason is Reason.INVALID_VALUE


@pytest.mark.parametrize("call", [COUNT, POWER, UUID])
def test_a_new_session_is_opened_a_pause_after_the_old_one_ended(bench: Benches, call: str) -> None:
    reader = bench(gpus(2))
    reader.state.fail(call, UNINITIALIZED)
    for _ in range(2):
        with pytest.raises(UnavailableError) as caught:
            reader.read()
        assert caught.value.reason is Reason.DRIVER_NOT_LOADED
    assert (reader.opened, reader.state.calls(SHUTDOWN)) == (1, 1)
    reader.state.heal()
    reader.now += 1
    reading = reader.read()
    assert reader.opened == 2
    assert states(reading) == {"GPU-0": "ok", "GPU-1": "ok"}


def test_pcie_bytes_are_known_to_wrap(bench: Benches) -> None:
    reader = bench(gpus(1))
    reader.state.devices[0].set_field(197, 5_000, ValueType.UNSIGNED_LONG_LONG)
    assert {s.width for s in reader.read().samples if s.metric is catalog.PCIE_BYTES} == {2.0**32}


def test_each_session_is_new(bench: Benches) -> None:
    reader = bench(gpus(1))
    first, same = reader.read().sessions, reader.read().sessions
    reader.collector.close()
    assert first == same
    assert first.keys() == {"GPU-0"}
    assert reader.read().sessions != first


def test_a_new_session_queries_unsupported_readings_again(bench: Benches) -> None:
    reader = bench(gpus(1))
    reader.state.fail(ENERGY, FUNCTION_NOT_FOUND)
    for _ in range(2):
        reading = reader.read()
        assert catalog.ENERGY in {gap.metric for gap in reading.unsupported}
    reader.state.heal()
    reader.collector.close()
    reading = reader.read()
    assert catalog.ENERGY not in {gap.metric for gap in reading.unsupported}
    assert value(reading, catalog.ENERGY, "GPU-0") == 5_000_000


def test_a_successful_poll_resets_the_backoff(bench: Benches) -> None:
    reader = bench(gpus(1))
    for _ in range(3):
        reader.state.fail(COUNT, DRIVER_NOT_LOADED)
        with pytest.raises(UnavailableError):
            reader.read()
        reader.state.heal()
        reader.now += 1
        reader.read()
    assert reader.opened == 4


def test_closing_twice_is_safe_and_the_next_reading_opens_again(bench: Benches) -> None:
    reader = bench(gpus(1))
    reader.collector.close()
    reader.read()
    reader.collector.close()
    reader.collector.close()
    assert reader.state.calls(SHUTDOWN) == 1
    assert states(reader.read()) == {"GPU-0": "ok"}


def test_a_new_device_on_the_bus_causes_one_new_session(bench: Benches) -> None:
    reader = bench(gpus(1))
    reader.tree.add_pci("0000:10:00.0")
    reader.read()
    reader.tree.add_pci("0000:11:00.0")
    reader.read(FAST)
    assert reader.opened == 1
    assert lost(reader.read(MEDIUM)) != []
    reader.read(MEDIUM)
    assert (reader.opened, reader.state.calls(SHUTDOWN)) == (2, 1)
    reader.state.devices = gpus(2)
    assert states(reader.read(MEDIUM)) == {"GPU-0": "ok", "GPU-1": "ok"}


def test_a_partition_has_the_readings_of_its_mig_device(bench: Benches) -> None:
    gpu = partitioned(mig_device(3), None, mig_device(5))
    gpu.mig[0].memory_total_bytes, gpu.mig[0].memory_used_bytes = 1000, 300
    gpu.processes = [process(pid, None, mig=gpu.mig[0]) for pid in (4, 5)]
    reading = bench([gpu]).read()
    assert value(reading, catalog.PARTITIONS, "GPU-0") == 2
    assert value(reading, catalog.MEMORY_USAGE, "GPU-0", "MIG-3-0") == 300
    assert value(reading, catalog.MEMORY_LIMIT, "GPU-0", "MIG-3-0") == 1000
    assert value(reading, catalog.COMPUTE_RATIO, "GPU-0", "MIG-3-0") == 1 / 7
    assert value(reading, catalog.PROCESSES, "GPU-0", "MIG-3-0") == 2
    (info,) = [s for s in reading.samples if s.metric is catalog.INFO and s.partition_uuid == "MIG-5-0"]
    own_labels = {label.name: text for label, text in zip(catalog.INFO.labels, info.labels, strict=True) if text}
    assert own_labels == {"gpu_instance_id": "5", "compute_instance_id": "0"}


def test_memory_shared_by_compute_instances_is_reported_once(bench: Benches) -> None:
    gpu = partitioned(mig_device(1, 1), mig_device(1, 0))
    gpu.mig[1].memory_used_bytes = 300
    reading = bench([gpu]).read()
    assert value(reading, catalog.MEMORY_USAGE, "GPU-0", "MIG-1-1") is None
    assert value(reading, catalog.MEMORY_USAGE, "GPU-0", "MIG-1-0") == 300
    assert value(reading, catalog.PROCESSES, "GPU-0", "MIG-1-1") == 0


def test_a_new_partition_layout_is_reported_by_the_next_poll(bench: Benches) -> None:
    reader = bench([partitioned(mig_device(1, uuid="MIG-old"))])
    reader.read()
    reader.card.mig[0].uuid = "MIG-new"
    reading = reader.read(FAST)
    assert [partition.uuid for partition in reading.partitions] == ["MIG-new"]
    assert {sample.partition_uuid for sample in reading.samples} == {"", "MIG-new"}


def test_utilization_is_reported_again_after_mig_mode(bench: Benches) -> None:
    reader = bench([partitioned()])
    assert value(reader.read(), catalog.UTILIZATION, "GPU-0") is None
    reader.card.unpartition()
    assert value(reader.read(FAST), catalog.UTILIZATION, "GPU-0") == 0


def test_a_partition_removed_during_a_poll_does_not_fail_its_device(bench: Benches) -> None:
    reader = bench([partitioned(mig_device(1))])
    reader.read()
    reader.state.fail("nvmlDeviceGetMemoryInfo_v2", GPU_NOT_FOUND, device=0, mig=0)
    reading = reader.read(FAST)
    assert states(reading) == {"GPU-0": "ok"}
    assert [fault.where for fault in reading.faults] == ["MIG-1-0"]


def test_a_lost_device_keeps_its_partitions(bench: Benches) -> None:
    reader = bench([partitioned(mig_device(1))])
    reader.read()
    reader.state.lose(0)
    for due in (FAST, ALL):
        reading = reader.read(due)
        assert lost(reading) == ["GPU-0"]
        assert [partition.uuid for partition in reading.partitions] == ["MIG-1-0"]
        assert {sample.metric for sample in reading.samples} <= {catalog.STATUS_STATE, catalog.INFO}
    assert value(reading, catalog.INFO, "GPU-0", "MIG-1-0") == 1


def test_the_number_of_partitions_is_unknown_while_one_fails(bench: Benches) -> None:
    reader = bench([partitioned(mig_device(1), mig_device(2))])
    assert value(reader.read(), catalog.PARTITIONS, "GPU-0") == 2
    reader.state.fail(UUID, UNKNOWN, device=0, mig=1)
    assert value(reader.read(FAST), catalog.PARTITIONS, "GPU-0") is None


def test_properties_of_partitions_are_read_again_at_slow_polls(bench: Benches) -> None:
    reader = bench([partitioned(mig_device(1, profile="1g.10gb"))])
    assert value(reader.read(), catalog.COMPUTE_RATIO, "GPU-0", "MIG-1-0") == 1 / 7
    reader.card.mig[0].compute_instance_slices = 2
    reader.read(MEDIUM)
    assert reader.state.calls("nvmlDeviceGetAttributes_v2", device=0, mig=0) == 1
    assert value(reader.read(), catalog.COMPUTE_RATIO, "GPU-0", "MIG-1-0") == 2 / 7


def test_switches_and_audio_functions_of_the_vendor_are_not_lost_gpus(bench: Benches) -> None:
    reader = bench(gpus(1))
    reader.tree.add_pci("0000:05:00.0", pci_class=0x068000)
    reader.tree.add_pci("0000:10:00.1", pci_class=0x040300)
    assert [device.uuid for device in reader.read().devices] == ["GPU-0"]


def test_a_new_session_may_list_devices_in_another_order(bench: Benches) -> None:
    reader = bench(gpus(2))
    reader.read()
    reader.collector.close()
    reader.state.devices = reversed(gpus(2))
    reader.state.fail(HANDLE, NO_PERMISSION, device=1)
    reading = reader.read()
    assert [(device.uuid, device.lost) for device in reading.devices] == [("GPU-1", False)]
    assert [fault.where for fault in reading.faults] == ["device at index 1"]
