"""`conformance` as a real process, on the endpoint of a real exporter."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from collectors.simulated.profiles import PROFILES
from tests.doubles.certificates import Authority
from tests.doubles.exporter_process import ExporterProcess, clean_environment, exporter, run_once, wait_until
from tests.doubles.node import Node, running_exporter

TEST = "TestAcceleratorPerformanceMetrics"
DEVICE_UTILIZATION = "accelerator_device_utilization_ratio"
DEVICE_MEMORY = "accelerator_device_memory_usage_bytes"
EVERY_PROFILE = "description: every card\ndevices:\n" + "".join(f"  - profile: {each.name}\n" for each in PROFILES)
MIG_ONLY = """\
description: one card in slices
devices:
  - profile: h100
    partitions: [{ profile: 1g.10gb, count: 7, memory: 9856MiB, compute: 1/7 }]
"""
MIG_WITHOUT_GPM = MIG_ONLY.replace("h100", "a100").replace("1g.10gb", "1g.5gb").replace("9856MiB", "4864MiB")
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
_PATIENCE_SECONDS = 60.0


class View(NamedTuple):
    """A view: the metrics of its flags, the result of draft 2 without them, and how many of the profiles it shows."""

    name: str
    utilization: str
    memory: str
    without_flags: str
    profiles: int = len(PROFILES)


VIEWS = (
    View("native", DEVICE_UTILIZATION, DEVICE_MEMORY, "FAIL"),
    # By their vendors: those of NVIDIA and AMD, whose names dashboards of dcgm-exporter can show.
    View("dcgm", "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "PASS", len(PROFILES) - 1),
    View("otel", "hw_gpu_utilization_ratio", "hw_gpu_memory_usage_bytes", "FAIL"),
    View("native,dcgm,otel", DEVICE_UTILIZATION, DEVICE_MEMORY, "PASS"),
)


@contextmanager
def simulated(folder: Path, scenario: str, *arguments: str) -> Iterator[ExporterProcess]:
    """An exporter of a simulated node that has read it once."""
    file = folder / "scenario.yaml"
    file.write_text(scenario)
    with exporter(folder, f"--simulate={file}", *arguments) as running:
        wait_until(lambda: running.get("/-/ready")[0] == 200)
        yield running


def judged(running: ExporterProcess, *arguments: str, scheme: str = "http") -> tuple[int, dict[str, Any]]:
    """Exit code and report."""
    url = f"{scheme}://{running.address}/metrics"
    result = run_once(["conformance", f"--url={url}", "--json", *arguments], {})
    assert result.stderr == ""
    return result.returncode, json.loads(result.stdout)


def lines(report: dict[str, Any], subtest: str) -> list[str]:
    [test] = [each for each in report["tests"] if each["name"] == TEST]
    [found] = [each for each in test["subtests"] if each["name"] == subtest]
    return [str(line) for line in found["lines"]]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_card_passes_in_every_view_with_the_printed_flags(tmp_path: Path, view: View) -> None:
    arguments = (f"--metrics.views={view.name}", "--metrics.dcgm-vendors=nvidia,amd")
    with simulated(tmp_path, EVERY_PROFILE, *arguments) as running:
        code, report = judged(running)
    assert (code, report["conformant"]) == (0, True)
    assert [each["outcome"] for each in report["drafts"]] == ["PASS", view.without_flags, "PASS"]
    assert report["official_flags"][-2:] == [
        f"-metrics-utilization-metric={view.utilization}",
        f"-metrics-memory-metric={view.memory}",
    ]
    for figure in ("Utilization", "Memory"):  # one line: no second one about accelerators that lack it
        [line] = lines(report, f"PerAccelerator{figure}Metric")
        assert f" of {view.profiles} accelerators, " in line
    assert f"`{view.utilization}` | `{view.memory}`" in PAGE.read_text()


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_card_in_slices_passes_in_every_view(tmp_path: Path, view: View) -> None:
    with simulated(tmp_path, MIG_ONLY, f"--metrics.views={view.name}") as running:
        code, report = judged(running)
    assert (code, report["drafts"][-1]["outcome"]) == (0, "PASS")
    if view.name == "dcgm":
        assert report["drafts"][1]["missing"] == ["utilization"]
        used = [flag.partition("=")[2] for flag in report["official_flags"][-2:]]
        assert f"| `{used[0]}` | `{used[1]}` | with the flag for utilization |" in PAGE.read_text()


def test_slices_without_utilization_are_no_reason_to_pass(tmp_path: Path) -> None:
    """The driver gives no utilization of an A100's slices: what the exporter does not know it does not show."""
    with simulated(tmp_path, MIG_WITHOUT_GPM) as running:
        code, report = judged(running)
    assert (code, report["drafts"][-1]["missing"]) == (1, ["utilization"])
    assert "name contains util" in lines(report, "PerAcceleratorUtilizationMetric")[0]


