import pytest

from collectors.contract import Alias, Device, DeviceLostError, Reason
from collectors.nvidia.errors import SessionError
from collectors.nvidia.identity import Identity
from collectors.nvidia.nvml import Handle
from collectors.nvidia.partitions import PartitionLayout, PartitionTable
from tests.doubles.nvml_binding import FakeGpu, border, mig_device

ENABLED = (1, 1)


class Bench:
    """One GPU and the table of its partitions."""

    def __init__(self, *mig_devices: FakeGpu, minor: int | None = 0) -> None:
        self.gpu = FakeGpu(uuid="GPU-abc", mig=ENABLED, mig_devices=dict(enumerate(mig_devices)))
        self.identity = Identity(Device("GPU-abc", "0000:3b:00.0", "nvidia", "H100"), (), minor)
        self.table = PartitionTable(border(self.gpu))

    def read(self) -> PartitionLayout:
        return self.table.read(self.identity, Handle(self.gpu))


def uuids(layout: PartitionLayout) -> list[str]:
    return [partition.uuid for partition in layout.partitions]


def test_a_device_without_mig_is_whole_and_asked_once() -> None:
    bench = Bench()
    bench.gpu.errors["nvmlDeviceGetMigMode"] = 3
    for _ in range(3):
        layout = bench.read()
        assert (layout.partitions, layout.complete, layout.faults) == ((), True, [])
    assert bench.gpu.calls["nvmlDeviceGetMigMode"] == 1


def test_a_device_out_of_mig_mode_is_not_searched_for_partitions() -> None:
    bench = Bench(mig_device(1))
    bench.gpu.mig = (0, 1)
    assert bench.read().partitions == ()
    assert bench.gpu.calls["nvmlDeviceGetMigDeviceHandleByIndex"] == 0


def test_a_partition_says_who_it_is() -> None:
    layout = Bench(mig_device(7, 0, uuid="MIG-x", profile="1g.10gb+me"), minor=4).read()
    (partition,) = layout.partitions
    assert (partition.uuid, partition.device_uuid, partition.profile) == ("MIG-x", "GPU-abc", "1g.10gb+me")
    assert partition.aliases == {
        Alias("MIG-x"),
        Alias("MIG-GPU-abc/7/0"),
        Alias("nvidia4/gi7", "nvidia.com/"),
    }


def test_the_list_of_partitions_has_holes() -> None:
    bench = Bench()
    bench.gpu.mig_devices = {0: mig_device(1), 3: mig_device(4), 6: mig_device(9)}
    assert uuids(bench.read()) == ["MIG-1-0", "MIG-4-0", "MIG-9-0"]
    assert bench.gpu.calls["nvmlDeviceGetMigDeviceHandleByIndex"] == 7


def test_a_reused_handle_with_reused_ids_is_known_by_its_new_uuid_at_once() -> None:
    bench = Bench(mig_device(1, uuid="MIG-old"), mig_device(2, uuid="MIG-same"))
    first = bench.read()
    reused = bench.gpu.mig_devices[0]
    reused.uuid, reused.name = "MIG-new", "NVIDIA H100 80GB HBM3 MIG 1g.20gb"
    second = bench.read()
    assert (uuids(first), uuids(second)) == (["MIG-old", "MIG-same"], ["MIG-new", "MIG-same"])
    assert second.partitions[0].profile == "1g.20gb"
    assert (first.changed, second.changed, bench.read().changed) == (False, True, False)


def test_leaving_mig_mode_is_a_change() -> None:
    bench = Bench()
    assert not bench.read().changed
    bench.gpu.mig = (0, 0)
    assert bench.read().changed


def test_properties_are_read_once_until_they_are_to_be_read_again() -> None:
    bench = Bench(mig_device(1))
    bench.read()
    bench.read()
    assert bench.gpu.mig_devices[0].calls["nvmlDeviceGetUUID"] == 2
    assert bench.gpu.mig_devices[0].calls["nvmlDeviceGetName"] == 1
    bench.table.forget_properties()
    bench.read()
    assert bench.gpu.mig_devices[0].calls["nvmlDeviceGetName"] == 2


def test_compute_instances_that_share_a_gpu_instance_give_its_memory_once() -> None:
    layout = Bench(
        mig_device(1, 1, profile="1c.3g.40gb"),
        mig_device(1, 0, profile="2c.3g.40gb"),
        mig_device(2, 0, profile="3g.40gb"),
    ).read()
    telling = {found.mig.uuid: found.reports_memory for found in layout.infos}
    assert telling == {"MIG-1-1": False, "MIG-1-0": True, "MIG-2-0": True}


def test_only_a_partition_with_every_slice_of_its_gpu_instance_is_all_of_it() -> None:
    bench = Bench(mig_device(1, 0), mig_device(1, 1), mig_device(2), mig_device(3), mig_device(4))
    bench.gpu.mig_devices[3].gpu_instance_slices = 3  # a 1c.3g.40gb, alone there
    bench.gpu.mig_devices[4].errors["nvmlDeviceGetAttributes_v2"] = 3
    whole = {found.mig.uuid: (found.is_only_instance, found.is_whole_instance) for found in bench.read().infos}
    assert whole == {
        "MIG-1-0": (False, False),
        "MIG-1-1": (False, False),
        "MIG-2-0": (True, True),
        "MIG-3-0": (True, False),
        "MIG-4-0": (True, False),
    }


