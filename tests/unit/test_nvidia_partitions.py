import os
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.contract import Alias, Device, DeviceLostError, Reason
from collectors.nvidia.errors import SessionError
from collectors.nvidia.identity import Identity
from collectors.nvidia.partitions import PartitionLayout, PartitionTable
from collectors.sysfs import Root
from tests.doubles.nvidia_device import mig_device
from tests.doubles.nvml import MigDevice, NvmlState, h100, h100_mig
from tests.doubles.nvml_loaded import open_nvml

MODE, COUNT, HANDLE = "nvmlDeviceGetMigMode", "nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetMigDeviceHandleByIndex"
UUID, NAME, ATTRIBUTES = "nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetAttributes_v2"
NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, GPU_NOT_FOUND, UNKNOWN = 3, 4, 6, 28, 999


class Bench:
    """One GPU in MIG mode and the table of its partitions."""

    def __init__(self, state: NvmlState, mig_devices: tuple[MigDevice | None, ...], minor: int | None) -> None:
        state.devices = [h100(0)]
        self.state = state
        self.card = state.devices[0]
        self.card.partition(mig_devices)
        self.identity = Identity(Device("GPU-abc", "0000:3b:00.0", "nvidia", "H100"), (), minor)
        library = open_nvml()
        self.handle = library.device(0)
        self.table = PartitionTable(library, Root(Path(os.devnull)))

    def read(self) -> PartitionLayout:
        return self.table.read(self.identity, self.handle)


Benches = Callable[..., Bench]


@pytest.fixture
def bench(nvml: NvmlState) -> Benches:
    def bench(*mig_devices: MigDevice | None, minor: int | None = 0) -> Bench:
        return Bench(nvml, mig_devices, minor)

    return bench


def uuids(layout: PartitionLayout) -> list[str]:
    return [partition.uuid for partition in layout.partitions]


def reasons(layout: PartitionLayout) -> list[Reason]:
    return [fault.reason for fault in layout.faults]


def test_a_partition_that_is_created_again_with_the_same_uuid_has_its_new_size_at_once(bench: Benches) -> None:
    def sizes(layout: PartitionLayout) -> list[tuple[str, str, float | None]]:
        return [(info.mig.uuid, info.mig.profile, info.mig.compute_ratio) for info in layout.infos]

    large, small = h100_mig(0, 1, "3g.40gb"), h100_mig(0, 1)
    gpu = bench(large)
    assert sizes(gpu.read()) == [(large.uuid, "3g.40gb", 3 / 7)]
    gpu.card.partition((small,))
    again = gpu.read()

    assert (sizes(again), again.changed) == ([(large.uuid, "1g.10gb", 1 / 7)], True)


@pytest.mark.parametrize("code", [NO_PERMISSION, NOT_FOUND, UNKNOWN])
def test_partitions_that_do_not_answer_are_unknown(bench: Benches, code: int) -> None:
    gpu = bench(mig_device(1), mig_device(2))
    assert gpu.read().known
    gpu.state.fail(HANDLE, code, device=0)
    assert not gpu.read().known
    assert not gpu.read().known
    gpu.card.unpartition()
    assert gpu.read().known


def test_a_device_without_mig_has_no_partitions_and_is_queried_once(bench: Benches) -> None:
    whole = bench()
    whole.card.mig_mode = None
    for _ in range(3):
        layout = whole.read()
        assert (layout.partitions, layout.complete, layout.faults) == ((), True, [])
    assert whole.state.calls(MODE) == 1


def test_a_device_not_in_mig_mode_is_not_searched_for_partitions(bench: Benches) -> None:
    whole = bench(mig_device(1))
    whole.card.mig_mode = 0  # and 1 after the next reset
    assert whole.read().partitions == ()
    assert whole.state.calls(HANDLE) == 0


def test_the_identity_of_a_partition(bench: Benches) -> None:
    (partition,) = bench(mig_device(7, 0, uuid="MIG-x", profile="1g.10gb+me"), minor=4).read().partitions
    assert (partition.uuid, partition.device_uuid, partition.profile) == ("MIG-x", "GPU-abc", "1g.10gb+me")
    assert partition.aliases == {
        Alias("MIG-x"),
        Alias("MIG-GPU-abc/7/0"),
        Alias("nvidia4/gi7", "nvidia.com/"),
    }


def test_the_list_of_partitions_has_gaps(bench: Benches) -> None:
    partitioned = bench(mig_device(1), None, None, mig_device(4), None, None, mig_device(9))
    assert uuids(partitioned.read()) == ["MIG-1-0", "MIG-4-0", "MIG-9-0"]
    assert partitioned.state.calls(HANDLE) == 7


