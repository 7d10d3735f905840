from pathlib import Path

import pytest

from exporter.check.facts import MountFacts, SocketMount
from exporter.check.mounts import mounts, read_only_root, socket_mount
from tests.doubles.procfs_tree import ROOT_MOUNT, WRITABLE_ROOT_MOUNT, ProcfsTree, mount_line


@pytest.fixture
def procfs(tmp_path: Path) -> ProcfsTree:
    return ProcfsTree(tmp_path / "proc")


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    folder = tmp_path / "kubelet dir" / "pod-resources"
    folder.mkdir(parents=True)
    return folder / "kubelet.sock"


def escaped(path: Path) -> str:
    return str(path).replace(" ", "\\040")


def test_a_mounted_directory_is_told_with_its_place(procfs: ProcfsTree, socket: Path) -> None:
    procfs.set_mounts(mount_line("/pod-resources", escaped(socket.parent)))
    found = socket_mount(mounts(procfs.path), socket)
    assert found == MountFacts(SocketMount.DIRECTORY, str(socket.parent))


def test_a_directory_above_counts_as_one(procfs: ProcfsTree, socket: Path) -> None:
    procfs.set_mounts(mount_line("/kubelet", escaped(socket.parent.parent)))
    found = socket_mount(mounts(procfs.path), socket)
    assert found == MountFacts(SocketMount.DIRECTORY, str(socket.parent.parent))


def test_the_socket_file_alone_is_told_from_its_directory(procfs: ProcfsTree, socket: Path) -> None:
    directory = mount_line("/pod-resources", escaped(socket.parent))
    procfs.set_mounts(directory, mount_line("/pod-resources/kubelet.sock", escaped(socket)))
    found = socket_mount(mounts(procfs.path), socket)
    assert found == MountFacts(SocketMount.FILE, str(socket))


def test_a_file_that_was_replaced_on_the_host_is_noticed(procfs: ProcfsTree, socket: Path) -> None:
    procfs.set_mounts(mount_line("/pod-resources/kubelet.sock//deleted", escaped(socket)))
    assert socket_mount(mounts(procfs.path), socket) == MountFacts(SocketMount.FILE, str(socket), replaced=True)


def test_the_last_mount_at_a_place_covers_those_before(procfs: ProcfsTree, socket: Path) -> None:
    procfs.set_mounts(
        mount_line("/old//deleted", escaped(socket.parent)), mount_line("/pod-resources", escaped(socket.parent))
    )
    assert socket_mount(mounts(procfs.path), socket) == MountFacts(SocketMount.DIRECTORY, str(socket.parent))


def test_a_link_on_the_way_is_followed(procfs: ProcfsTree, socket: Path, tmp_path: Path) -> None:
    link = tmp_path / "run"
    link.symlink_to(socket.parent)
    procfs.set_mounts(mount_line("/pod-resources", escaped(socket.parent)))
    assert socket_mount(mounts(procfs.path), link / socket.name).kind is SocketMount.DIRECTORY


def test_a_neighbour_with_the_same_beginning_is_no_mount_of_it(procfs: ProcfsTree, socket: Path) -> None:
    procfs.set_mounts(mount_line("/x", escaped(socket.parent.with_name("pod"))))
    assert socket_mount(mounts(procfs.path), socket) == MountFacts(SocketMount.NONE)


def test_without_a_list_of_mounts_nothing_is_known(procfs: ProcfsTree, socket: Path, tmp_path: Path) -> None:
    assert socket_mount(mounts(tmp_path / "nothing"), socket) == MountFacts(SocketMount.UNKNOWN)
    procfs.set_mounts("not a line", root=())
    assert socket_mount(mounts(procfs.path), socket) == MountFacts(SocketMount.UNKNOWN)
    assert read_only_root(mounts(procfs.path)) is None


@pytest.mark.parametrize(
    ("root", "read_only"),
    [((ROOT_MOUNT,), True), ((WRITABLE_ROOT_MOUNT,), False), ((WRITABLE_ROOT_MOUNT, ROOT_MOUNT), True)],
)
def test_the_mount_options_of_the_root_decide(procfs: ProcfsTree, root: tuple[str, ...], *, read_only: bool) -> None:
    procfs.set_mounts(mount_line("/x", "/data", "rw"), root=root)
    assert read_only_root(mounts(procfs.path)) is read_only
