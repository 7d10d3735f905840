"""The bench of the AMD collector: a tree of files with a card of every kind."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Self

from collectors import registry
from collectors.contract import Collector
from tests.contract.bench import FIRST_MACHINE, Trouble
from tests.contract.hosted import HostedCollector
from tests.doubles.amd_cards import APU, MI210, MI250X, MI250X_SECOND_DIE, MI300X, MI355X, RX_7900_XTX
from tests.doubles.amd_processes import AmdProcesses, engine, vram
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.slow_files import SlowFiles

_NAME = "amd"
KINDS = (MI210, MI250X, MI250X_SECOND_DIE, MI300X, MI355X, RX_7900_XTX, APU)
_SLOW_MILLISECONDS = 50
_CYCLES_PER_SECOND = 1000
_JOULES = 2**16  # in the units of the table


class AmdBench:
    """See `Bench`: a card of every kind, one with eight partitions, read by a process for which files can be slow.

    A context manager.

    Args:
        path: Where its files go.
    """

    impossible: Mapping[Trouble, str] = MappingProxyType({})
    library_modules: frozenset[str] = frozenset()
    bare_environment: Mapping[str, str] = {"LD_LIBRARY_PATH": os.devnull}

    def __init__(self, path: Path) -> None:
        self.spec = next(spec for spec in registry.load() if spec.name == _NAME)
        self.tree = AmdTree(path / "sys")
        for bus, kind in enumerate(KINDS, start=1):
            self.tree.add(kind, f"0000:{bus:02x}:00.0")
        self.tree.gpus[KINDS.index(MI300X)].set_partition_mode("CPX", "NPS4")
        self.processes = AmdProcesses(self.tree, path / "proc")
        self.processes.compute(10, self.tree.gpus[KINDS.index(MI300X)], 3, memory=5, queues=1)
        self._module = self.tree.path / "module" / "amdgpu"
        self._unloaded = path / "unloaded"
        self._seconds = 0.0
        self._reloaded_at: int | None = None
        self._slow_files = SlowFiles(path)
        self._met_after = 0
        self._hosted = ExitStack()
        self._draw()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self._hosted.close()

    def start(self, machine: str = FIRST_MACHINE) -> Collector:
        """The collector in a separate process."""
        environment = self._slow_files.environment
        paths = {"sysfs": self.tree.path, "procfs": self.processes.path}
        hosted = HostedCollector(_NAME, machine=machine, environment=environment, **paths)
        return self._hosted.enter_context(hosted)

    def pass_time(self, seconds: float) -> None:
        """The cards use energy and are throttled from time to time; every block has two errors a second."""
        before, self._seconds = int(self._seconds), self._seconds + seconds
        now = int(self._seconds)
        if now == before:
            return
        self._count()
        self._draw()

    def _count(self) -> None:
        """Write the counters, which the driver restarts when it is loaded."""
        reloaded = self._reloaded_at is not None
        seconds = int(self._seconds) - (self._reloaded_at or 0) + reloaded
        for gpu in self.tree.gpus:
            for block in gpu.kind.ras:
                kinds = ("ue", "ce", "de") if block == "umc" else ("ue", "ce")
                gpu.write(f"ras/{block}_err_count", "\n".join(f"{kind}: {seconds}" for kind in kinds))
            if gpu.kind.table_fields.get("energy"):
                gpu.write_table(**_used(gpu, seconds, reloaded=reloaded))

    def forget_ids(self) -> None:
        """Cards without ids, as in a guest."""
        for gpu in self.tree.gpus:
            if gpu.kind.unique:
                gpu.remove("unique_id")
                gpu.remove("serial_number")

    def inject(self, trouble: Trouble) -> None:
        """Start a fault of the driver."""
        self._met_after = self._slow_files.waits()
        match trouble:
            case Trouble.HANG:
                self._slow_files.slow_down(self._slow_file)
            case Trouble.SLOW:
                self._slow_files.slow_down(self._slow_file, _SLOW_MILLISECONDS)
            case Trouble.RAISE | Trouble.DRIVER_RELOAD:
                for gpu in self.tree.gpus:
                    gpu.unbind()
                self._module.rename(self._unloaded)
                if trouble is Trouble.DRIVER_RELOAD:
                    self._reloaded_at = int(self._seconds)
                    self._count()
            case Trouble.DEVICE_LOST:
                self.tree.gpus[0].unbind()
            case Trouble.GARBAGE:
                self.tree.gpus[0].write("gpu_busy_percent", "8083344")

    def fault_reached(self) -> bool:
        """Whether a file was slow since the fault began; one that has not been opened yet counts too."""
        return self._slow_files.waits() > self._met_after

    def heal(self) -> None:
        """Restore the first state."""
        self._slow_files.release()
        if self._unloaded.exists():
            self._unloaded.rename(self._module)
        for gpu in self.tree.gpus:
            if not gpu.present:
                gpu.bind()
        self.tree.gpus[0].write("gpu_busy_percent", MI210.files["gpu_busy_percent"])

    @property
    def _slow_file(self) -> str:
        return f"{self.tree.gpus[0].address}/gpu_busy_percent"

    def _draw(self) -> None:
        """One of the cards executes graphics work all the time."""
        gpu = self.tree.gpus[KINDS.index(RX_7900_XTX)]
        self.processes.open(20, 5, gpu, 7, vram(4), engine("gfx", int(self._seconds * 1e9)))


def _used(gpu: Gpu, seconds: int, *, reloaded: bool) -> dict[str, int]:
    """The fields of a table some seconds after the start or, once the driver was loaded again, after that."""
    per_second = {"energy": _JOULES, "clock": 10**9, "cycles": _CYCLES_PER_SECOND, "ppt": _CYCLES_PER_SECOND // 2}
    filled = {name: value for name, value in gpu.kind.table_fields.items() if isinstance(value, int)}
    start = {name: 0 if reloaded else filled[name] for name in per_second if name in filled}
    return {name: value + per_second[name] * seconds for name, value in start.items()}
