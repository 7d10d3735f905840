import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.check.environment import read_environment, read_mounts, read_only_root, socket_mount, try_listen_addresses
from exporter.check.facts import AddressState, Environment, IdentitySource, MountFacts, SocketMount
from exporter.configuration.load import load_settings
from exporter.configuration.settings import Settings, WebSettings
from exporter.web.listen import ListenError, listen
from tests.doubles.certificates import Authority
from tests.doubles.passwords import USERS
from tests.doubles.procfs_tree import ROOT_MOUNT, WRITABLE_ROOT_MOUNT, ProcfsTree, mount_line
from tests.doubles.sysfs_tree import SysfsTree
from tests.doubles.tls_client import TLS, configured, protected

BOUND_SECONDS = 30.0
METRICS = b'# TYPE accelerator_exporter_build_info gauge\naccelerator_exporter_build_info{version="1"} 1\n'


@pytest.fixture
def procfs(tmp_path: Path) -> ProcfsTree:
    return ProcfsTree(tmp_path / "proc")


@pytest.fixture
def sysfs(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path / "sys")


@pytest.fixture
def settings(procfs: ProcfsTree, sysfs: SysfsTree) -> Settings:
    return load_settings({"path.procfs": str(procfs.path), "path.sysfs": str(sysfs.path)}, {}, None)


def environment_of(settings: Settings, environ: dict[str, str] | None = None, *vendors: str) -> Environment:
    return read_environment(settings, "pod-x", environ or {}, read_mounts(settings.path.procfs), vendors)


