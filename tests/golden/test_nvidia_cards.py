"""The exposition of one card of each generation, and the reason for each family that is missing.

`pytest tests/golden --update-golden` rewrites the files.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from collectors.metric import Metric, Subject
from collectors.nvidia import SPEC
from tests.doubles.exporter_process import ExporterProcess, exporter, parse, wait_until
from tests.doubles.node import Node
from tests.doubles.nvml_cards import CARDS, Card, card
from tests.doubles.prometheus import promtool_check
from tests.golden.test_golden import EVERYTHING, steady

FOLDER = Path(__file__).parent / "nvidia"
# Activity needs two samples, and fallback queries need a second poll.
_POLLS = ("--poll.fast-interval=200ms", "--poll.medium-interval=200ms", "--poll.slow-interval=200ms")
_LAST_TO_COME = {
    "cycles": "accelerator_device_pipe_elapsed_cycles_total",
    "gpm": "accelerator_device_sm_occupancy_ratio",
}


def _settled(running: ExporterProcess, of_card: Card, node: Node) -> bytes | None:
    last = next((name for key, name in _LAST_TO_COME.items() if getattr(of_card, key)), "accelerator_device_info")
    body = running.get("/metrics")[2]
    polled_twice = node.nvml.calls("nvmlDeviceGetCount_v2") > 3
    partitions_ready = not (of_card.mig and of_card.gpm) or b"accelerator_partition_sm_occupancy_ratio{" in body
    return body if last.encode() + b"{" in body and polled_twice and partitions_ready else None


def stems(text: str, subject: Subject) -> set[str]:
    """The families of a subject, without its prefix."""
    prefix = f"{subject.value}_"
    return {series.name.removeprefix(prefix) for series in parse(text) if series.name.startswith(prefix)}


def supplied(rows: Sequence[Metric]) -> set[str]:
    """The stems of the families that the collector can supply without an option."""
    return {row.stem for row in rows if not row.option}


@pytest.mark.parametrize("name", CARDS)
def test_exposition(name: str, node: Node, request: pytest.FixtureRequest) -> None:
    of_card = card(name)
    node.nvml.driver_version = of_card.driver
    node.add(of_card.device())
    with exporter(node.path, *node.flags, *_POLLS, EVERYTHING, environment=node.environment) as running:
        found = steady(wait_until(lambda: _settled(running, of_card, node)).decode())
    golden = FOLDER / f"{name}.prom"
    if request.config.getoption("--update-golden"):
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize("name", CARDS)
def test_each_missing_family_has_a_reason_and_no_reason_is_unused(name: str) -> None:
    text = (FOLDER / f"{name}.prom").read_text()
    assert supplied(SPEC.metrics) - stems(text, Subject.DEVICE) == card(name).absent.keys()
    missing = supplied(SPEC.partition_metrics) - stems(text, Subject.PARTITION) if card(name).mig else set()
    assert missing == card(name).partition_absent.keys()


@pytest.mark.parametrize("name", CARDS)
def test_golden_file_passes_promtool(name: str) -> None:
    assert promtool_check((FOLDER / f"{name}.prom").read_text()) == ""


def test_no_golden_file_is_unused() -> None:
    assert {file.stem for file in FOLDER.glob("*.prom")} == set(CARDS)
