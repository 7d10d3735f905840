"""A collector from another package: built, installed and run as its author would, without other changes."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from collectors import registry
from tests.doubles.exporter_process import ExporterProcess, Scrape, exporter, run_once, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "acme-collector"
PAGE = ROOT / "docs" / "adding-a-collector.md"
RESOURCE = "acme.example/npu"
_LONGEST_SECONDS = 150
_POLL = ("--poll.fast-interval=200ms", "--poll.medium-interval=200ms", "--poll.slow-interval=1s")


def python(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources() -> dict[str, str]:
    """Every file of the example by its path, without those that git ignores."""
    files = (path for path in EXAMPLE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(EXAMPLE)): path.read_text() for path in files}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The separate folder where the example is installed."""
    before = sources()
    folder = tmp_path_factory.mktemp("acme")
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(EXAMPLE))
    (wheel,) = (folder / "dist").glob("*.whl")
    options = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")
    python("-m", "pip", "install", *options, "--target", str(folder / "site"), str(wheel))
    assert sources() == before
    return folder / "site"


@pytest.fixture
def acme(node: Node) -> Node:
    """A node with two Acme cards and no other vendor's devices."""
    for index in range(2):
        files = {
            "model": "Acme A1",
            "state": "ok",
            "busy_percent": f"{40 + index}",
            "memory_used_kib": "1024",
            "memory_total_kib": "8192",
            "power_milliwatts": "75500",
            "energy_millijoules": "123000",
            "temperature_celsius": "51",
            "serial": f"S{index}",
        }
        for name, content in files.items():
            node.sysfs.write(f"{content}\n".encode(), "class", "acme", f"acme{index}", name)
    return node


@pytest.fixture
def running(acme: Node, installed: Path) -> Iterator[ExporterProcess]:
    """The unchanged exporter, with the example on the Python path."""
    environment = {**acme.environment, "PYTHONPATH": str(installed)}
    acme.kubelet.pods = [
        pod("research", "train-0", container("main", device(RESOURCE, "acme0"))),
        pod("research", "idle-0", container("main", device(RESOURCE, "acme-S1"))),
        pod("other", "network", container("main", device("example.com/rdma", "acme1"))),
    ]
    with acme.kubelet, exporter(acme.path, *acme.flags, *_POLL, environment=environment) as process:
        yield process


def attributed(running: ExporterProcess) -> Scrape | None:
    scrape = running.scrape()
    counted = scrape.find("accelerator_container_busy_seconds_total")
    return scrape if len(counted) == 2 and all(series.value > 0 for series in counted) else None


def test_third_party_devices_are_exported_with_their_pods(running: ExporterProcess) -> None:
    scrape = wait_until(lambda: attributed(running))

    assert {s.labels["collector"]: s.value for s in scrape.find("accelerator_exporter_collector_up")} == {"acme": 1}
    card = {"uuid": "acme-S0", "device": "acme0", "vendor": "acme", "model": "Acme A1"}
    (utilization,) = scrape.find("accelerator_device_utilization_ratio", uuid="acme-S0")
    assert utilization.labels == card
    assert utilization.value == 0.4
    assert scrape.value("accelerator_device_power_watts", uuid="acme-S0") == 75.5
    assert scrape.value("accelerator_device_energy_joules_total", uuid="acme-S0") == 123
    assert scrape.value("accelerator_device_memory_usage_bytes", uuid="acme-S0") == 2**20
    assert scrape.value("accelerator_device_temperature_celsius", uuid="acme-S0", sensor="board") == 51
    assert scrape.value("accelerator_device_status", uuid="acme-S1", state="ok") == 1
    holders = {(s.labels["pod"], s.labels["uuid"]) for s in scrape.find("accelerator_allocation_info")}
    assert holders == {("train-0", "acme-S0"), ("idle-0", "acme-S1")}
    assert scrape.value("accelerator_container_utilization_ratio", pod="train-0") == 0.4
    assert "Traceback" not in running.log.read_text()


