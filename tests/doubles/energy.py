"""Energy that the cards of the doubles use, as real ones do: a counter that stands still is taken for frozen."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from tests.doubles.amd_host import AmdHost
from tests.doubles.node import Node

_TICK_SECONDS = 0.5
_FIRST_COUNT = 65_536_000_000  # of 2^-16 J, as in the table of an MI300X


def energy_steps(node: Node, host: AmdHost) -> Callable[[], None]:
    """Return what adds ten joules to the energy counter of every device of two nodes."""
    steps = count(1)

    def step() -> None:
        joules = 10 * next(steps)
        for gpu in node.gpus:
            gpu.energy_millijoules += 10_000
        for card in host.tree.gpus:
            card.write_table(energy=_FIRST_COUNT + joules * 2**16)

    return step


@contextmanager
def rising_energy(node: Node, host: AmdHost) -> Iterator[None]:
    """Add energy to every device until the end of the block."""
    step, end = energy_steps(node, host), threading.Event()

    def run() -> None:
        while not end.wait(_TICK_SECONDS):
            step()

    thread = threading.Thread(target=run, name="energy")
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