def test_a_node_without_devices_is_not_conformant(tmp_path: Path) -> None:
    with exporter(tmp_path, f"--path.sysfs={tmp_path}", environment={"LD_LIBRARY_PATH": "/dev/null"}) as running:
        wait_until(lambda: running.get("/-/ready")[0] == 200)
        code, report = judged(running)
    assert (code, report["drafts"][-1]["missing"]) == (1, ["utilization", "memory"])


def test_the_report_for_people_and_the_files(tmp_path: Path) -> None:
    with simulated(tmp_path, MIG_ONLY) as running:
        arguments = ["conformance", f"--url=http://{running.address}/metrics", f"--output-dir={tmp_path / 'out'}"]
        result = run_once(arguments, {})
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("VERDICT\n  conformant\n")
    assert f"    -metrics-utilization-metric={DEVICE_UTILIZATION} \\\n" in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"report.json", "e2e.log", "results.json", "junit.xml", "PRODUCT.yaml"}


def test_a_load_that_starts_is_followed(node: Node) -> None:
    node.add_h100s(2)
    for index in range(2):
        node.set_utilization(index, 3)
    with node.kubelet, running_exporter(node) as running:
        wait_until(lambda: running.scrape().find(DEVICE_UTILIZATION))
        command = [sys.executable, "-m", "exporter", "conformance", "--json", "--watch=1m"]
        with subprocess.Popen(
            [*command, f"--url=http://{running.address}/metrics"],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "Read the utilization before the load. Start the load now.\n"
            node.set_utilization(1, 96)
            output, errors = process.communicate(timeout=_PATIENCE_SECONDS)
    assert (process.returncode, errors) == (0, "")
    assert output.startswith("{\n")  # docs/conformance.md finds the report in a log by this line
    [watched] = [test for test in json.loads(output)["tests"] if test["name"] == "TestUtilizationFollowsLoad"]
    assert f"uuid={node.uuids[1]} was 0.03 before and 0.96 after" in watched["subtests"][0]["lines"][0]


def test_tls_with_the_authority_of_the_cluster(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.sign_server()
    (tmp_path / "web.yml").write_text(f"tls_server_config: {{cert_file: {server.cert}, key_file: {server.key}}}\n")
    with exporter(tmp_path, "--simulate", f"--web.config.file={tmp_path / 'web.yml'}") as running:
        url = f"https://{running.address}/metrics"
        unknown = run_once(["conformance", f"--url={url}"], {})
        code, report = judged(running, f"--ca-file={authority.cert}", scheme="https")
        missing = run_once(["conformance", f"--url={url}", f"--ca-file={tmp_path / 'none'}"], {})
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "name the file with its certificate authority by --ca-file" in unknown.stderr
    assert (missing.returncode, missing.stderr) == (
        2,
        f"accelerator-exporter: --ca-file: {tmp_path / 'none'}: No such file or directory\n",
    )
    assert code == 0
    assert "plain HTTP only" in report["notes"][0]
