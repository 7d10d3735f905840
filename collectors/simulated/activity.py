"""What runs in a given second: load, memory and processes of every device and partition. Pure functions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from collectors.simulated.scenario import PodPlan, Scenario, Slot, Work

_FIRST_PID = 4_000
_MOST_MEMORY = 0.98
_IDLE_MEMORY = 0.9  # fraction of the memory used under full load


class Job(NamedTuple):
    """Work on one slot.

    Attributes:
        work: The work.
        position: Its position in its group, for the stagger of loads.
        pod: The pod that does it; None for work that always runs.
        pids: Ids of its processes.
    """

    work: Work
    position: int
    pod: PodPlan | None
    pids: range

    def runs_at(self, second: int) -> bool:
        """True while it runs; the second is within the scenario's cycle."""
        return self.pod is None or self.pod.runs_at(second)


class ProcessUse(NamedTuple):
    """A process and its share of the slot."""

    pid: int
    memory_ratio: float
    load: float


@dataclass(frozen=True, slots=True)
class SlotActivity:
    """What happens in one slot in one second.

    Attributes:
        load: Fraction of the second in which it was busy.
        memory_ratio: Fraction of its usable memory that is used.
        processes: The processes that do this; their shares add up to the values above.
    """

    load: float = 0.0
    memory_ratio: float = 0.0
    processes: tuple[ProcessUse, ...] = ()


IDLE = SlotActivity()


class ActivitySchedule:
    """Everything that runs in a scenario, by slot.

    Args:
        scenario: What runs.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._jobs = _jobs(scenario)
        self._claims = _claims(scenario)

    def at(self, slot: Slot, second: int) -> SlotActivity:
        """What happens in a slot.

        Args:
            slot: A device without partitions, or a partition.
            second: Whole seconds since the scenario began.
        """
        in_cycle = self._scenario.in_cycle(second)
        running = [job for job in self._jobs.get(slot, ()) if job.runs_at(in_cycle)]
        if not running:
            return IDLE
        calm = 1 - self._scenario.noise_ratio * _noise(self._scenario.seed, slot, second)
        loads = [job.work.load.at(in_cycle, job.position) * calm for job in running]
        memories = [
            job.work.memory_ratio * (_IDLE_MEMORY + (1 - _IDLE_MEMORY) * load)
            for job, load in zip(running, loads, strict=True)
        ]
        # If the jobs need more than the slot has, each gets a proportional part of it.
        load_fit = 1 / max(1.0, sum(loads))
        memory_fit = _MOST_MEMORY / max(_MOST_MEMORY, sum(memories))
        processes = tuple(
            ProcessUse(pid, memory * memory_fit / len(job.pids), load * load_fit / len(job.pids))
            for job, load, memory in zip(running, loads, memories, strict=True)
            for pid in job.pids
        )
        return SlotActivity(min(1.0, sum(loads)), min(_MOST_MEMORY, sum(memories)), processes)

    def period(self, slot: Slot, second: int) -> str | None:
        """Name the time for which a partition exists; different periods are different partitions in the same place.

        Args:
            slot: A partition.
            second: Whole seconds since the scenario began.

        Returns:
            Empty for a partition that always exists; None while a dynamic one does not.
        """
        claims = self._claims.get(slot)
        if claims is None:
            return ""
        in_cycle = self._scenario.in_cycle(second)
        for pod, claim in claims:
            if pod.runs_at(in_cycle):
                return f"{pod.namespace}/{claim}/{self._cycle(pod, second)}"
        return None

    def _cycle(self, pod: PodPlan, second: int) -> int:
        """The number of the cycle in which a pod was started; 0 for one that never ends."""
        repeat = self._scenario.repeat
        if repeat is None or (pod.since == 0 and pod.until in (None, repeat)):
            return 0
        return second // repeat


def _claims(scenario: Scenario) -> Mapping[Slot, tuple[tuple[PodPlan, str], ...]]:
    """The pods and claims that create each dynamic partition."""
    dynamic = {
        Slot(index, part): ()
        for index, device in enumerate(scenario.devices)
        for part, plan in enumerate(device.partitions)
        if plan.dynamic
    }
    claims: dict[Slot, tuple[tuple[PodPlan, str], ...]] = dict(dynamic)
    for pod in scenario.pods:
        for container in pod.containers:
            for slot in container.slots:
                if slot in claims:
                    claims[slot] = (*claims[slot], (pod, container.claim))
    return claims


def _jobs(scenario: Scenario) -> Mapping[Slot, tuple[Job, ...]]:
    """All jobs; every process has its own pid, the same each time."""
    jobs: dict[Slot, tuple[Job, ...]] = {}
    next_pid = _FIRST_PID
    for slot, work, position, pod in _work(scenario):
        pids = range(next_pid, next_pid + work.processes)
        next_pid += work.processes
        jobs[slot] = (*jobs.get(slot, ()), Job(work, position, pod, pids))
    return jobs


def _work(scenario: Scenario) -> Iterator[tuple[Slot, Work, int, PodPlan | None]]:
    for slot in scenario.slots():
        plan = scenario.plan_of(slot)
        if plan.work != Work():
            yield slot, plan.work, plan.position, None
    for pod in scenario.pods:
        for container in pod.containers:
            for position, slot in enumerate(container.slots):
                yield slot, container.work, position, pod


def _noise(seed: int, slot: Slot, second: int) -> float:
    """A pseudo-random number from 0 to below 1, always the same for the same arguments."""
    key = f"{seed}/{slot.device}/{slot.partition}/{second}".encode()
    return int.from_bytes(blake2b(key, digest_size=6).digest(), "big") / (1 << 48)
