"""When the library may be open: by the kernel's word, by what an open library told, and by the clock."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Node, Sample
from collectors.metric import Cadence
from collectors.nvidia import identity
from collectors.nvidia.devices import DeviceEntry
from collectors.nvidia.sleep import SleepPolicy, can_sleep, closed_reading, sleep_states
from collectors.pci import functions_of
from collectors.sysfs import Root
from tests.doubles.collectors import EVERY, FAST, Clock
from tests.doubles.sysfs_tree import NVIDIA, SysfsTree

A, B = "0000:01:00.0", "0000:02:00.0"
ASLEEP = {A: True}
AWAKE = {A: False}
# As driver 560 of a notebook writes it; the form is recorded in public reports, the values are assumed.
ENABLED = "Runtime D3 status:          Enabled (fine-grained)\nVideo Memory:               Active\n"


def told(utilization: float | None = 0.0, processes: float | None = 0.0, uuid: str = "GPU-a") -> list[Sample]:
    values = ((catalog.UTILIZATION, utilization), (catalog.PROCESSES, processes))
    return [Sample(metric, uuid, value) for metric, value in values if value is not None]


class Bench:
    """A policy that is looked at as a collector does; whether the library is open follows from its word."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sleepers = {A, B}
        self.asked: list[str] = []
        self.policy = SleepPolicy(self._can_sleep, self.clock)
        self.is_open = False

    def _can_sleep(self, address: str) -> bool:
        self.asked.append(address)
        return address in self.sleepers

    def look(self, at: float, seen: Mapping[str, bool], samples: list[Sample] | None = None) -> bool:
        """Look; where the library is then open, it tells these samples, of an idle device if there are none."""
        self.clock.now = at
        self.is_open = self.policy.may_be_open(seen, is_open=self.is_open)
        if self.is_open:
            self.policy.record_work(told() if samples is None else samples)
        return self.is_open

    def times_open(self, begin: int, end: int, seen: Mapping[str, bool]) -> list[int]:
        """Look every ten seconds, the last of them excluded; returns when the library was open."""
        return [at for at in range(begin, end, 10) if self.look(at, seen)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_sleeping_device_is_not_read_until_it_is_awake(bench: Bench) -> None:
    assert not any(bench.look(at, ASLEEP) for at in range(600))
    assert bench.look(600, AWAKE)


def test_a_device_that_is_awake_is_read(bench: Bench) -> None:
    assert bench.look(0, AWAKE)


def test_a_device_is_read_if_the_bus_reports_no_sleep_state(bench: Bench) -> None:
    assert bench.times_open(0, 200, {}) == list(range(0, 200, 10))


def test_an_idle_device_is_released_after_thirty_seconds_and_read_when_it_is_woken(bench: Bench) -> None:
    assert bench.times_open(0, 50, AWAKE) == [0, 10, 20]
    assert not bench.look(50, ASLEEP)
    assert not bench.look(1000, ASLEEP)
    assert bench.look(1010, AWAKE)


@pytest.mark.parametrize("work", [told(utilization=0.01), told(processes=1)], ids=["load", "process"])
def test_work_restarts_the_thirty_seconds(bench: Bench, work: list[Sample]) -> None:
    assert bench.times_open(0, 30, AWAKE) == [0, 10, 20]
    bench.policy.record_work(work)
    bench.policy.record_work(told())
    assert bench.times_open(30, 70, AWAKE) == [30, 40]


@pytest.mark.parametrize("known", [told(utilization=None), told(processes=None), []], ids=["load", "process", "both"])
def test_a_device_that_may_have_work_is_not_released(bench: Bench, known: list[Sample]) -> None:
    assert all(bench.look(at, AWAKE, known) for at in range(0, 600, 10))


def test_processes_may_be_read_less_often_than_utilization(bench: Bench) -> None:
    for at in range(30):
        assert bench.look(at, AWAKE, told(processes=0 if at % 10 == 0 else None))
    assert not bench.look(30, AWAKE)


def test_a_device_that_cannot_sleep_is_never_released(bench: Bench) -> None:
    bench.sleepers = {A}
    awake = {A: False, B: False}
    assert bench.times_open(0, 600, awake) == list(range(0, 600, 10))


def test_only_an_idle_device_is_checked_for_the_ability_to_sleep(bench: Bench) -> None:
    for at in range(0, 600, 10):
        bench.look(at, AWAKE, told(utilization=0.5))
    assert bench.asked == []


def test_a_device_woken_right_after_it_fell_asleep_is_read_at_once(bench: Bench) -> None:
    bench.times_open(0, 30, AWAKE)
    assert not bench.look(30, AWAKE)
    assert not bench.look(35, ASLEEP)
    assert bench.look(36, AWAKE)


def test_a_device_that_stays_awake_for_a_minute_is_read_again_and_kept_open(bench: Bench) -> None:
    assert bench.times_open(0, 30, AWAKE) == [0, 10, 20]
    assert bench.times_open(30, 90, AWAKE) == []
    assert bench.times_open(90, 6000, AWAKE) == list(range(90, 6000, 10))


def test_a_device_is_released_again_after_work(bench: Bench) -> None:
    bench.times_open(0, 200, AWAKE)
    bench.policy.record_work(told(utilization=0.9))
    assert bench.times_open(200, 240, AWAKE) == [200, 210, 220]


def test_a_device_is_released_again_after_sleep(bench: Bench) -> None:
    bench.times_open(0, 200, AWAKE)
    assert not bench.look(200, ASLEEP)
    assert bench.times_open(210, 260, AWAKE) == [210, 220, 230]


def test_a_device_that_falls_asleep_while_the_library_is_open_is_released(bench: Bench) -> None:
    bench.sleepers = set()
    assert bench.look(0, AWAKE)
    assert not bench.look(10, ASLEEP)


def test_a_sleeping_device_beside_a_busy_one_is_known(bench: Bench) -> None:
    assert bench.look(0, {A: False, B: True}, told(utilization=0.5))
    assert bench.policy.asleep == {B}
    assert bench.look(10, {A: False, B: False}, told(utilization=0.5))
    assert bench.policy.asleep == frozenset()


class Machine:
    """A node with one GPU that runtime power management may put to sleep."""

    def __init__(self, path: Path) -> None:
        self.tree = SysfsTree(path / "sys")
        self.tree.add_pci(A)
        self.procfs = path / "proc" / "driver" / "nvidia" / "gpus" / A
        self.procfs.mkdir(parents=True)
        self.node = Node(self.tree.root, Root(path / "proc"), "machine")

    def power(self, **files: str) -> None:
        for name, text in files.items():
            self.tree.write(f"{text}\n".encode(), "bus", "pci", "devices", A, "power", name)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("status", "sleeps"),
    [
        ("suspended", True),
        ("suspending", True),
        ("active", False),
        ("resuming", False),
        ("unsupported", False),
        ("error", False),
    ],
)
def test_the_sleep_state_is_read_from_the_kernel(machine: Machine, status: str, sleeps: bool) -> None:  # noqa: FBT001 - a table
    machine.power(runtime_status=status)
    assert sleep_states(machine.node, [A, B]) == {A: sleeps, B: False}


