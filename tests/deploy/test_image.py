"""Builds a release and runs its image as the DaemonSet starts it, with the restrictions of the DaemonSet."""

import hashlib
import json
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.doubles.exporter_process import Scrape, parse, wait_until
from tests.doubles.image import PROCESSORS, ROOT, Container, Engine
from tests.doubles.kubelet import container, device, pod
from tests.doubles.kustomize import build
from tests.doubles.node import Node, gpu_node
from tools import package_release

pytestmark = [pytest.mark.image, pytest.mark.timeout(1200)]

VERSION = package_release.version_of(ROOT)
_LIBRARY = "/usr/local/nvidia/lib64"
_STATE = "/nvml.state"
_SYSFS = "/host/sys"


class Image(NamedTuple):
    engine: Engine
    name: str

    def inspect(self) -> dict[str, Any]:
        return self.engine.inspect(self.name)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        made = Engine(Path(folder))
        made.make_base()
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def release(engine: Engine) -> Path:
    """The folder with everything of a release."""
    return engine.build_release()


@pytest.fixture(scope="module")
def image(engine: Engine, release: Path) -> Image:
    """The image of the release."""
    (archive,) = release.glob("*.oci.tar")
    return Image(engine, engine.load(archive))


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    """The pod of the DaemonSet."""
    (daemon_set,) = (m for m in build(ROOT / "deploy" / "kubernetes" / "nvidia") if m["kind"] == "DaemonSet")
    spec: dict[str, Any] = daemon_set["spec"]["template"]["spec"]
    return spec


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[Node]:
    with gpu_node(tmp_path_factory.mktemp("node"), nvml_library) as made:
        made.add_h100s(2)
        made.kubelet.pods = [pod("serving", "chat-0", container("server", device("nvidia.com/gpu", made.uuids[0])))]
        with made.kubelet:
            yield made


