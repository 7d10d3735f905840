"""An installed collector in a separate process, with its own environment, modules and standard streams.

As a program it reads pickled calls from standard input and writes pickled results to standard output.
"""

import contextlib
import gc
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self

from collectors import registry
from collectors.contract import Collector, CollectorError, Node, Reading
from collectors.metric import Cadence
from collectors.sysfs import Root
from tests.contract.bench import FIRST_MACHINE, NOTHING

_ROOT = Path(__file__).parents[2]
_GENEROUS_SECONDS = 60


class HostedCollector:
    """The client side of the pipe: a collector, and a context manager.

    Args:
        name: The name of the entry point.
        sysfs: Replaces `/sys`.
        machine: The machine's identity.
        environment: Variables in addition to the test's own.
        output: A file for what it logs or prints; None for the test's standard error.
        procfs: Replaces `/proc`.
    """

    def __init__(
        self,
        name: str,
        sysfs: Path,
        machine: str = FIRST_MACHINE,
        environment: Mapping[str, str] = NOTHING,
        output: Path | None = None,
        procfs: Path = Path(os.devnull),
    ) -> None:
        stderr = None if output is None else output.open("wb")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.contract.hosted", name, str(sysfs), str(procfs), machine],
                cwd=_ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        finally:
            if stderr is not None:
                stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=_GENEROUS_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        assert self._process.returncode == 0, f"the collector's process ended with {self._process.returncode}"

    def read(self, due: frozenset[Cadence]) -> Reading:
        """See `Collector.read`."""
        reading = self._ask("read", due)
        assert isinstance(reading, Reading), f"read returned {reading!r}, expected a Reading"
        return reading

    def read_often(self, due: frozenset[Cadence], times: int) -> None:
        """Read many times without messages in between, so that only the collector uses memory there."""
        self._ask("read_often", due, times)

    def close(self) -> None:
        """See `Collector.close`."""
        self._ask("close")

    def modules(self) -> frozenset[str]:
        """The modules that are imported where the collector runs."""
        names = self._ask("modules")
        assert isinstance(names, frozenset), f"modules returned {names!r}"
        return names

    def allocated_blocks(self) -> int:
        """The number of small memory blocks that Python uses there."""
        count = self._ask("allocated_blocks")
        assert isinstance(count, int), f"allocated_blocks returned {count!r}"
        return count

    def _ask(self, action: str, *arguments: object) -> object:
        assert self._process.stdin is not None, "started with a pipe"
        assert self._process.stdout is not None, "started with a pipe"
        pickle.dump((action, arguments), self._process.stdin)
        self._process.stdin.flush()
        answer, error = pickle.load(self._process.stdout)  # noqa: S301 - from a process of our own
        if error is not None:
            assert isinstance(error, Exception), f"{action} failed with {error!r}, which is not an exception"
            raise error
        return answer


def allocated_blocks() -> int:
    """The number of small memory blocks, up to 512 bytes each, that Python uses in this process."""
    gc.collect()
    return sys.getallocatedblocks()


def read_often(collector: Collector, due: frozenset[Cadence], times: int) -> None:
    """Read many times, whether or not the reads succeed."""
    for _ in range(times):
        with contextlib.suppress(CollectorError):
            collector.read(due)


def _serve(actions: Mapping[str, Callable[..., object]], requests: BinaryIO, answers: BinaryIO) -> None:
    while True:
        try:
            action, arguments = pickle.load(requests)  # noqa: S301 - from the test that started this process
        except EOFError:
            return
        answer: tuple[object, Exception | None]
        try:
            answer = (actions[action](*arguments), None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to see it
            if not isinstance(error, CollectorError):
                traceback.print_exc()
            answer = (None, error.with_traceback(None))
        pickle.dump(answer, answers)
        answers.flush()


def _main() -> None:
    name, sysfs, procfs, machine = sys.argv[1:]
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # printed text must not mix with the results
        logging.basicConfig(level=logging.NOTSET)
        spec = next(spec for spec in registry.load() if spec.name == name)
        collector: Collector = spec.create(Node(Root(Path(sysfs)), Root(Path(procfs)), machine))
        actions: dict[str, Callable[..., object]] = {
            "read": collector.read,
            "read_often": partial(read_often, collector),
            "close": collector.close,
            "modules": lambda: frozenset(sys.modules),
            "allocated_blocks": allocated_blocks,
        }
        _serve(actions, sys.stdin.buffer, answers)
        collector.close()


if __name__ == "__main__":
    _main()