@pytest.mark.parametrize(
    ("control", "driver", "sleeps"),
    [
        ("auto", ENABLED, True),
        ("auto", "Runtime D3 status:          Enabled (coarse-grained)\n", True),
        ("auto", "Runtime D3 status:          Disabled by default\n", False),
        ("auto", "Runtime D3 status:          Not supported\n", False),
        ("auto", "Video Memory:               Enabled\n", False),
        ("auto", "", False),
        ("on", ENABLED, False),
    ],
)
def test_a_device_can_sleep_where_kernel_and_driver_allow_it(
    machine: Machine,
    control: str,
    driver: str,
    sleeps: bool,  # noqa: FBT001 - a table
) -> None:
    machine.power(control=control)
    (machine.procfs / "power").write_text(driver)
    assert can_sleep(machine.node, A) is sleeps


def test_a_device_without_the_power_file_of_the_driver_cannot_sleep(machine: Machine) -> None:
    machine.power(control="auto")
    assert not can_sleep(machine.node, A)


def test_a_sleeping_device_has_its_identity_and_its_event_counts_and_no_state(machine: Machine) -> None:
    [function] = functions_of(machine.node.sysfs, NVIDIA)
    entry = DeviceEntry(identity.from_pci(function, machine.node), None, asleep=True)
    uuid = entry.device.uuid
    past = Sample(catalog.ERRORS, uuid, 3, labels=("xid", "79", "hardware"))

    reading = closed_reading([entry], {uuid: [past]}.__getitem__, EVERY)
    assert [(device.device, device.lost) for device in reading.devices] == [(A, False)]
    assert [sample.metric for sample in reading.samples] == [catalog.INFO, catalog.ERRORS]
    assert (reading.faults, reading.partitions) == ((), ())

    assert closed_reading([entry], {uuid: [past]}.__getitem__, FAST).samples == (past,)
    assert Cadence.FAST is catalog.ERRORS.cadence
