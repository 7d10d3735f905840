"""The scenario `failing`: the page and the log name device, cause, pods and next step of each fault."""

import logging
from dataclasses import dataclass, field

import pytest

from collectors.contract import UnavailableError
from collectors.simulated import inventory, load_scenario
from exporter.assembler import Assembler, Clocks
from exporter.attribution.simulated import allocations_at
from exporter.poller import CallEnded
from exporter.snapshot import Snapshot
from exporter.web.status_page import About, render
from exporter.web.status_view import build_view
from tests.doubles.collectors import EVERY, LIMITS, Clock, ended, started
from tests.doubles.page_text import PageText
from tests.doubles.simulated_node import EPOCH, SimulatedNode

NAME = "simulated"
ADDRESS = "0000:0a:00.0"
HANG = 640
SECONDS = (*range(51), *range(96, 126), *range(296, 306), *range(555, 570), *range(578, 584), *range(638, HANG + 16))
PAGES = frozenset({10, 50, 110, 121, 305, 565, 655})


@dataclass
class Played:
    """What was logged, with the second, and the page at some seconds."""

    lines: list[tuple[int, str, dict[str, object]]] = field(default_factory=list)
    pages: dict[int, PageText] = field(default_factory=dict)

    def of(self, message: str) -> list[tuple[int, dict[str, object]]]:
        return [(second, fields) for second, text, fields in self.lines if text == message]


class Recorder(logging.Handler):
    """Keeps what is logged with the second of the scenario."""

    def __init__(self, clock: Clock, played: Played) -> None:
        super().__init__(logging.INFO)
        self._clock, self._played = clock, played

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"level": record.levelname.lower(), **getattr(record, "fields", {})}
        self._played.lines.append((int(self._clock.now), record.getMessage(), fields))


def page(snapshot: Snapshot, second: int) -> PageText:
    about = About("node-1", "1", (), "accelerator-exporter check")
    return PageText(render(about, build_view(snapshot, EPOCH + second, 0.0), ""))


@pytest.fixture(scope="module")
def played() -> Played:
    """The scenario around each fault, until its hang has lasted for 16 seconds."""
    scenario, clock, found = load_scenario("failing"), Clock(), Played()
    node, devices = SimulatedNode(scenario), inventory(scenario, "node-1")
    assembler = Assembler([NAME], ("nvidia.com/",), LIMITS, Clocks(clock, lambda: EPOCH + clock.now))
    logger, recorder = logging.getLogger("exporter"), Recorder(clock, found)
    before = logger.level
    logger.addHandler(recorder)
    logger.setLevel(logging.INFO)
    for second in SECONDS:
        clock.now = float(second)
        if second < HANG:
            assembler.apply(allocations_at(scenario, devices, second))
            assembler.apply(call(node, second))
        elif second == HANG:
            assembler.apply(started(float(second), NAME))
        snapshot = assembler.snapshot()
        if second in PAGES:
            found.pages[second] = page(snapshot, second)
    logger.removeHandler(recorder)
    logger.setLevel(before)
    return found


def call(node: SimulatedNode, second: int) -> CallEnded:
    try:
        return ended(float(second), node.read(second), EVERY, NAME, took=0.0)
    except UnavailableError as error:
        return CallEnded(NAME, float(second), float(second), EVERY, None, error.reason, str(error))


def attention(played: Played, second: int) -> list[list[str]]:
    """The rows about what is not well."""
    return played.pages[second].attention[1:]


def test_each_fault_is_a_line_at_its_second_with_device_pods_reason_and_next_step(played: Played) -> None:
    found = [(second, text, fields["level"]) for second, text, fields in played.lines if "uuid" in fields]
    assert found == [
        (100, "critical event", "warning"),
        (105, "device degraded", "warning"),
        (120, "critical event", "error"),
        (120, "device lost", "error"),
        (300, "device back", "info"),
    ]
    for _, text, fields in played.lines:
        if "uuid" in fields:
            assert (fields["device"], fields["index"], fields["pods"]) == (ADDRESS, "2", "research/finetune-2")
            assert text == "device back" or (fields["reason"] and fields["do"])


def test_the_lines_name_the_cause(played: Played) -> None:
    (_, degraded), (_, lost) = played.of("device degraded") + played.of("device lost")
    assert "XID 48: Double-bit memory error, not corrected" in str(degraded["reason"])
    assert str(lost["reason"]).startswith("The device no longer answers. Before that: XID 79: The device has fallen")
    assert str(lost["do"]).startswith("Drain the node and power-cycle it.")
    ((_, back),) = played.of("device back")
    assert (back["lasted"], back["now"]) == ("3m", "ok")


@pytest.mark.parametrize(
    ("second", "state", "why"),
    [
        (50, "ok, slowed down", "Clocks are reduced: the device is too hot."),
        (110, "degraded", "XID 48: Double-bit memory error, not corrected."),
        (121, "lost\nnot responding", "Before that: XID 79: The device has fallen off the bus"),
    ],
)
def test_the_page_has_the_device_with_its_reason_and_its_pod(played: Played, second: int, state: str, why: str) -> None:
    [row] = attention(played, second)
    assert row[0].startswith(f"index 2, {ADDRESS}\nGPU-")
    assert row[1] == state
    assert why in row[2]
    assert row[3]
    assert row[4] == "research / finetune-2 / trainer"


def test_before_the_faults_nothing_needs_attention_and_after_them_only_the_errors_of_the_last_minutes(
    played: Played,
) -> None:
    assert attention(played, 10) == []
    [row] = attention(played, 305)
    assert row[1] == "ok, recent error"
    assert "ago: XID 79: The device has fallen off the bus." in row[2]
    assert row[3].startswith("Its state is ok now: ")


def test_a_collector_that_fails_says_why(played: Played) -> None:
    row, *_ = attention(played, 565)
    assert row[:2] == ["collector simulated", "down"]
    assert row[2].startswith("unavailable: simulated fault: every call fails from second 560 to 580")
    assert row[2].endswith("The last reading was 6s ago; 4 devices are not read.")
    assert row[4] == "those of 4 devices below"


def test_a_hung_collector_is_not_green(played: Played) -> None:
    page = played.pages[655]
    row, *_ = page.attention[1:]
    assert (row[:2], row[2].partition("\n")[0]) == (["collector simulated", "late"], "A driver call has not returned.")
    assert [cells[1] for cells in page.cells if cells[0].startswith("NVIDIA")] == ["not read\nas of 16s ago"] * 4