def test_only_a_partition_alone_in_its_gpu_instance_goes_by_its_name() -> None:
    layout = Bench(mig_device(1, 0), mig_device(1, 1), mig_device(2, 0)).read()
    named = {
        partition.uuid for partition in layout.partitions if Alias("nvidia0/gi2", "nvidia.com/") in partition.aliases
    }
    shared = [alias for partition in layout.partitions for alias in partition.aliases if alias.id == "nvidia0/gi1"]
    assert (named, shared) == ({"MIG-2-0"}, [])


def test_without_a_minor_number_there_is_no_such_name() -> None:
    (partition,) = Bench(mig_device(1), minor=None).read().partitions
    assert {alias.scope for alias in partition.aliases} == {""}


@pytest.mark.parametrize(
    ("slices", "cut"),
    [(7, [1] * 7), (7, [3, 3, 1]), (7, [4, 2, 1]), (7, [7]), (4, [1, 1, 2]), (7, [3, 1, 1])],
)
def test_compute_ratios_never_add_up_to_more_than_the_device(slices: int, cut: list[int]) -> None:
    bench = Bench(*(mig_device(instance) for instance in range(len(cut))))
    bench.gpu.slices = slices
    for instance, own in enumerate(cut):
        bench.gpu.mig_devices[instance].compute_slices = own
    ratios = [found.mig.compute_ratio for found in bench.read().infos]
    assert ratios == [own / slices for own in cut]
    assert sum(own / slices for own in cut) <= 1 + 1e-9


def test_a_partition_whose_size_is_unknown_has_no_compute_ratio() -> None:
    bench = Bench(mig_device(1))
    bench.gpu.mig_devices[0].errors["nvmlDeviceGetAttributes_v2"] = 3
    (found,) = bench.read().infos
    assert found.mig.compute_ratio is None


@pytest.mark.parametrize("own", [0, 8, 0xFFFFFFFF])
def test_a_size_that_cannot_be_true_is_told(own: int) -> None:
    bench = Bench(mig_device(1))
    bench.gpu.mig_devices[0].compute_slices = own
    assert [fault.reason for fault in bench.read().faults] == [Reason.INVALID_VALUE]


def test_a_count_that_cannot_be_true_is_told() -> None:
    bench = Bench(mig_device(1))
    bench.gpu.slices = 0xFFFFFFFF
    layout = bench.read()
    assert [fault.reason for fault in layout.faults] == [Reason.INVALID_VALUE]
    assert layout.infos == ()


@pytest.mark.parametrize("code", [28, 999])
def test_a_partition_that_fails_keeps_its_name_and_gives_no_handle(code: int) -> None:
    bench = Bench(mig_device(1), mig_device(2))
    bench.read()
    bench.gpu.mig_devices[1].errors["nvmlDeviceGetUUID"] = code
    layout = bench.read()
    assert uuids(layout) == ["MIG-1-0", "MIG-2-0"]
    assert [found.mig.uuid for found in layout.infos] == ["MIG-1-0"]
    assert (layout.complete, layout.changed, len(layout.faults)) == (False, False, 1)


@pytest.mark.parametrize("call", ["nvmlDeviceGetMigMode", "nvmlDeviceGetMaxMigDeviceCount"])
def test_a_device_that_does_not_tell_how_it_is_cut_keeps_its_partitions(call: str) -> None:
    bench = Bench(mig_device(1))
    bench.read()
    bench.gpu.errors[call] = 999
    layout = bench.read()
    assert (uuids(layout), layout.infos, layout.complete) == (["MIG-1-0"], (), False)
    assert uuids(PartitionLayout(partitions=bench.table.last_partitions("GPU-abc"))) == ["MIG-1-0"]


def test_a_missing_permission_is_told_once() -> None:
    bench = Bench(mig_device(1), mig_device(2))
    bench.gpu.errors["nvmlDeviceGetMigDeviceHandleByIndex"] = 4
    faults = [fault for _ in range(3) for fault in bench.read().faults]
    assert [fault.reason for fault in faults] == [Reason.PERMISSION_DENIED]


def test_a_partition_listed_twice_counts_once() -> None:
    twice = mig_device(1)
    assert uuids(Bench(twice, twice).read()) == ["MIG-1-0"]


@pytest.mark.parametrize(("code", "expected"), [(15, DeviceLostError), (1, SessionError)])
def test_what_concerns_more_than_the_partitions_is_passed_on(code: int, expected: type[Exception]) -> None:
    bench = Bench(mig_device(1))
    bench.gpu.errors["nvmlDeviceGetMigMode"] = code
    with pytest.raises(expected):
        bench.read()