def test_a_container_as_the_manifests_make_it(settings: Settings, sysfs: SysfsTree) -> None:
    sysfs.add_pci("0000:1b:00.0")
    named = replace(settings, node=replace(settings.node, name="worker-1"))
    assert environment_of(named, {"KUBERNETES_SERVICE_HOST": "192.0.2.1"}) == Environment(
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


def test_the_effective_user_id_is_read(settings: Settings, procfs: ProcfsTree) -> None:
    procfs.set_status(uid=1000)
    assert environment_of(settings).uid == 1000


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
    assert environment_of(settings).capabilities == names


def test_an_own_user_namespace_is_detected(settings: Settings, procfs: ProcfsTree) -> None:
    procfs.set_uid_map("0 3000000 65536\n")
    assert environment_of(settings).own_user_namespace is True


def test_a_kernel_thread_shows_that_host_processes_are_visible(settings: Settings, procfs: ProcfsTree) -> None:
    procfs.show_host_processes()
    assert environment_of(settings).host_processes is True


def test_without_procfs_most_facts_are_unknown(settings: Settings, tmp_path: Path) -> None:
    nowhere = replace(settings, path=replace(settings.path, procfs=tmp_path / "nothing"))
    found = environment_of(nowhere)
    assert (found.uid, found.own_user_namespace, found.capabilities, found.read_only_root) == (None, None, None, None)


def test_ids_are_generated_from_the_product_uuid_if_it_can_be_read(settings: Settings, sysfs: SysfsTree) -> None:
    assert environment_of(settings).identity is IdentitySource.HOST_NAME
    sysfs.write(b"4c4c4544-0043-3510-8052-b4c04f4d3633\n", "class", "dmi", "id", "product_uuid")
    assert environment_of(settings).identity is IdentitySource.PRODUCT_UUID


def test_only_variables_of_present_vendors_are_reported(settings: Settings) -> None:
    assert environment_of(settings, {"NVIDIA_VISIBLE_DEVICES": "0"}).variables == ()
    found = environment_of(settings, {"NVIDIA_VISIBLE_DEVICES": "0"}, "nvidia", "amd").variables
    assert [(variable.name, variable.value) for variable in found] == [
        ("NVIDIA_VISIBLE_DEVICES", "0"),
        ("NVIDIA_MIG_MONITOR_DEVICES", None),
    ]


def test_what_needs_privileges_is_reported_for_present_vendors(settings: Settings) -> None:
    nvidia, both = environment_of(settings, {}, "nvidia"), environment_of(settings, {}, "amd", "nvidia")
    assert (nvidia.privileged_only, nvidia.host_processes_only) == ((), ())
    assert both.privileged_only == ("AMD partitions and ROCm process data",)
    assert both.host_processes_only == (
        "number of AMD processes that draw or decode video, which also needs SYS_PTRACE and DAC_READ_SEARCH",
    )


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    folder = tmp_path / "kubelet dir" / "pod-resources"
    folder.mkdir(parents=True)
    return folder / "kubelet.sock"


def escaped(path: Path) -> str:
    return str(path).replace(" ", "\\040")


def test_a_mounted_directory_is_reported_with_its_mount_point(procfs: ProcfsTree, socket_path: Path) -> None:
    procfs.set_mounts(mount_line("/pod-resources", escaped(socket_path.parent)))
    found = socket_mount(read_mounts(procfs.path), socket_path)
    assert found == MountFacts(SocketMount.DIRECTORY, str(socket_path.parent))


def test_a_mounted_parent_directory_is_a_directory_mount(procfs: ProcfsTree, socket_path: Path) -> None:
    procfs.set_mounts(mount_line("/kubelet", escaped(socket_path.parent.parent)))
    found = socket_mount(read_mounts(procfs.path), socket_path)
    assert found == MountFacts(SocketMount.DIRECTORY, str(socket_path.parent.parent))


def test_a_mounted_socket_file_is_distinguished_from_its_directory(procfs: ProcfsTree, socket_path: Path) -> None:
    directory = mount_line("/pod-resources", escaped(socket_path.parent))
    procfs.set_mounts(directory, mount_line("/pod-resources/kubelet.sock", escaped(socket_path)))
    found = socket_mount(read_mounts(procfs.path), socket_path)
    assert found == MountFacts(SocketMount.FILE, str(socket_path))


def test_a_file_that_was_replaced_on_the_host_is_detected(procfs: ProcfsTree, socket_path: Path) -> None:
    procfs.set_mounts(mount_line("/pod-resources/kubelet.sock//deleted", escaped(socket_path)))
    assert socket_mount(read_mounts(procfs.path), socket_path) == MountFacts(
        SocketMount.FILE, str(socket_path), replaced=True
    )


def test_the_last_mount_at_a_path_covers_earlier_ones(procfs: ProcfsTree, socket_path: Path) -> None:
    procfs.set_mounts(
        mount_line("/old//deleted", escaped(socket_path.parent)),
        mount_line("/pod-resources", escaped(socket_path.parent)),
    )
    assert socket_mount(read_mounts(procfs.path), socket_path) == MountFacts(
        SocketMount.DIRECTORY, str(socket_path.parent)
    )


def test_a_symbolic_link_in_the_path_is_followed(procfs: ProcfsTree, socket_path: Path, tmp_path: Path) -> None:
    link = tmp_path / "run"
    link.symlink_to(socket_path.parent)
    procfs.set_mounts(mount_line("/pod-resources", escaped(socket_path.parent)))
    assert socket_mount(read_mounts(procfs.path), link / socket_path.name).kind is SocketMount.DIRECTORY


def test_a_directory_with_the_same_prefix_is_not_a_mount_of_the_socket(procfs: ProcfsTree, socket_path: Path) -> None:
    procfs.set_mounts(mount_line("/x", escaped(socket_path.parent.with_name("pod"))))
    assert socket_mount(read_mounts(procfs.path), socket_path) == MountFacts(SocketMount.NONE)


def test_without_a_list_of_mounts_the_mount_is_unknown(procfs: ProcfsTree, socket_path: Path, tmp_path: Path) -> None:
    assert socket_mount(read_mounts(tmp_path / "nothing"), socket_path) == MountFacts(SocketMount.UNKNOWN)
    procfs.set_mounts("not a line", root=())
    assert socket_mount(read_mounts(procfs.path), socket_path) == MountFacts(SocketMount.UNKNOWN)
    assert read_only_root(read_mounts(procfs.path)) is None


@pytest.mark.parametrize(
    ("root", "read_only"),
    [((ROOT_MOUNT,), True), ((WRITABLE_ROOT_MOUNT,), False), ((WRITABLE_ROOT_MOUNT, ROOT_MOUNT), True)],
)
def test_the_mount_options_of_the_root_decide(procfs: ProcfsTree, root: tuple[str, ...], *, read_only: bool) -> None:
    procfs.set_mounts(mount_line("/x", "/data", "rw"), root=root)
    assert read_only_root(read_mounts(procfs.path)) is read_only


@contextmanager
def server(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n") -> Iterator[str]:
    """Answers one connection; yields its address."""
    with listen("127.0.0.1:0") as listening:
        listening.settimeout(BOUND_SECONDS)

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(BOUND_SECONDS)
                connection.recv(4096)
                connection.sendall(head + body)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(BOUND_SECONDS)


def test_a_free_address_is_reported_as_free_and_stays_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        address = f"127.0.0.1:{once.getsockname()[1]}"
    assert [facts.state for facts in try_listen_addresses(WebSettings((address,), "/metrics"))] == [AddressState.FREE]
    listen(address).close()


def test_an_exporter_that_listens_there_is_recognized() -> None:
    with server(METRICS) as address:
        (facts,) = try_listen_addresses(WebSettings((address,), "/metrics"))
    assert (facts.address, facts.state, facts.text) == (address, AddressState.SERVED, "")


@pytest.mark.parametrize("text", [TLS, USERS, TLS + USERS])
def test_a_protected_exporter_that_listens_there_is_recognized(tmp_path: Path, text: str) -> None:
    Authority(tmp_path).sign_server()
    with protected(configured(tmp_path, text)) as running, server(METRICS) as plain:
        web = WebSettings(running.addresses, "/metrics", (plain,), tmp_path / "web.yml")
        states = [facts.state for facts in try_listen_addresses(web)]
    assert states == [AddressState.SERVED, AddressState.SERVED]


def test_another_program_is_not_taken_for_a_protected_exporter(tmp_path: Path) -> None:
    def close_three() -> None:
        for _ in range(3):
            listening.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0), backlog=10) as listening:
        closing = threading.Thread(target=close_three)
        closing.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        (facts,) = try_listen_addresses(WebSettings((address,), "/metrics", (), tmp_path / "web.yml"))
        closing.join(BOUND_SECONDS)
    assert facts.state is AddressState.TAKEN


@pytest.mark.parametrize("head", [b"HTTP/1.1 404 Not Found\r\n\r\n", b"220 mail ready\r\n"])
def test_another_program_that_listens_there_is_reported(head: bytes) -> None:
    with server(b"hello", head) as address:
        (facts,) = try_listen_addresses(WebSettings((address,), "/metrics"))
    assert facts.state is AddressState.TAKEN
    assert "Address already in use" in facts.text


def test_each_of_several_addresses_is_tried() -> None:
    with server(METRICS) as address:
        facts = try_listen_addresses(WebSettings((address, "192.0.2.1:9410"), "/metrics"))
    assert [(found.address, found.state) for found in facts] == [
        (address, AddressState.SERVED),
        ("192.0.2.1:9410", AddressState.REFUSED),
    ]


def test_an_address_of_another_machine_is_refused() -> None:
    (facts,) = try_listen_addresses(WebSettings(("192.0.2.1:9410",), "/metrics"))
    assert facts.state is AddressState.REFUSED
    with pytest.raises(ListenError) as caught:
        listen("192.0.2.1:9410")
    assert facts.text == str(caught.value)
