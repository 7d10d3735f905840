"""The bench of each registered collector."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.contract.amd_bench import AmdBench
from tests.contract.bench import Bench
from tests.contract.nvidia_bench import NvidiaBench


def _nvidia(request: pytest.FixtureRequest, path: Path) -> AbstractContextManager[Bench]:
    return NvidiaBench(path, request.getfixturevalue("nvml_library"))


def _amd(_: pytest.FixtureRequest, path: Path) -> AbstractContextManager[Bench]:
    return AmdBench(path)


_BENCHES: Mapping[str, Callable[[pytest.FixtureRequest, Path], AbstractContextManager[Bench]]] = {
    "amd": _amd,
    "nvidia": _nvidia,
}


def bench_of(name: str, request: pytest.FixtureRequest, path: Path) -> AbstractContextManager[Bench]:
    """The bench of a collector; a collector without one fails the test.

    Args:
        name: The collector.
        request: For fixtures that a bench needs.
        path: The directory of its files.
    """
    if name not in _BENCHES:
        pytest.fail(
            f"the registered collector {name!r} has no bench, so the contract suite cannot test it: add a "
            "class like NvidiaBench to tests/contract and name it in tests/contract/benches.py; if it comes from "
            "another package, uninstall it here and let its own tests inherit TroubleRules and AbsenceRules, as "
            "docs/adding-a-collector.md shows",
            pytrace=False,
        )
    return _BENCHES[name](request, path)
