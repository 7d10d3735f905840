from dataclasses import replace
from pathlib import Path

import pytest

from exporter.check.environment import surroundings
from exporter.check.facts import IdentitySource, Surroundings
from exporter.check.mounts import mounts
from exporter.configuration.settings import Settings, load_settings
from tests.doubles.procfs_tree import ProcfsTree
from tests.doubles.sysfs_tree import SysfsTree


@pytest.fixture
def procfs(tmp_path: Path) -> ProcfsTree:
    return ProcfsTree(tmp_path / "proc")


@pytest.fixture
def sysfs(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path / "sys")


@pytest.fixture
def settings(procfs: ProcfsTree, sysfs: SysfsTree) -> Settings:
    return load_settings({"path.procfs": str(procfs.path), "path.sysfs": str(sysfs.path)}, {}, None)


def look(settings: Settings, environ: dict[str, str] | None = None, *vendors: str) -> Surroundings:
    return surroundings(settings, "pod-x", environ or {}, mounts(settings.path.procfs), vendors)


def test_a_container_as_the_manifests_make_it(settings: Settings, sysfs: SysfsTree) -> None:
    sysfs.add_pci("0000:1b:00.0")
    named = replace(settings, node=replace(settings.node, name="worker-1"))
    assert look(named, {"KUBERNETES_SERVICE_HOST": "192.0.2.1"}) == Surroundings(
        uid=0,
        own_user_namespace=False,
        capabilities=(),
        host_processes=False,
        read_only_root=True,
        pci_bus=True,
        node_name="worker-1",
        host_name="pod-x",
        identity=IdentitySource.NODE_NAME,
        in_kubernetes=True,
    )


def test_the_effective_user_counts(settings: Settings, procfs: ProcfsTree) -> None:
    procfs.set_status(uid=1000)
    assert look(settings).uid == 1000


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (1 << 21, ("SYS_ADMIN",)),
        (1, ("CHOWN",)),
        (1 << 38 | 1 << 40, ("PERFMON", "CHECKPOINT_RESTORE")),
        (1 << 41, ("CAP_41",)),
    ],
)
def test_capabilities_have_the_kernels_names(
    settings: Settings, procfs: ProcfsTree, mask: int, names: tuple[str, ...]
) -> None:
    procfs.set_status(capabilities=mask)
    assert look(settings).capabilities == names


def test_a_user_namespace_of_its_own_is_noticed(settings: Settings, procfs: ProcfsTree) -> None:
    procfs.set_uid_map("0 3000000 65536\n")
    assert look(settings).own_user_namespace is True


def test_the_kernels_own_thread_tells_that_host_processes_are_visible(settings: Settings, procfs: ProcfsTree) -> None:
    procfs.show_host_processes()
    assert look(settings).host_processes is True


def test_without_procfs_little_is_known(settings: Settings, tmp_path: Path) -> None:
    nowhere = replace(settings, path=replace(settings.path, procfs=tmp_path / "nothing"))
    found = look(nowhere)
    assert (found.uid, found.own_user_namespace, found.capabilities, found.read_only_root) == (None, None, None, None)


def test_made_up_ids_start_from_the_product_uuid_where_it_can_be_read(settings: Settings, sysfs: SysfsTree) -> None:
    assert look(settings).identity is IdentitySource.HOST_NAME
    sysfs.write(b"4c4c4544-0043-3510-8052-b4c04f4d3633\n", "class", "dmi", "id", "product_uuid")
    assert look(settings).identity is IdentitySource.PRODUCT_UUID


def test_only_variables_of_vendors_that_are_here_are_told(settings: Settings) -> None:
    assert look(settings, {"NVIDIA_VISIBLE_DEVICES": "0"}).variables == ()
    found = look(settings, {"NVIDIA_VISIBLE_DEVICES": "0"}, "nvidia", "amd").variables
    assert [(variable.name, variable.value) for variable in found] == [
        ("NVIDIA_VISIBLE_DEVICES", "0"),
        ("NVIDIA_MIG_MONITOR_DEVICES", None),
    ]
