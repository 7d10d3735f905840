"""Options of the test run, and the tests it leaves out."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import settings

from tests.doubles.native_build import build_nvml
from tests.doubles.node import Node, gpu_node
from tests.doubles.nvml import NvmlState
from tests.doubles.nvml_loaded import loaded

_MANY_EXAMPLES = 5_000  # instead of 100

settings.register_profile("fuzz", max_examples=_MANY_EXAMPLES, print_blob=True)

_MOST_PROCESSES = 8
_LEFT_OUT = pytest.StashKey[list[str]]()
_LEFT_OUT_KEY = "left_out"
# What a test needs that not every machine has, by marker.
_NEEDS = {"gpu": "a real device, run with -m gpu", "image": "root and container tools, run make image-test"}


class _TestProcess(Protocol):
    """What pytest-xdist, which has no types, says of a process of the test run."""

    config: pytest.Config


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs what not every machine has, unless the marker expression speaks of it."""
    asked = str(config.getoption("markexpr"))
    unasked = [marker for marker in _NEEDS if marker not in asked]
    left_out = [item for item in items if any(item.get_closest_marker(marker) for marker in unasked)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        config.stash[_LEFT_OUT] = [f"{item.nodeid}: {_need(item)}" for item in left_out]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores, because many tests wait; few enough for the memory of a large machine."""
    return min(len(os.sched_getaffinity(0)) + 1, _MOST_PROCESSES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: _TestProcess) -> None:
    """Learn from a process of the test run what it left out: only they collect tests."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get(_LEFT_OUT_KEY, [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the main process of the test run what this one left out."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_LEFT_OUT_KEY] = session.config.stash.get(_LEFT_OUT, [])


def _need(item: pytest.Item) -> str:
    return next(need for marker, need in _NEEDS.items() if item.get_closest_marker(marker))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left out: a green run must not hide what it did not look at."""
    left_out = config.stash.get(_LEFT_OUT, [])
    if left_out:
        terminalreporter.section("left out, for what they need")
        for name in left_out:
            terminalreporter.write_line(name)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the NVML double, built once."""
    return build_nvml(tmp_path_factory.mktemp("nvml-double"))


@pytest.fixture
def nvml(tmp_path: Path, nvml_library: Path) -> Iterator[NvmlState]:
    """The NVML double in this very process, without devices: `open_nvml` opens a session with it."""
    with NvmlState(tmp_path / "nvml-state") as state, loaded(nvml_library, state):
        yield state


@pytest.fixture
def node(tmp_path: Path, nvml_library: Path) -> Iterator[Node]:
    """A node without cards, its kubelet not started."""
    with gpu_node(tmp_path, nvml_library) as made:
        yield made
