"""The exposition of one AMD card of each kind, whole and partitioned, read by the real collector from a tree of files.

`pytest tests/golden --update-golden` rewrites the files.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from collectors.amd import SPEC
from collectors.metric import Metric, Subject
from tests.doubles.amd_cards import (
    APU,
    MI210,
    MI250X,
    MI250X_SECOND_DIE,
    MI300X,
    MI300X_DESCRIBED,
    MI355X,
    RX_7900_XTX,
    AmdCard,
)
from tests.doubles.amd_host import AmdHost, amd_host
from tests.doubles.exporter_process import ExporterProcess, parse, wait_until
from tests.doubles.prometheus import promtool_check
from tests.golden.test_golden import EVERYTHING, steady

FOLDER = Path(__file__).parent / "amd"
_ADDRESS = "0000:05:00.0"
# The exporter integrates the power of these, from its start.
_WITHOUT_COUNTER = ("apu", "rx7900xtx")
_ENERGY = re.compile(r"^(accelerator_device_energy_joules_total\{.*\}) .*$", re.MULTILINE)
_LATER = {"cycles": 3_610_000, "clock": 3_610_000_000_000, "ppt": 36_500}


class Kind(NamedTuple):
    """A card, its partition modes, and the speed and width of its slot."""

    card: AmdCard
    mode: tuple[str, str] = ("", "")
    slot: tuple[str, int] | None = None


KINDS = {
    "apu": Kind(APU),
    "mi210": Kind(MI210),
    "mi250x": Kind(MI250X),
    "mi250x-second-die": Kind(MI250X_SECOND_DIE),
    "mi300x": Kind(MI300X),
    "mi300x-cpx-nps4": Kind(MI300X, ("CPX", "NPS4")),
    "mi300x-gpu-metrics-1.9": Kind(MI300X_DESCRIBED),
    "mi300x-gpu-metrics-1.9-cpx-nps4": Kind(MI300X_DESCRIBED, ("CPX", "NPS4")),
    "mi355x": Kind(MI355X),
    "rx7900xtx": Kind(RX_7900_XTX, slot=("8.0 GT/s PCIe", 8)),  # the card allows generation 4 and 16 lanes
}
# The families that a card does not report. The APU is that of a laptop.
_NO_RAS = {"memory_errors_total", "memory_repair_pending", "memory_retired_pages", "errors_total"}
_NO_XGMI = {"interconnect_bytes_total", "interconnect_links", "interconnect_bandwidth_limit_bytes_per_second"}
_NO_FAN = {"fan_speed_ratio"}
_NO_CYCLES = {"throttle_seconds_total"}
_NO_BANDWIDTH, _NO_CONTROLLERS = {"memory_bandwidth_utilization_ratio"}, {"memory_controller_activity_ratio"}
_NO_MI200 = _NO_BANDWIDTH | {"engine_utilization_ratio"} | (_NO_XGMI - {"interconnect_links"}) | _NO_FAN | _NO_CYCLES
_POWER = {"power_watts", "power_limit_watts", "power_default_limit_watts", "power_max_limit_watts"}
_ALWAYS = {"error_last_timestamp_seconds"}  # nothing has happened
ABSENT = {
    "apu": _NO_RAS
    | _NO_XGMI
    | _NO_FAN
    | _NO_CYCLES
    | _NO_BANDWIDTH
    | _NO_CONTROLLERS
    | {"throttle_active", "mode", "pcie_replays_total"}
    | {"engine_utilization_ratio", "temperature_limit_celsius", "power_min_limit_watts"}
    | (_POWER - {"power_watts"})
    | {"pcie_link_generation", "pcie_link_width", "pcie_link_max_generation", "pcie_link_max_width"},
    "mi210": _NO_MI200,
    "mi250x": _NO_MI200,
    # The first die reports the power of the package; without it there is nothing to integrate either.
    "mi250x-second-die": _NO_MI200 | _POWER | {"power_min_limit_watts", "energy_joules_total"},
    "mi300x": _NO_FAN | _NO_CONTROLLERS,
    "mi300x-cpx-nps4": _NO_FAN | _NO_CONTROLLERS,
    "mi300x-gpu-metrics-1.9": _NO_FAN | _NO_CONTROLLERS,
    "mi300x-gpu-metrics-1.9-cpx-nps4": _NO_FAN | _NO_CONTROLLERS,
    "mi355x": _NO_FAN | _NO_CONTROLLERS,
    "rx7900xtx": _NO_BANDWIDTH | _NO_RAS | _NO_XGMI | _NO_CYCLES | {"mode"},
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[AmdHost]:
    with amd_host(tmp_path) as made:
        yield made


def _settled(running: ExporterProcess, *, by_cycles: bool) -> str | None:
    """The exposition once it is complete: 500 of 10,000 cycles in ten seconds, where the card counts cycles."""
    body = running.get("/metrics")[2].decode()
    scrape = parse(body)
    held = scrape.value("accelerator_device_throttle_seconds_total", reason="power")
    complete = not by_cycles or (held == pytest.approx(0.5) and scrape.find("accelerator_device_throttle_active"))
    return body if complete and scrape.find("accelerator_device_info") else None


@pytest.mark.parametrize("name", KINDS)
def test_exposition(name: str, host: AmdHost, request: pytest.FixtureRequest) -> None:
    kind = KINDS[name]
    gpu = host.tree.add(kind.card, _ADDRESS)
    if kind.slot is not None:
        gpu.put_in_slot(*kind.slot)
    if kind.mode != ("", ""):
        gpu.set_partition_mode(*kind.mode)
    host.processes.compute(10, gpu, gpu.partitions - 1, memory=1 << 30, queues=1)
    with host.running(EVERYTHING) as running:
        by_cycles = "cycles" in kind.card.table_fields
        wait_until(lambda: _settled(running, by_cycles=False))
        if by_cycles:
            gpu.write_table(**_LATER)
        found = steady(wait_until(lambda: _settled(running, by_cycles=by_cycles)))
    if name in _WITHOUT_COUNTER:
        found = _ENERGY.sub(r"\1 0.0", found)
    golden = FOLDER / f"{name}.prom"
    if request.config.getoption("--update-golden"):
        golden.write_text(found)
    assert found == golden.read_text()


def _stems(text: str, subject: Subject) -> set[str]:
    """The families of a subject, without its prefix."""
    prefix = f"{subject.value}_"
    return {series.name.removeprefix(prefix) for series in parse(text) if series.name.startswith(prefix)}


def _supplied(rows: Sequence[Metric]) -> set[str]:
    return {row.stem for row in rows if not row.option}


@pytest.mark.parametrize("name", KINDS)
def test_card_lacks_exactly_its_known_missing_families(name: str) -> None:
    text = (FOLDER / f"{name}.prom").read_text()
    assert _supplied(SPEC.metrics) - _stems(text, Subject.DEVICE) - _ALWAYS == ABSENT[name]
    if KINDS[name].mode != ("", ""):
        assert _supplied(SPEC.partition_metrics) - _stems(text, Subject.PARTITION) == set()


@pytest.mark.parametrize("name", KINDS)
def test_golden_file_passes_promtool(name: str) -> None:
    assert promtool_check((FOLDER / f"{name}.prom").read_text()) == ""


def test_no_golden_file_is_unused() -> None:
    assert {file.stem for file in FOLDER.glob("*.prom")} == set(KINDS)