def restrictions(manifest: dict[str, Any]) -> list[str]:
    """The manifest's security context as podman's options."""
    (wanted,) = manifest["containers"]
    context = wanted["securityContext"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    return [
        f"--user={context['runAsUser']}:{context['runAsGroup']}",
        "--read-only",
        "--read-only-tmpfs=false",
        "--security-opt=no-new-privileges",
        *(f"--cap-drop={name}" for name in context["capabilities"]["drop"]),
    ]


def mounts(manifest: dict[str, Any], node: Node, library: Path) -> list[str]:
    """The manifest's volume with the node's kubelet, and the files that the NVIDIA runtime adds to the container."""
    (wanted,) = manifest["containers"]
    (mount,) = wanted["volumeMounts"]
    return [
        f"--volume={node.kubelet.socket_path.parent}:{mount['mountPath']}:{'ro' if mount['readOnly'] else 'rw'}",
        f"--volume={library}:{_LIBRARY}:ro",
        f"--volume={node.sysfs.path}:{_SYSFS}:ro",
        f"--volume={node.nvml.path}:{_STATE}",
        f"--env=LD_LIBRARY_PATH={_LIBRARY}",
        f"--env=NVML_DOUBLE_STATE={_STATE}",
        "--env=NODE_NAME=worker-1",
    ]


@pytest.fixture(scope="module")
def running(image: Image, manifest: dict[str, Any], node: Node, nvml_library: Path) -> Iterator[Container]:
    options = [*restrictions(manifest), *mounts(manifest, node, nvml_library)]
    with image.engine.running(image.name, f"--path.sysfs={_SYSFS}", options=options) as started:
        wait_until(started.serves)
        wait_until(lambda: started.get("/-/ready") == "ready\n")
        yield started


def scrape(running: Container) -> Scrape:
    return parse(running.get("/metrics"))


def test_image_exports_devices_and_their_pods(running: Container, node: Node) -> None:
    wait_until(lambda: bool(scrape(running).find("accelerator_allocation_info")))
    found = scrape(running)
    assert {s.labels["uuid"] for s in found.find("accelerator_device_info")} == set(node.uuids)
    (allocation,) = found.find("accelerator_allocation_info")
    assert (allocation.labels["uuid"], allocation.labels["pod"]) == (node.uuids[0], "chat-0")
    assert found.value("accelerator_exporter_collector_up", collector="nvidia") == 1
    assert found.value("accelerator_exporter_attribution_up", source="podresources") == 1


def test_probes_report_healthy_and_ready(running: Container, manifest: dict[str, Any]) -> None:
    (wanted,) = manifest["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert running.get(wanted[probe]["httpGet"]["path"]) in {"healthy\n", "ready\n"}


def test_container_has_uid_0_and_no_capability(running: Container) -> None:
    status = running.status()
    assert status["Uid"].split() == ["0"] * 4
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"  # filtered


def test_root_file_system_is_read_only(running: Container) -> None:
    write = "import errno\ntry: open('/probe', 'w')\nexcept OSError as e: print(errno.errorcode[e.errno])"
    assert running.execute("python3", "-c", write) == "EROFS\n"


def test_image_contains_no_compiler_or_installer(running: Container) -> None:
    find = (
        "import importlib.util, shutil\n"
        "print([n for n in ('gcc', 'cc', 'ld', 'make', 'pip', 'pip3', 'uv') if shutil.which(n)],"
        " [n for n in ('pip', 'ensurepip') if importlib.util.find_spec(n)])"
    )
    for python in ("python", "/usr/bin/python3"):  # the exporter's, and the one it was created from
        assert running.execute(python, "-c", find) == "[] []\n"
    assert running.execute("find", "/usr/local", "/opt", "-name", "pip*") == ""
    assert running.execute("find", "/", "-xdev", "-name", "*.whl") == ""


def test_every_imported_module_is_compiled(running: Container) -> None:
    listing = (
        "import sys, os, json, exporter.command, pynvml\n"
        "modules = {n: m.__cached__ for n, m in list(sys.modules.items()) if getattr(m, '__cached__', None)}\n"
        "print(json.dumps({n: os.path.exists(c) for n, c in modules.items()}))"
    )
    compiled = json.loads(running.execute("python", "-c", listing))
    assert {"pynvml", "exporter.command", "h2.connection", "threading"} <= set(compiled)
    assert [name for name, there in compiled.items() if not there] == []


def test_image_has_expected_configuration_and_labels(image: Image) -> None:
    config = image.inspect()["Config"]
    assert config["Entrypoint"] == ["accelerator-exporter"]
    assert config["StopSignal"] in {"SIGTERM", "15"}
    assert set(config["ExposedPorts"]) == {"9410/tcp"}
    assert config.get("User", "") in {"", "0"}
    assert not [variable for variable in config["Env"] if "NVIDIA" in variable]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == "accelerator-exporter"
    assert labels["version"] == image.name.rpartition(":")[2] == VERSION
    assert {"description", "licenses", "revision"} <= set(labels)


def test_everything_of_a_release_has_one_version_and_a_right_checksum(release: Path) -> None:
    charts = {f"{chart.name}-{VERSION}.tgz" for chart in package_release.charts(ROOT)}
    names = {
        f"accelerator_exporter-{VERSION}-py3-none-any.whl",
        f"accelerator-exporter-{VERSION}.oci.tar",
        f"accelerator-exporter-{VERSION}.cdx.json",
        *charts,
    }
    assert {file.name for file in release.iterdir()} == names | {"SHA256SUMS"}
    lines = [line.split() for line in (release / "SHA256SUMS").read_text().splitlines()]
    assert {name: checksum for checksum, name in lines} == {
        name: hashlib.sha256((release / name).read_bytes()).hexdigest() for name in names
    }
    sbom = json.loads((release / f"accelerator-exporter-{VERSION}.cdx.json").read_text())
    assert sbom["metadata"]["component"]["version"] == VERSION


@pytest.mark.parametrize(("processor", "machine"), PROCESSORS.items())
def test_release_has_an_image_for_every_processor(engine: Engine, release: Path, processor: str, machine: str) -> None:
    (archive,) = release.glob("*.oci.tar")
    image = engine.pull(archive, processor)
    assert engine.inspect(image)["Architecture"] == processor
    assert engine.run(image, "-c", "import platform; print(platform.machine())", entrypoint="python") == f"{machine}\n"
    scraped = parse(engine.run(image, "--once", "--simulate=inference", entrypoint="accelerator-exporter"))
    assert scraped.find("accelerator_device_info")


def test_wheel_of_a_release_runs_in_an_empty_environment(release: Path, tmp_path: Path) -> None:
    (wheel,) = release.glob("*.whl")
    venv.create(tmp_path, with_pip=True)
    pip = (str(tmp_path / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run([*pip, str(wheel)], check=True, timeout=300)
    command = str(tmp_path / "bin" / "accelerator-exporter")
    done = subprocess.run([command, "--version"], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"accelerator-exporter {VERSION} ")


def test_memory_is_within_the_manifest_request(running: Container, manifest: dict[str, Any]) -> None:
    wait_until(lambda: bool(scrape(running).find("accelerator_allocation_info")))
    (wanted,) = manifest["containers"]
    request = int(wanted["resources"]["requests"]["memory"].removesuffix("Mi")) * 1024
    resident = int(running.status()["VmRSS"].removesuffix(" kB"))
    assert 0 < resident < request


def test_sigterm_ends_the_container_within_the_grace_period(
    image: Image, manifest: dict[str, Any], node: Node, nvml_library: Path
) -> None:
    options = [*restrictions(manifest), *mounts(manifest, node, nvml_library)]
    with image.engine.running(image.name, f"--path.sysfs={_SYSFS}", options=options) as started:
        wait_until(started.serves)
        assert started.stop(manifest["terminationGracePeriodSeconds"]) == 0
        assert "shutting down" in started.logs()
