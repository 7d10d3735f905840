"""The names of MIG devices that a claim or a container's specification can use, and what they need."""

from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.contract import Alias, Device, Partition
from collectors.nvidia.identity import Identity
from collectors.nvidia.mig_nodes import mig_nodes
from collectors.nvidia.partitions import PartitionLayout, PartitionTable
from collectors.sysfs import Root
from tests.doubles.nvidia_device import mig_device
from tests.doubles.nvml import MigDevice, NvmlState, h100
from tests.doubles.nvml_loaded import open_nvml

INSTANCE = "nvmlDeviceGetGpuInstanceById"
NO_PERMISSION, NOT_FOUND, GPU_IS_LOST, UNKNOWN = 4, 6, 15, 999
# As the driver writes it: all instances that could exist, of all GPUs.
MINORS = """\
config 1
monitor 2
gpu0/gi1/access 12
gpu0/gi1/ci0/access 13
gpu3/gi1/access 417
gpu3/gi1/ci0/access 418
gpu3/gi1/ci1/access 419
gpu3/gi2/access 426
gpu3/gi2/ci0/access 427
"""


class Bench:
    """The GPU at /dev/nvidia3 in MIG mode, and a `/proc` without NVIDIA's driver at first."""

    def __init__(self, state: NvmlState, procfs: Path, mig_devices: tuple[MigDevice, ...], minor: int | None) -> None:
        state.devices = [h100(0)]
        self.state, self.card, self.procfs = state, state.devices[0], procfs
        self.card.partition(mig_devices)
        self.identity = Identity(Device("GPU-abc", "0000:3b:00.0", "nvidia", "H100"), (), minor)
        library = open_nvml()
        self.handle = library.device(0)
        self.table = PartitionTable(library, Root(procfs))

    def list_minors(self, text: str = MINORS) -> None:
        folder = self.procfs / "driver" / "nvidia-caps"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mig-minors").write_text(text)

    def read(self) -> PartitionLayout:
        return self.table.read(self.identity, self.handle)


Benches = Callable[..., Bench]


@pytest.fixture
def bench(nvml: NvmlState, tmp_path: Path) -> Benches:
    def bench(*mig_devices: MigDevice, minor: int | None = 3) -> Bench:
        return Bench(nvml, tmp_path, mig_devices, minor)

    return bench


def placed(mig: MigDevice, profile_id: int, start: int, size: int = 1) -> MigDevice:
    mig.gpu_instance_profile, mig.placement_start, mig.placement_size = profile_id, start, size
    return mig


def nodes(partition: Partition) -> set[str]:
    return {alias.id for alias in partition.aliases if alias.id.startswith("/dev/") and not alias.scope}


def dra_names(partition: Partition) -> set[str]:
    return {alias.id for alias in partition.aliases if alias.scope == "gpu.nvidia.com"}


def test_a_partition_has_the_device_files_of_its_gpu_instance_and_its_compute_instance(bench: Benches) -> None:
    gpu = bench(mig_device(1), mig_device(2))
    gpu.list_minors()
    assert [nodes(partition) for partition in gpu.read().partitions] == [
        {"/dev/nvidia-caps/nvidia-cap417", "/dev/nvidia-caps/nvidia-cap418"},
        {"/dev/nvidia-caps/nvidia-cap426", "/dev/nvidia-caps/nvidia-cap427"},
    ]


def test_the_file_of_a_gpu_instance_with_two_partitions_means_neither(bench: Benches) -> None:
    gpu = bench(mig_device(1, 0), mig_device(1, 1))
    gpu.list_minors()
    assert [nodes(partition) for partition in gpu.read().partitions] == [
        {"/dev/nvidia-caps/nvidia-cap418"},
        {"/dev/nvidia-caps/nvidia-cap419"},
    ]