def test_a_reused_handle_with_reused_ids_gets_its_new_uuid_at_once(bench: Benches) -> None:
    partitioned = bench(mig_device(1, uuid="MIG-old"), mig_device(2, uuid="MIG-same"))
    first = partitioned.read()
    reused = partitioned.card.mig[0]
    reused.uuid, reused.name = "MIG-new", "NVIDIA H100 80GB HBM3 MIG 1g.20gb"
    second = partitioned.read()
    assert (uuids(first), uuids(second)) == (["MIG-old", "MIG-same"], ["MIG-new", "MIG-same"])
    assert second.partitions[0].profile == "1g.20gb"
    assert (first.changed, second.changed, partitioned.read().changed) == (False, True, False)


def test_a_partition_is_the_same_object_until_its_names_change(bench: Benches) -> None:
    one = bench(mig_device(1), mig_device(2))
    first, second = (one.read().partitions for _ in range(2))
    assert all(before is after for before, after in zip(first, second, strict=True))

    one.card.partition([mig_device(1), mig_device(1, 1, uuid="MIG-new")])
    alone, shared = first[0], one.read().partitions[0]
    assert alone.uuid == shared.uuid
    assert {alias.id for alias in alone.aliases - shared.aliases} == {"nvidia0/gi1"}


def test_leaving_mig_mode_is_a_change(bench: Benches) -> None:
    partitioned = bench()
    assert not partitioned.read().changed
    partitioned.card.unpartition()
    assert partitioned.read().changed


def test_properties_are_read_once_until_they_are_forgotten(bench: Benches) -> None:
    partitioned = bench(mig_device(1))
    partitioned.read()
    partitioned.read()
    assert [partitioned.state.calls(call, device=0, mig=0) for call in (UUID, ATTRIBUTES)] == [2, 1]
    partitioned.table.forget_properties()
    partitioned.read()
    assert [partitioned.state.calls(call, device=0, mig=0) for call in (UUID, ATTRIBUTES)] == [3, 2]


def test_compute_instances_that_share_a_gpu_instance_report_its_memory_once(bench: Benches) -> None:
    layout = bench(
        mig_device(1, 1, profile="1c.3g.40gb"),
        mig_device(1, 0, profile="2c.3g.40gb"),
        mig_device(2, 0, profile="3g.40gb"),
    ).read()
    telling = {found.mig.uuid: found.reports_memory for found in layout.infos}
    assert telling == {"MIG-1-1": False, "MIG-1-0": True, "MIG-2-0": True}


def test_a_partition_is_a_whole_gpu_instance_only_with_all_its_slices(bench: Benches) -> None:
    partitioned = bench(mig_device(1, 0), mig_device(1, 1), mig_device(2), mig_device(3), mig_device(4))
    # The size of the last one is unknown: its profile decides.
    partitioned.card.mig[3].gpu_instance_slices = 3  # a 1c.3g.40gb, alone there
    partitioned.state.fail(ATTRIBUTES, NOT_SUPPORTED, device=0, mig=4)
    whole = {found.mig.uuid: (found.is_only_instance, found.is_whole_instance) for found in partitioned.read().infos}
    assert whole == {
        "MIG-1-0": (False, False),
        "MIG-1-1": (False, False),
        "MIG-2-0": (True, True),
        "MIG-3-0": (True, False),
        "MIG-4-0": (True, True),
    }


def test_only_a_partition_alone_in_its_gpu_instance_has_its_alias(bench: Benches) -> None:
    layout = bench(mig_device(1, 0), mig_device(1, 1), mig_device(2, 0)).read()
    named = {
        partition.uuid for partition in layout.partitions if Alias("nvidia0/gi2", "nvidia.com/") in partition.aliases
    }
    shared = [alias for partition in layout.partitions for alias in partition.aliases if alias.id == "nvidia0/gi1"]
    assert (named, shared) == ({"MIG-2-0"}, [])


def test_a_device_without_a_minor_number_has_no_such_alias(bench: Benches) -> None:
    (partition,) = bench(mig_device(1), minor=None).read().partitions
    assert {alias.scope for alias in partition.aliases} == {""}


@pytest.mark.parametrize(
    ("slices", "sizes"),
    [(7, [1] * 7), (7, [3, 3, 1]), (7, [4, 2, 1]), (7, [7]), (4, [1, 1, 2]), (7, [3, 1, 1])],
)
def test_compute_ratios_of_a_device_add_up_to_at_most_1(bench: Benches, slices: int, sizes: list[int]) -> None:
    gpu = bench(*(mig_device(instance) for instance in range(len(sizes))))
    gpu.card.most_mig_devices = slices
    for instance, own in enumerate(sizes):
        gpu.card.mig[instance].compute_instance_slices = own
    ratios = [found.mig.compute_ratio for found in gpu.read().infos]
    assert ratios == [own / slices for own in sizes]
    assert sum(own / slices for own in sizes) <= 1 + 1e-9


