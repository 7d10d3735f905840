"""When the library may be open: by the sleep states of the kernel, the work of the devices and the time."""

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
# The format of driver 560 on a notebook. The format is from public reports, the values are assumed.
ENABLED = "Runtime D3 status:          Enabled (fine-grained)\nVideo Memory:               Active\n"


def load_samples(utilization: float | None = 0.0, processes: float | None = 0.0, uuid: str = "GPU-a") -> list[Sample]:
    values = ((catalog.UTILIZATION, utilization), (catalog.PROCESSES, processes))
    return [Sample(metric, uuid, value) for metric, value in values if value is not None]


class Bench:
    """A policy that is called as the collector calls it; the library is open when the policy allows it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sleepers = {A, B}
        self.checked: list[str] = []
        self.policy = SleepPolicy(self._can_sleep, self.clock)
        self.is_open = False

    def _can_sleep(self, address: str) -> bool:
        self.checked.append(address)
        return address in self.sleepers

    def poll(self, at: float, states: Mapping[str, bool], samples: list[Sample] | None = None) -> bool:
        """Poll; if the library is then open, it reports these samples, by default those of an idle device."""
        self.clock.now = at
        self.is_open = self.policy.may_be_open(states, is_open=self.is_open)
        if self.is_open:
            self.policy.record_work(load_samples() if samples is None else samples)
        return self.is_open

    def times_open(self, begin: int, end: int, states: Mapping[str, bool]) -> list[int]:
        """Poll every ten seconds, the end excluded; returns the times at which the library was open."""
        return [at for at in range(begin, end, 10) if self.poll(at, states)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_sleeping_device_is_not_read_until_it_is_awake(bench: Bench) -> None:
    assert not any(bench.poll(at, ASLEEP) for at in range(600))
    assert bench.poll(600, AWAKE)


def test_a_device_that_is_awake_is_read(bench: Bench) -> None:
    assert bench.poll(0, AWAKE)


def test_a_device_is_read_if_the_bus_reports_no_sleep_state(bench: Bench) -> None:
    assert bench.times_open(0, 200, {}) == list(range(0, 200, 10))


def test_an_idle_device_is_released_after_thirty_seconds_and_read_when_it_is_woken(bench: Bench) -> None:
    assert bench.times_open(0, 50, AWAKE) == [0, 10, 20]
    assert not bench.poll(50, ASLEEP)
    assert not bench.poll(1000, ASLEEP)
    assert bench.poll(1010, AWAKE)


@pytest.mark.parametrize("work", [load_samples(utilization=0.01), load_samples(processes=1)], ids=["load", "process"])
def test_work_restarts_the_thirty_seconds(bench: Bench, work: list[Sample]) -> None:
    assert bench.times_open(0, 30, AWAKE) == [0, 10, 20]
    bench.policy.record_work(work)
    bench.policy.record_work(load_samples())
    assert bench.times_open(30, 70, AWAKE) == [30, 40]


@pytest.mark.parametrize(
    "known", [load_samples(utilization=None), load_samples(processes=None), []], ids=["load", "process", "both"]
)
def test_a_device_that_may_have_work_is_not_released(bench: Bench, known: list[Sample]) -> None:
    assert all(bench.poll(at, AWAKE, known) for at in range(0, 600, 10))


def test_processes_may_be_read_less_often_than_utilization(bench: Bench) -> None:
    for at in range(30):
        assert bench.poll(at, AWAKE, load_samples(processes=0 if at % 10 == 0 else None))
    assert not bench.poll(30, AWAKE)


def test_a_device_that_cannot_sleep_is_never_released(bench: Bench) -> None:
    bench.sleepers = {A}
    awake = {A: False, B: False}
    assert bench.times_open(0, 600, awake) == list(range(0, 600, 10))


def test_only_an_idle_device_is_checked_for_the_ability_to_sleep(bench: Bench) -> None:
    for at in range(0, 600, 10):
        bench.poll(at, AWAKE, load_samples(utilization=0.5))
    assert bench.checked == []


def test_a_device_woken_right_after_it_fell_asleep_is_read_at_once(bench: Bench) -> None:
    bench.times_open(0, 30, AWAKE)
    assert not bench.poll(30, AWAKE)
    assert not bench.poll(35, ASLEEP)
    assert bench.poll(36, AWAKE)


def test_a_device_that_stays_awake_for_a_minute_is_read_again_and_kept_open(bench: Bench) -> None:
    assert bench.times_open(0, 30, AWAKE) == [0, 10, 20]
    assert bench.times_open(30, 90, AWAKE) == []
    assert bench.times_open(90, 6000, AWAKE) == list(range(90, 6000, 10))


def test_a_device_is_released_again_after_work(bench: Bench) -> None:
    bench.times_open(0, 200, AWAKE)
    bench.policy.record_work(load_samples(utilization=0.9))
    assert bench.times_open(200, 240, AWAKE) == [200, 210, 220]


def test_a_device_is_released_again_after_sleep(bench: Bench) -> None:
    bench.times_open(0, 200, AWAKE)
    assert not bench.poll(200, ASLEEP)
    assert bench.times_open(210, 260, AWAKE) == [210, 220, 230]


def test_a_device_that_falls_asleep_while_the_library_is_open_is_released(bench: Bench) -> None:
    bench.sleepers = set()
    assert bench.poll(0, AWAKE)
    assert not bench.poll(10, ASLEEP)


def test_a_sleeping_device_beside_a_busy_one_is_known(bench: Bench) -> None:
    assert bench.poll(0, {A: False, B: True}, load_samples(utilization=0.5))
    assert bench.policy.asleep == {B}
    assert bench.poll(10, {A: False, B: False}, load_samples(utilization=0.5))
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
def test_the_sleep_state_is_read_from_the_kernel(machine: Machine, status: str, *, sleeps: bool) -> None:
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
    count = Sample(catalog.ERRORS, uuid, 3, labels=("xid", "79", "hardware"))

    reading = closed_reading([entry], {uuid: [count]}.__getitem__, EVERY)
    assert [(device.device, device.lost) for device in reading.devices] == [(A, False)]
    assert [sample.metric for sample in reading.samples] == [catalog.INFO, catalog.ERRORS]
    assert (reading.faults, reading.partitions) == ((), ())

    assert closed_reading([entry], {uuid: [count]}.__getitem__, FAST).samples == (count,)
    assert Cadence.FAST is catalog.ERRORS.cadence