def test_lost_card_is_reported_and_keeps_its_holder(acme: Node, running: ExporterProcess) -> None:
    wait_until(lambda: attributed(running))
    acme.sysfs.write(b"dead\n", "class", "acme", "acme0", "state")

    def lost() -> Scrape | None:
        scrape = running.scrape()
        return scrape if scrape.value("accelerator_device_status", uuid="acme-S0", state="failed") == 1 else None

    scrape = wait_until(lost)
    assert scrape.value("accelerator_allocation_share_ratio", pod="train-0") == 1
    assert not scrape.find("accelerator_device_power_watts", uuid="acme-S0")
    assert scrape.value("accelerator_device_power_watts", uuid="acme-S1") == 75.5


def test_without_its_hardware_it_exports_and_logs_nothing(node: Node, installed: Path) -> None:
    done = run_once(["--once", *node.flags], {**node.environment, "PYTHONPATH": str(installed)})

    assert done.returncode == 0
    assert 'accelerator_exporter_collector_devices{collector="acme"} 0' in done.stdout
    assert not [line for line in done.stderr.splitlines() if "acme" in line]


def test_collector_that_is_not_installed_is_unknown(acme: Node) -> None:
    done = run_once(["--once", *acme.flags], acme.environment)

    assert done.returncode == 0
    assert "acme" not in done.stdout
    assert "acme" not in {spec.name for spec in registry.load()}


def test_its_own_tests_pass_the_contract(installed: Path) -> None:
    report = python("-m", "pytest", "-p", "no:cacheprovider", str(EXAMPLE), environment={"PYTHONPATH": str(installed)})

    assert re.search(r"\d+ passed, 2 skipped", report), report
    assert "a plain file answers at once" in report


def test_page_quotes_every_file_exactly() -> None:
    shown = re.findall(r"^`([^`]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)

    assert len(shown) == len(dict(shown))
    assert dict(shown) == sources()


BROKEN_PACKAGES = {
    "error": "raise ValueError('no')",
    "exit": "raise SystemExit(3)",
    "creating": "from acme_collector import SPEC as A\nSPEC = replace(A, name='creating', create=lambda node: 1 / 0)",
    "exiting": "class C:\n    def read(self, due): raise SystemExit(4)\n    close = read\nSPEC = spec('exiting', C)",
    "nothing": "class C:\n    def read(self, due): return None\n    def close(self): pass\nSPEC = spec('nothing', C)",
    "nonsense": "SPEC = 'nonsense'",
}
_PREFACE = """
from dataclasses import replace
from collectors.contract import CollectorSpec
def spec(name, kind): return CollectorSpec(name, (), (), lambda node: kind())
"""


def test_broken_packages_cost_only_their_own_collectors(acme: Node, installed: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name, source in BROKEN_PACKAGES.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{name} = broken_{name}:SPEC\n")
        (site / f"broken_{name}.py").write_text(_PREFACE + source)
    environment = {**acme.environment, "PYTHONPATH": os.pathsep.join((str(installed), str(site)))}

    def settled() -> Scrape | None:
        scrape = process.scrape()
        down = [scrape.value("accelerator_exporter_collector_up", collector=name) for name in BROKEN_PACKAGES]
        return scrape if down == [0] * len(BROKEN_PACKAGES) else None

    with acme.kubelet, exporter(acme.path, *acme.flags, *_POLL, environment=environment) as process:
        scrape = wait_until(settled)

    assert scrape.value("accelerator_exporter_collector_up", collector="acme") == 1
    for name in BROKEN_PACKAGES:
        counted = {
            s.labels["reason"]: s.value
            for s in scrape.find("accelerator_exporter_collector_errors_total", collector=name)
        }
        assert counted.pop("broken") >= 1
        assert set(counted.values()) == {0}
