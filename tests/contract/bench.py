"""The interface of a test bench: it simulates hardware, with faults, for the collector that the contract suite runs.

A test bench for a new collector is a class like `NvidiaBench`; see `docs/adding-a-collector.md`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from collectors.contract import Collector, CollectorSpec

FIRST_MACHINE = "machine-1"
NOTHING: Mapping[str, str] = MappingProxyType({})


class Trouble(StrEnum):
    """The faults of the first device of a bench, or of the whole library."""

    HANG = "hang"  # a call does not return until the bench heals
    SLOW = "slow"  # a call takes longer than usual, then succeeds
    RAISE = "raise"  # every read fails
    DEVICE_LOST = "device_lost"  # the first device no longer answers
    GARBAGE = "garbage"  # the first device returns an impossible value
    DRIVER_RELOAD = (
        "driver_reload"  # the driver is unloaded; after `heal` it is loaded again, with its counters at zero
    )


class Readable(Protocol):
    """The part of a bench that the rules for real hardware need."""

    @property
    def spec(self) -> CollectorSpec:
        """The spec of the collector, as its entry point declares it."""
        ...

    def start(self, machine: str = FIRST_MACHINE) -> Collector:
        """A new collector that has not read anything yet.

        Args:
            machine: The identity of its machine, for generated ids.
        """
        ...

    def pass_time(self, seconds: float) -> None:
        """Let time pass: hardware counters rise."""
        ...


class Bench(Readable, Protocol):
    """A machine with at least two devices, and partitions if the collector reads them. It starts without a fault."""

    @property
    def impossible(self) -> Mapping[Trouble, str]:
        """The faults that this bench cannot produce, and why."""
        ...

    @property
    def library_modules(self) -> frozenset[str]:
        """Python modules that must not be imported on a machine without this vendor's hardware."""
        ...

    @property
    def bare_environment(self) -> Mapping[str, str]:
        """Environment variables with which a process finds neither library nor hardware."""
        ...

    def forget_ids(self) -> None:
        """From now on the hardware reports no globally unique id."""
        ...

    def inject(self, trouble: Trouble) -> None:
        """Start a fault."""
        ...

    def fault_reached(self) -> bool:
        """True once a call has reached the injected hang or delay."""
        ...

    def heal(self) -> None:
        """End every fault; hung calls return."""
        ...