def test_a_partition_whose_size_is_unknown_has_no_compute_ratio(bench: Benches) -> None:
    partitioned = bench(mig_device(1))
    partitioned.state.fail(ATTRIBUTES, NOT_SUPPORTED)
    (found,) = partitioned.read().infos
    assert found.mig.compute_ratio is None


@pytest.mark.parametrize("own", [0, 8, 0xFFFFFFFF])
def test_an_impossible_size_is_a_fault(bench: Benches, own: int) -> None:
    partitioned = bench(mig_device(1))
    partitioned.card.mig[0].compute_instance_slices = own
    layout = partitioned.read()
    assert reasons(layout) == [Reason.INVALID_VALUE]
    assert [found.mig.compute_ratio for found in layout.infos] == [None]


@pytest.mark.parametrize("profile", ["1g.10gb", "1g.10gb+me", "1c.3g.40gb", ""])
def test_a_partition_whose_size_fails_lacks_only_its_size(bench: Benches, profile: str) -> None:
    partitioned = bench(mig_device(1, profile=profile), mig_device(2))
    partitioned.state.fail(ATTRIBUTES, UNKNOWN, device=0, mig=0)
    for _ in range(2):
        layout = partitioned.read()
        ratios = [(found.mig.uuid, found.mig.compute_ratio) for found in layout.infos]
        assert ratios == [("MIG-1-0", None), ("MIG-2-0", 1 / 7)]
        assert (layout.complete, layout.known, layout.sized, len(layout.faults)) == (True, True, False, 1)
        assert layout.infos[0].is_whole_instance == profile.startswith("1g")
    partitioned.state.heal()
    layout = partitioned.read()
    assert [found.mig.compute_ratio for found in layout.infos] == [1 / 7, 1 / 7]
    assert (layout.sized, layout.changed, layout.faults) == (True, False, [])


def test_an_impossible_count_is_a_fault(bench: Benches) -> None:
    partitioned = bench(mig_device(1))
    partitioned.card.most_mig_devices = 0xFFFFFFFF
    layout = partitioned.read()
    assert (reasons(layout), layout.infos) == ([Reason.INVALID_VALUE], ())


@pytest.mark.parametrize("code", [GPU_NOT_FOUND, UNKNOWN])
def test_a_partition_that_fails_keeps_its_identity_without_a_handle(bench: Benches, code: int) -> None:
    partitioned = bench(mig_device(1), mig_device(2))
    partitioned.read()
    partitioned.state.fail(UUID, code, device=0, mig=1)
    layout = partitioned.read()
    assert uuids(layout) == ["MIG-1-0", "MIG-2-0"]
    assert [found.mig.uuid for found in layout.infos] == ["MIG-1-0"]
    assert (layout.complete, layout.changed, len(layout.faults)) == (False, False, 1)


@pytest.mark.parametrize("call", [MODE, COUNT])
def test_a_device_whose_layout_is_unreadable_keeps_its_partitions(bench: Benches, call: str) -> None:
    partitioned = bench(mig_device(1))
    partitioned.read()
    partitioned.state.fail(call, UNKNOWN)
    layout = partitioned.read()
    assert (uuids(layout), layout.infos, layout.complete) == (["MIG-1-0"], (), False)
    assert uuids(PartitionLayout(partitions=partitioned.table.last_partitions("GPU-abc"))) == ["MIG-1-0"]


def test_a_device_in_mig_mode_that_reports_it_as_unsupported_keeps_its_partitions(bench: Benches) -> None:
    cut = bench(mig_device(1))
    before = uuids(cut.read())
    cut.state.fail(MODE, NOT_SUPPORTED)
    layout = cut.read()
    assert (layout.complete, uuids(layout)) == (False, before)
    cut.state.heal()
    assert uuids(cut.read()) == before


def test_a_missing_permission_is_reported_once(bench: Benches) -> None:
    partitioned = bench(mig_device(1), mig_device(2))
    partitioned.state.fail(HANDLE, NO_PERMISSION)
    assert [reason for _ in range(3) for reason in reasons(partitioned.read())] == [Reason.PERMISSION_DENIED]


def test_a_partition_listed_twice_counts_once(bench: Benches) -> None:
    assert uuids(bench(mig_device(1), mig_device(1)).read()) == ["MIG-1-0"]


@pytest.mark.parametrize(("code", "expected"), [(15, DeviceLostError), (1, SessionError)])
def test_a_lost_device_or_session_is_raised(bench: Benches, code: int, expected: type[Exception]) -> None:
    partitioned = bench(mig_device(1))
    partitioned.state.fail(MODE, code)
    with pytest.raises(expected):
        partitioned.read()
