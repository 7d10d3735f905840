"""What the contract suite asks of a bench: a place where one collector works without hardware, and can be made to fail.

A bench for a new collector is a class like `NvidiaBench`; see `docs/adding-a-collector.md`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from collectors.contract import Collector, CollectorSpec

FIRST_MACHINE = "machine-1"
NOTHING: Mapping[str, str] = MappingProxyType({})


class Trouble(StrEnum):
    """What can befall the first device of a bench, or the library as a whole."""

    HANG = "hang"  # a call does not return until the bench heals
    SLOW = "slow"  # a call takes longer than usual, and then answers
    RAISE = "raise"  # nothing can be read
    DEVICE_LOST = "device_lost"  # the first device does not answer any more
    GARBAGE = "garbage"  # the first device answers what cannot be true
    DRIVER_RELOAD = "driver_reload"  # the driver goes away; when the bench heals it is back, its counters at zero


class Readable(Protocol):
    """Enough of a bench for the rules that hold on real hardware, too."""

    @property
    def spec(self) -> CollectorSpec:
        """The collector as its entry point names it."""
        ...

    def start(self, machine: str = FIRST_MACHINE) -> Collector:
        """A new collector that has read nothing yet.

        Args:
            machine: What tells its machine from all others, for ids that have to be made.
        """
        ...

    def pass_time(self, seconds: float) -> None:
        """Let time go by: counters of the hardware rise."""
        ...


class Bench(Readable, Protocol):
    """A machine with at least two devices, and partitions if the collector reads any. It starts in good health."""

    @property
    def impossible(self) -> Mapping[Trouble, str]:
        """The troubles that this bench cannot make, and why."""
        ...

    @property
    def library_modules(self) -> frozenset[str]:
        """Python modules that must not be imported on a machine without this vendor's hardware."""
        ...

    @property
    def bare_environment(self) -> Mapping[str, str]:
        """Variables with which a process finds neither library nor hardware."""
        ...

    def forget_ids(self) -> None:
        """From now on the hardware tells nothing that is unique in the world."""
        ...

    def inject(self, trouble: Trouble) -> None:
        """Let a trouble begin."""
        ...

    def met(self) -> bool:
        """True once a call has met the hang or the delay that was injected."""
        ...

    def heal(self) -> None:
        """End every trouble; calls that hang return."""
        ...
