"""What happens to devices, as lines of the log with the names of the device and its pods."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from collectors.condition import Condition, CriticalEvent
from exporter.device_log import DeviceLog
from exporter.logs import LogFormat, LogLevel, configure
from exporter.snapshot import AttributionHealth, Snapshot
from tests.doubles.collectors import Clock, gpu, info
from tests.doubles.status_snapshot import collector, edge

HOUR = 3600.0
FALLEN = Condition("failed", "XID 79: it has fallen off the bus", "Power-cycle the node")
WORN = Condition("degraded", "Bad memory", "Reset it later")
LINKS = Condition("degraded", "A link failed", "See the fabric")
ANSWERS = (AttributionHealth("podresources", up=True, last_success_timestamp_seconds=None),)
OK: Mapping[str, str] = {"g": "ok"}


class Written:
    """Collects lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines += text.splitlines()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written(clock: Clock) -> Iterator[Written]:
    """The lines that pass the limiter, as text."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    lines = Written()
    configure(LogLevel.INFO, LogFormat.TEXT, lines, clock)
    yield lines
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def log(clock: Clock) -> DeviceLog:
    return DeviceLog(clock)


def node(*conditions: Condition, lost: bool = False, stuck: bool = False) -> Snapshot:
    """One device that is allocated to two pods."""
    health = replace(collector("acme", 1), stuck={"g": 3.0} if stuck else {}, losses={"g": "GPU_IS_LOST (15)"})
    return Snapshot(
        {"g": gpu("g", lost=lost)},
        samples=(info("g", index="3"),),
        allocations=(edge("g", "train-1"), edge("g", "train-0"), edge("other", "chat-0")),
        collectors=(health,),
        attribution=ANSWERS,
        conditions={"g": conditions} if conditions else {},
    )


def body(line: str) -> str:
    """A line without its time."""
    return line.partition(" ")[2]


NAMES = 'device=dev-g index=3 uuid=g pods="ml/train-0, ml/train-1"'


def test_a_loss_names_the_device_its_pods_the_reason_and_the_next_step(log: DeviceLog, written: Written) -> None:
    log.follow(node(FALLEN, lost=True), {"g": "failed"})
    log.follow(node(FALLEN, lost=True), {"g": "failed"})
    assert list(map(body, written.lines)) == [
        (
            f'level=error logger=exporter.device_log msg="device lost" {NAMES} '
            'reason="XID 79: it has fallen off the bus" do="Power-cycle the node" detail="GPU_IS_LOST (15)"'
        )
    ]


def test_a_device_without_an_index_has_no_empty_field(log: DeviceLog, written: Written) -> None:
    log.follow(replace(node(FALLEN, lost=True), samples=()), {"g": "failed"})
    assert "device=dev-g uuid=g pods=" in written.lines[0]


def test_a_return_says_how_long_it_lasted(log: DeviceLog, written: Written, clock: Clock) -> None:
    log.follow(node(FALLEN, lost=True), {"g": "failed"})
    clock.now = 90.4
    log.follow(node(), OK)
    log.follow(node(), OK)
    assert list(map(body, written.lines[1:])) == [
        f'level=info logger=exporter.device_log msg="device back" {NAMES} lasted=1m30s before=lost now=ok'
    ]


def test_a_return_of_a_device_that_is_degraded_is_followed_by_that(log: DeviceLog, written: Written) -> None:
    log.follow(node(FALLEN, lost=True), {"g": "failed"})
    log.follow(node(WORN), {"g": "degraded"})
    back, degraded = written.lines[1:]
    assert ('msg="device back"' in back, 'msg="device degraded"' in degraded) == (True, True)
    assert "level=warning" in degraded


def test_all_of_many_devices_that_are_lost_at_once_have_a_line(log: DeviceLog, written: Written) -> None:
    names = [f"g{number}" for number in range(64)]
    devices = {name: gpu(name, lost=True) for name in names}
    log.follow(Snapshot(devices, attribution=ANSWERS, conditions=dict.fromkeys(names, (FALLEN,))), {})
    assert [line.partition(" uuid=")[2].partition(" ")[0] for line in written.lines] == names


def test_changes_of_the_state_are_one_line_each(log: DeviceLog, written: Written) -> None:
    for state, conditions in (
        ("ok", ()),
        ("degraded", (WORN,)),
        ("degraded", (WORN,)),
        ("degraded", (LINKS, WORN)),
        ("degraded", (WORN,)),
        ("failed", (FALLEN, WORN)),
        ("ok", ()),
        ("ok", ()),
    ):
        log.follow(node(*conditions), {"g": state})
    found = [(line.split()[1], line.partition('msg="')[2].partition('"')[0]) for line in written.lines]
    assert found == [
        ("level=warning", "device degraded"),
        ("level=warning", "device degraded"),  # for one more reason
        ("level=error", "device failed"),
        ("level=info", "device ok"),
    ]
    assert 'reason="A link failed; Bad memory"' in written.lines[1]


def test_a_state_that_is_not_known_for_a_while_is_no_change(log: DeviceLog, written: Written) -> None:
    for states in ({"g": "degraded"}, {}, {"g": "degraded"}):
        log.follow(node(WORN), states)
    assert len(written.lines) == 1


def test_while_it_lasts_there_is_a_reminder_each_hour(log: DeviceLog, written: Written, clock: Clock) -> None:
    for seconds in range(0, int(3 * HOUR), 60):
        clock.now = float(seconds)
        log.follow(node(WORN), {"g": "degraded"})
    assert ["still" in line for line in written.lines] == [False, True, True]
    assert written.lines[1].endswith('reason="Bad memory" do="Reset it later" lasted=1h')
    assert "level=warning" in written.lines[2]


def test_a_stuck_device_is_as_severe_as_in_the_check(log: DeviceLog, written: Written) -> None:
    log.follow(node(stuck=True), OK)
    log.follow(node(), OK)
    stuck, recovered = map(body, written.lines)
    assert stuck.startswith(f'level=error logger=exporter.device_log msg="device stuck" {NAMES} reason="A driver call')
    assert 'msg="device recovered"' in recovered


def test_events_have_their_code_their_meaning_and_the_next_step(log: DeviceLog, written: Written) -> None:
    event = CriticalEvent("g", "xid", "79", "hardware", FALLEN.text, FALLEN.do, "failed", 2)
    program = CriticalEvent("g", "xid", "31", "application", "A program", "Ask its owner")
    log.add((event, program))
    log.follow(node(), OK)
    log.follow(node(), OK)
    assert list(map(body, written.lines)) == [
        (
            f'level=error logger=exporter.device_log msg="critical event" {NAMES} source=xid code=79 class=hardware '
            'events=2 reason="XID 79: it has fallen off the bus" do="Power-cycle the node"'
        ),
        (
            f'level=warning logger=exporter.device_log msg="critical event" {NAMES} source=xid code=31 '
            'class=application events=1 reason="A program" do="Ask its owner"'
        ),
    ]


def test_many_events_of_one_code_hide_none_of_another(log: DeviceLog, written: Written) -> None:
    often = CriticalEvent("g", "xid", "31", "application", "A program", "Ask its owner")
    for _ in range(50):
        log.add((often,))
        log.follow(node(), OK)
    log.add((often._replace(code="79"),))
    log.follow(node(), OK)
    assert [line for line in written.lines if "code=79" in line] == written.lines[-1:]
    assert len(written.lines) < 10


def test_the_pods_are_unknown_while_allocations_are(log: DeviceLog, written: Written) -> None:
    log.follow(replace(node(WORN), allocations=None), {"g": "degraded"})
    assert " pods=unknown " in written.lines[0]


def test_a_device_that_is_not_listed_any_more_is_forgotten(log: DeviceLog, written: Written) -> None:
    log.follow(node(WORN), {"g": "degraded"})
    log.follow(Snapshot(attribution=ANSWERS), {})
    log.follow(node(WORN), {"g": "degraded"})
    assert len(written.lines) == 2


def test_the_first_lines_wait_for_the_first_answer_about_pods(log: DeviceLog, written: Written, clock: Clock) -> None:
    log.add((CriticalEvent("g", "xid", "79", "hardware", FALLEN.text, FALLEN.do, "failed"),))
    silent = replace(node(FALLEN), attribution=(), allocations=None)
    log.follow(silent, {"g": "failed"})
    assert written.lines == []
    log.follow(node(FALLEN), {"g": "failed"})
    assert [NAMES in line for line in written.lines] == [True, True]

    another = DeviceLog(clock)
    clock.now = 5.0
    another.follow(silent, {"g": "failed"})
    assert " pods=unknown " in written.lines[2]
