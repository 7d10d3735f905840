"""Histories of a node at random: what two collectors report of changing devices, and who holds them."""

import math
from collections.abc import Iterator
from functools import lru_cache
from random import Random

from hypothesis import strategies as st

from collectors import catalog
from collectors.contract import Device, Fault, Partition, Reading, Reason, Sample
from collectors.metric import Cadence
from exporter.assembler import Assembler, Clocks, Event
from exporter.attribution.holding import Holding
from exporter.attribution.watcher import AttributionState
from exporter.collector_state import Limits
from exporter.poller import CallEnded, CallStarted
from exporter.snapshot import Snapshot
from tests.doubles.collectors import (
    LIMITS,
    Clock,
    compute,
    energy,
    gpu,
    info,
    no_energy,
    part,
    power,
    status,
    temperature,
    utilization,
)

# hw has an energy counter that may be reset, est has none, odd has one at some times.
COLLECTORS = {"acme": ("hw", "odd"), "bolt": ("est",)}
PARTITIONS = {"odd": ("s0", "s1"), "est": ("t0",)}
IDS = ("hw", "hw::0", "hw::1", "odd", "s0", "s1", "s0::4", "est", "t0", "unknown")
RESOURCES = ("acme/gpu", "acme/gpu.shared", "other/nic")
KINDS = ("read", "read", "read", "read", "read", "read", "start", "fail", "absent", "held", "held", "unknown", "limits")
GAPS = (0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 5.0, 15.0, 4000.0)
TURNS = st.lists(st.tuples(st.sampled_from(GAPS), st.sampled_from(KINDS)), min_size=10, max_size=25)


# What a device says of itself may change, and change back.
MODELS = ("A1", "A1", "A1", "A2")
PROFILES = ("1g", "1g", "1g", "2g")


def new_assembler(clock: Clock) -> Assembler:
    return Assembler(list(COLLECTORS), ("acme/",), LIMITS, Clocks(clock, lambda: 1e9 + clock.now))


def ratio(random: Random) -> float:
    return random.choice((0.0, 0.5, 1.0, random.random()))


@lru_cache(maxsize=1000)
def _kept(sample: Sample, _: str) -> Sample:
    return sample


def kept(sample: Sample) -> Sample:
    """The same object for each sample with the same value: collectors keep what has not changed."""
    return _kept(sample, repr(sample.value))  # 0 equals -0, but is written otherwise


def devices_of(random: Random, names: tuple[str, ...]) -> tuple[Device, ...]:
    present = [name for name in names if random.random() < 0.95]
    return tuple(gpu(name, lost=random.random() < 0.1, model=random.choice(MODELS)) for name in present)


def samples_of(random: Random, device: str, parts: tuple[Partition, ...]) -> Iterator[Sample]:
    yield info(device, index=random.choice("0001"))
    yield status(device, random.choice(("ok", "failed")))
    yield utilization(device, ratio(random))
    yield power(device, random.choice((0.0, -0.0, math.nan, 350.0, random.uniform(0, 700))))
    yield temperature(device, random.uniform(-20, 120))
    yield Sample(catalog.MEMORY_USAGE, device, float(random.choice((0, 2**30, random.randrange(2**40)))))
    for code in random.sample("abc", 2):
        labels = ("xid", code, "hardware")
        yield Sample(catalog.ERRORS, device, float(random.randrange(4)), labels=labels)
        yield Sample(catalog.ERROR_LAST_TIMESTAMP, device, float(random.randrange(4)), labels=labels)
    if device == "hw" or (device == "odd" and random.random() < 0.3):
        yield energy(device, random.uniform(0, 1e9))
    for partition in parts:
        if partition.device_uuid == device:
            yield info(device, partition.uuid)
            yield utilization(device, ratio(random), partition.uuid)
            yield compute(device, partition.uuid, ratio(random))


def reading(random: Random, collector: str, due: frozenset[Cadence]) -> Reading:
    """A reading that meets the contract; optional parts are missing at random."""
    devices = devices_of(random, COLLECTORS[collector])
    parts = tuple(
        part(device.uuid, name, random.choice(PROFILES))
        for device in devices
        for name in PARTITIONS.get(device.uuid, ())
        if random.random() < 0.9
    )
    samples = tuple(
        kept(sample)
        for device in devices
        for sample in samples_of(random, device.uuid, parts)
        if sample.metric.cadence in due and random.random() < 0.95
    )
    counted = {sample.device_uuid for sample in samples if sample.metric is catalog.ENERGY}
    without = tuple(no_energy(d.uuid) for d in devices if d.uuid != "hw" and d.uuid not in counted)
    faults = (Fault(random.choice(list(Reason)), "here", "what"),) if random.random() < 0.1 else ()
    return Reading(devices, parts, samples, faults=faults, unsupported=without)


def holding(random: Random) -> Holding:
    container = random.choice(("main", "sidecar"))
    source = random.choice(("device_plugin", "dra"))
    return Holding("ns", random.choice("pqr"), container, random.choice(RESOURCES), random.choice(IDS), source)


def event(random: Random, kind: str, now: float) -> Event:
    """An event of a poller or of the kubelet watcher."""
    if kind in ("held", "unknown"):
        holdings = tuple(holding(random) for _ in range(random.randrange(6)))
        up = random.random() < 0.9
        return AttributionState(holdings if kind == "held" else None, up, 5.0 if up else None)
    if kind == "limits":
        return Limits(random.choice((1.0, 2.0)), {each: random.choice((3.0, 11.0, 70.0)) for each in Cadence})
    collector = random.choice(sorted(COLLECTORS))
    due = random.choice((frozenset(Cadence), frozenset({Cadence.FAST}), frozenset({Cadence.MEDIUM})))
    if kind == "start":
        return CallStarted(collector, now)
    if kind == "read":
        return CallEnded(collector, now, now, due, reading(random, collector, due))
    return CallEnded(collector, now, now, due, None, random.choice(list(Reason)) if kind == "fail" else None)


def complete(random: Random, now: float) -> Iterator[Event]:
    """Answers of the kubelet and of all collectors, in which nothing is missing and nothing is shared."""
    ids = ("hw", "s0", "s1", "t0", "odd", "est")
    free = random.sample(ids, random.randrange(len(ids)))
    containers = ((each, random.choice("pqr")) for each in ids if each not in free)
    holdings = (Holding("ns", pod, each, RESOURCES[0], each, "device_plugin") for each, pod in containers)
    for collector, names in COLLECTORS.items():
        devices = tuple(gpu(name, model=random.choice(MODELS)) for name in names)
        parts = tuple(part(name, each, random.choice(PROFILES)) for name in names for each in PARTITIONS.get(name, ()))
        samples = tuple(kept(sample) for name in names for sample in samples_of(random, name, parts))
        yield CallEnded(collector, now, now, frozenset(Cadence), Reading(devices, parts, samples))
    yield AttributionState(tuple(holdings), up=True, last_success_timestamp_seconds=now)


def happen(turns: list[tuple[float, str]], random: Random) -> Iterator[tuple[Snapshot, float]]:
    """The snapshot after every step, and the time since the first."""
    clock = Clock()
    assembler = new_assembler(clock)
    for after_seconds, kind in turns:
        clock.now += after_seconds
        assembler.apply(event(random, kind, clock.now))
        yield assembler.snapshot(), clock.now