def test_a_list_that_appears_later_is_read_with_the_properties(bench: Benches) -> None:
    gpu = bench(mig_device(1))
    assert nodes(gpu.read().partitions[0]) == set()
    gpu.list_minors()
    gpu.table.forget_properties()
    assert len(nodes(gpu.read().partitions[0])) == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (MINORS, 5),
        ("", 0),
        ("gpu3/gi1/access\n", 0),
        ("gpu3/gi1/access 417 418\n", 0),
        ("gpu33/gi1/access 417\n", 0),
        ("gpu3/gi1/access -1\n", 0),
        ("gpu3/gi1/access 9999999999\n", 0),
        ("gpu3/gi\u0661/access 4\n", 0),
        ("gpu3/gi1/access 417\n\x00\n", 1),
        ("gpu3/gi1/access 417\n" * 100_000, 0),  # more than 1 MiB
    ],
)
def test_only_lines_of_the_gpu_in_a_list_of_plausible_size_are_understood(
    tmp_path: Path, text: str, found: int
) -> None:
    folder = tmp_path / "driver" / "nvidia-caps"
    folder.mkdir(parents=True)
    (folder / "mig-minors").write_text(text)
    assert len(mig_nodes(Root(tmp_path), 3)) == found


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        ("1g.10gb", {"gpu-3-mig-1g10gb-19-6", "gpu-3-mig-19-6-1"}),
        ("1g.24gb+me", {"gpu-3-mig-1g24gb-me-19-6", "gpu-3-mig-19-6-1"}),
        ("1g.24gb-me", {"gpu-3-mig-1g24gb-me-19-6", "gpu-3-mig-19-6-1"}),
        ("1g.12gb+", {"gpu-3-mig-1g12gb-19-6", "gpu-3-mig-19-6-1"}),
    ],
)
def test_a_partition_has_the_names_of_the_dra_driver_where_its_placement_is_known(
    bench: Benches, profile: str, names: set[str]
) -> None:
    assert dra_names(bench(placed(mig_device(1, profile=profile), 19, 6)).read().partitions[0]) == names


@pytest.mark.parametrize(
    ("mig_devices", "minor"),
    [
        ((placed(mig_device(1), 19, 0),), None),
        ((placed(mig_device(1, 0), 9, 0, 4), placed(mig_device(1, 1), 9, 0, 4)), 3),
    ],
    ids=["no minor", "parts of one GPU instance"],
)
def test_the_driver_has_no_name_for_a_part_of_a_gpu_instance_or_without_the_gpus_number(
    bench: Benches, mig_devices: tuple[MigDevice, ...], minor: int | None
) -> None:
    assert not any(map(dra_names, bench(*mig_devices, minor=minor).read().partitions))


@pytest.mark.parametrize("code", [NO_PERMISSION, NOT_FOUND, GPU_IS_LOST, UNKNOWN])
@pytest.mark.parametrize("call", [INSTANCE, "nvmlGpuInstanceGetInfo"])
def test_an_unknown_placement_is_no_fault_and_is_asked_for_with_the_properties_only(
    bench: Benches, call: str, code: int
) -> None:
    gpu = bench(placed(mig_device(1), 19, 0))
    gpu.state.fail(call, code)
    for _ in range(3):
        layout = gpu.read()
        assert (layout.faults, layout.complete, layout.known) == ([], True, True)
        assert (dra_names(layout.partitions[0]), len(layout.infos)) == (set(), 1)
    assert gpu.state.calls(INSTANCE) == 1
    gpu.state.heal()
    gpu.table.forget_properties()
    assert dra_names(gpu.read().partitions[0]) != set()


def test_a_partition_that_was_away_may_be_at_another_place(bench: Benches) -> None:
    gpu = bench(placed(mig_device(1), 19, 0))
    assert "gpu-3-mig-1g10gb-19-0" in dra_names(gpu.read().partitions[0])
    gpu.card.partition(())
    assert gpu.read().partitions == ()
    gpu.card.partition((placed(mig_device(1), 19, 4),))
    assert dra_names(gpu.read().partitions[0]) == {"gpu-3-mig-1g10gb-19-4", "gpu-3-mig-19-4-1"}


def test_every_other_name_stays(bench: Benches) -> None:
    (partition,) = bench(placed(mig_device(1, uuid="MIG-x"), 19, 0)).read().partitions
    assert {Alias("MIG-x"), Alias("MIG-GPU-abc/1/0"), Alias("nvidia3/gi1", "nvidia.com/")} < partition.aliases
