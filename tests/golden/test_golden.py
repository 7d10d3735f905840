"""The whole exposition of small nodes as readable text: one scrape of the real process with its real parts.

`pytest tests/golden --update-golden` rewrites the files.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from collectors import catalog
from collectors.metric import Kind
from exporter import families
from tests.doubles.exporter_process import exporter, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node
from tests.doubles.prometheus import promtool_check

_FOLDER = Path(__file__).parent
_NOTE = "# Values that differ from run to run are written as 0, versions as X.\n"
# Only one poll, so that integrated counters stay 0.
# Everything that a card gives: all sets, but the sums of links and not each of them.
EVERYTHING = "--metrics.sets=core,health,activity,limits,engines,pipes,diagnostics"
_ONE_POLL = ("--poll.fast-interval=1m", "--poll.medium-interval=1m", "--poll.slow-interval=1m")
_VOLATILE = (
    "process_",
    families.COLLECTOR_CPU.name(families.COLLECTOR_CPU.subjects[0]),
    families.COLLECTOR_DURATION.name(families.COLLECTOR_DURATION.subjects[0]),
    families.COLLECTOR_LAST_SUCCESS.name(families.COLLECTOR_LAST_SUCCESS.subjects[0]),
    families.ATTRIBUTION_LAST_SUCCESS.name(families.ATTRIBUTION_LAST_SUCCESS.subjects[0]),
    families.ALLOCATION_DEVICE_SECONDS.name(families.ALLOCATION_DEVICE_SECONDS.subjects[0]),
    families.CONTAINER_LAST_ACTIVE.name(families.CONTAINER_LAST_ACTIVE.subjects[0]),
    families.SCRAPES.name(families.SCRAPES.subjects[0]),
    *(row.name(subject) for row in (catalog.BUSY_SECONDS, catalog.OBSERVED_SECONDS) for subject in row.subjects),
)
_BUILD = "accelerator_exporter_build_info{"


def _no_accelerator(node: Node) -> None:
    node.kubelet.start()


def _idle(node: Node) -> None:
    node.add_h100s(2)
    node.kubelet.start()


def _with_pods(node: Node) -> None:
    node.add_h100s(2)
    first, second = node.uuids
    node.kubelet.pods = [
        pod("research", "train-0", container("main", device("nvidia.com/gpu", first)), container("log-shipper")),
        pod("serving", "chat-7d4b", container("server", device("nvidia.com/gpu.shared", f"{second}::0"))),
        pod("serving", "embed-5c9f", container("server", device("nvidia.com/gpu.shared", f"{second}::1"))),
        pod("kube-system", "coredns-1", container("coredns")),
    ]
    node.kubelet.start()


def _mig_with_pods(node: Node) -> None:
    node.add_h100s(1)
    node.partition(0, "3g.40gb", "1g.10gb")
    large, small = node.mig_uuids(0)
    node.kubelet.pods = [
        pod("research", "notebook-a", container("lab", device("nvidia.com/mig-3g.40gb", large))),
        pod("research", "notebook-b", container("lab", device("nvidia.com/mig-1g.10gb", f"{small}::0"))),
        pod("research", "notebook-c", container("lab", device("nvidia.com/mig-1g.10gb", f"{small}::1"))),
    ]
    node.kubelet.start()


def _device_lost(node: Node) -> None:
    node.add_h100s(2)
    node.lose(1)
    node.kubelet.pods = [pod("research", "train-0", container("main", device("nvidia.com/gpu", *node.uuids)))]
    node.kubelet.start()


def _collector_failed(node: Node) -> None:
    node.add_h100s(2)
    node.fail_driver(999)
    node.kubelet.start()


def _kubelet_absent(node: Node) -> None:
    node.add_h100s(2)


_SCENES: dict[str, Callable[[Node], None]] = {
    "no_accelerator": _no_accelerator,
    "idle": _idle,
    "with_pods": _with_pods,
    "mig_with_pods": _mig_with_pods,
    "device_lost": _device_lost,
    "collector_failed": _collector_failed,
    "kubelet_absent": _kubelet_absent,
}


def steady(text: str) -> str:
    """The exposition without the values that differ between runs."""
    lines = []
    for line in text.splitlines(keepends=True):
        if line.startswith(_BUILD):
            lines.append(f'{_BUILD}python_version="X",version="X"}} 1.0\n')
        elif line.startswith(_VOLATILE):
            lines.append(f"{line.rpartition(' ')[0]} 0.0\n")
        else:
            lines.append(line)
    return _NOTE + "".join(lines)


def _scrape(node: Node, accept: str) -> str:
    """One scrape of the real process once everything has answered or failed."""
    with exporter(node.path, *node.flags, *_ONE_POLL, environment=node.environment) as running:
        wait_until(lambda: b"attribution_up" in running.get("/metrics")[2] and running.get("/-/ready")[0] == 200)
        return running.get("/metrics", {"Accept": accept})[2].decode()


@pytest.mark.parametrize("name", _SCENES)
def test_exposition(name: str, node: Node, request: pytest.FixtureRequest) -> None:
    _SCENES[name](node)
    found = steady(_scrape(node, "text/plain"))
    golden = _FOLDER / f"{name}.prom"
    if request.config.getoption("--update-golden"):
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize("name", _SCENES)
def test_golden_file_passes_promtool_and_parses(name: str) -> None:
    text = (_FOLDER / f"{name}.prom").read_text()
    assert promtool_check(text) == ""
    assert len(list(parse_text(text))) == text.count("# TYPE ")


@pytest.mark.parametrize("name", ["with_pods", "mig_with_pods"])
def test_openmetrics_passes_the_strict_parser_with_infos_of_type_info(name: str, node: Node) -> None:
    _SCENES[name](node)
    text = _scrape(node, "application/openmetrics-text; version=1.0.0")
    parse: Callable[[str], Iterable[Family]] = openmetrics.text_string_to_metric_families
    types = {family.name: family.type for family in parse(text)}
    infos = {
        row.name(subject).removesuffix("_info")
        for row in (*catalog.ROWS, *families.ROWS)
        if row.kind is Kind.INFO
        for subject in row.subjects
    }
    assert {name for name, kind in types.items() if kind == "info"} == infos & types.keys()
    assert "accelerator_allocation" in infos & types.keys()


def test_no_golden_file_is_unused() -> None:
    assert {file.stem for file in _FOLDER.glob("*.prom")} == set(_SCENES)
