"""The modules of a running daemon, on a node of each vendor and on one of neither.

`pytest tests/golden/test_imported_modules.py --update-golden` rewrites the list and keeps its reasons. What is new
costs memory on every node: import it only where it is needed, or write the reason beside it.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_host import amd_host
from tests.doubles.amd_tree import eight_of
from tests.doubles.exporter_process import ExporterProcess, exporter, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import QUICK, gpu_node

_LIST = Path(__file__).with_name("imported_modules.txt")
_EVERY, _NVIDIA, _AMD = "every node", "NVIDIA", "AMD"
_STANDARD = "standard library"
_OWN = ("exporter.", "collectors.")
# Runs the exporter in its own process and writes the names of its modules when it ends.
_SCRIPT = """
import atexit, os, sys
def write():
    with open(os.environ["MODULES"], "w") as file:
        file.write(" ".join(sys.modules))
atexit.register(write)
sys.argv[1:] = sys.argv[4:]  # without the interpreter and the module
from exporter.cli import main
main()
"""
_OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
_END_SECONDS = 30.0

Sections = dict[str, set[str]]


def modules_of(running: ExporterProcess, written: Path, family: str) -> set[str]:
    """The modules of an exporter that has readings of this family and has been scraped in several ways."""
    wait_until(lambda: running.scrape().find(family))
    wait_until(lambda: running.scrape().value("accelerator_exporter_attribution_up", source="podresources"))
    assert running.get("/metrics", _OPENMETRICS)[0] == running.get("/-/healthy")[0] == 200
    assert running.terminate(_END_SECONDS) == 0
    return set(written.read_text().split())


def modules_on_a_gpu_node(path: Path, library: Path, cards: int) -> set[str]:
    with gpu_node(path, library) as node:
        node.add_h100s(cards)
        if not cards:
            node.remove_library()
        node.kubelet.pods = [
            pod("ml", "train", container("main", device("nvidia.com/gpu", uuid))) for uuid in node.uuids
        ]
        environment = {**node.environment, "MODULES": str(path / "modules")}
        family = "accelerator_allocation_info" if cards else "accelerator_exporter_build_info"
        within = (sys.executable, "-c", _SCRIPT)
        with node.kubelet, exporter(path, *node.flags, *QUICK, environment=environment, within=within) as running:
            return modules_of(running, path / "modules", family)


def modules_on_an_amd_node(path: Path) -> set[str]:
    with amd_host(path) as host:
        card = eight_of(host.tree, MI300X)[0]
        host.kubelet.pods = [pod("ml", "train", container("main", device("amd.com/gpu", card.address)))]
        environment = {"LD_LIBRARY_PATH": "/dev/null", "MODULES": str(path / "modules")}
        within = (sys.executable, "-c", _SCRIPT)
        with host.kubelet, exporter(path, *host.flags, *QUICK, environment=environment, within=within) as running:
            return modules_of(running, path / "modules", "accelerator_allocation_info")


def loaded_by_python() -> set[str]:
    """What an interpreter of this environment loads before the first line of a program."""
    command = (sys.executable, "-c", "import sys; print(*sys.modules)")
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split())


def is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def names(modules: Iterable[str]) -> set[str]:
    """The names of modules that are not of the standard library; of third parties, those of their packages."""
    return {
        module if module.startswith(_OWN) else module.partition(".")[0] for module in modules if not is_standard(module)
    }


def public(modules: Iterable[str]) -> set[str]:
    """The names of modules of the standard library, without its private parts, which differ between its versions."""
    return {module for module in modules if is_standard(module) and "._" not in f".{module}"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Sections:
    """The names of the modules in real processes, by section of the list."""
    known = loaded_by_python()
    neither = modules_on_a_gpu_node(tmp_path_factory.mktemp("neither"), nvml_library, cards=0) - known
    nvidia = modules_on_a_gpu_node(tmp_path_factory.mktemp("nvidia"), nvml_library, cards=2) - known
    amd = modules_on_an_amd_node(tmp_path_factory.mktemp("amd")) - known
    every = names(neither)
    return {
        _EVERY: every,
        _NVIDIA: names(nvidia) - every,
        _AMD: names(amd) - every,
        _STANDARD: public(neither | nvidia | amd),
    }


def listed() -> dict[str, dict[str, str]]:
    """The list: the names in each section, with their reasons; no reason is empty."""
    sections: dict[str, dict[str, str]] = {}
    for line in _LIST.read_text().splitlines():
        if line.startswith("# "):
            names_of_section = sections.setdefault(line.removeprefix("# "), {})
        elif line:
            name, _, reason = line.partition(": ")
            names_of_section[name] = reason
    return sections


def written(found: Sections, known: dict[str, dict[str, str]]) -> str:
    """The list of what was found, with the known reasons, and the modules of the other versions of Python."""
    lines: list[str] = []
    for section, new in found.items():
        reasons = known.get(section, {})
        every = new | reasons.keys() if section == _STANDARD else new
        lines += (
            f"# {section}",
            *(f"{name}: {reasons.get(name, '')}".removesuffix(": ") for name in sorted(every)),
            "",
        )
    return "\n".join(lines)


def test_a_daemon_loads_only_what_is_listed(found: Sections, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        _LIST.write_text(written(found, listed()))
    known = listed()
    for section in (_EVERY, _NVIDIA, _AMD):
        assert found[section] == known[section].keys(), section
    assert found[_STANDARD] <= known[_STANDARD].keys()


def test_the_package_of_a_third_party_is_listed_with_its_reason() -> None:
    sections = listed()
    del sections[_STANDARD]
    third_parties = {
        name: reason
        for section in sections.values()
        for name, reason in section.items()
        if name not in {"exporter", "collectors"} and not name.startswith(_OWN)
    }
    assert third_parties
    assert [name for name, reason in third_parties.items() if not reason] == []
