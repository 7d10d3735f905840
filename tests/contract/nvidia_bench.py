"""The benches of the NVIDIA collector: one over a library built for tests, one over the machine's own."""

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Self

from collectors import registry
from collectors.contract import Collector
from tests.contract.bench import FIRST_MACHINE, Trouble
from tests.contract.hosted import HostedCollector
from tests.doubles.nvml import NvmlState, ProcessKind, h100, h100_mig, process
from tests.doubles.sysfs_tree import SysfsTree

_NAME = "nvidia"
_POWER = "nvmlDeviceGetPowerUsage"
_HANG_MILLISECONDS = 600_000
_SLOW_MILLISECONDS = 50
_NOT_SUPPORTED, _TIMEOUT, _UNINITIALIZED, _DRIVER_NOT_LOADED = 3, 10, 1, 9
_HEALTHY_PERCENT, _IMPOSSIBLE_PERCENT = 60, 8_083_344
_CARDS, _FIRST, _OLDER, _CUT = 3, 0, 1, 2
_PROGRAM_FAULT = 13  # a XID that is not an error of the card


class NvidiaBench:
    """See `Bench`. The collector of the entry point, over the real binding and a libnvidia-ml built with gcc.

    Two whole H100, one of which retires pages and has no GPM, as cards before Ampere, and one with three MIG devices.
    A context manager.

    Args:
        path: Where its files go.
        library: The folder of the library.
    """

    impossible: Mapping[Trouble, str] = MappingProxyType({})
    library_modules = frozenset({"pynvml"})
    bare_environment: Mapping[str, str] = {"LD_LIBRARY_PATH": os.devnull}

    def __init__(self, path: Path, library: Path) -> None:
        self.spec = next(spec for spec in registry.load() if spec.name == _NAME)
        self._library = library
        self._sysfs = SysfsTree(path / "sys")
        self._state = NvmlState(path / "nvml-state", [h100(index) for index in range(_CARDS)])
        self._hosted = ExitStack()
        self._met_after = 0
        self._cards = [device for device in self._state.devices if device.present]
        for device in self._cards:
            self._sysfs.add_pci(device.pci_address)
            device.utilization_gpu_percent = _HEALTHY_PERCENT
            device.processes = [process(100, 2**20), process(101, None, ProcessKind.GRAPHICS)]
        older = self._cards[_OLDER]
        older.gpm_supported = 0
        older.remapped_rows_corrected = None
        older.retired_pages_corrected = older.retired_pages_uncorrected = older.retirement_pending = 0
        self._cards[_CUT].partition([None, *(h100_mig(_CUT, slot) for slot in range(3))])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._state.heal()
        self._hosted.close()
        self._state.__exit__()

    def start(self, machine: str = FIRST_MACHINE) -> Collector:
        """The collector in a separate process, because a library cannot be replaced in a running one."""
        environment = self._state.environment(self._library)
        hosted = HostedCollector(_NAME, self._sysfs.path, machine, environment)
        return self._hosted.enter_context(hosted)

    def pass_time(self, seconds: float) -> None:
        """The cards use energy, and a program on one of them fails."""
        self._state.happen(_FIRST, _PROGRAM_FAULT)
        with self._state.at_once():
            for device in self._cards:
                device.energy_millijoules += round(device.power_milliwatts * seconds)

    def forget_ids(self) -> None:
        """Cards without a uuid. MIG devices always have one, so there are none."""
        self._cards[_CUT].unpartition()
        for index in range(_CARDS):
            self._state.fail("nvmlDeviceGetUUID", _NOT_SUPPORTED, device=index)

    def inject(self, trouble: Trouble) -> None:
        """Start a fault of the library."""
        self._met_after = self._state.calls(_POWER, device=_FIRST)
        match trouble:
            case Trouble.HANG:
                self._state.delay(_POWER, _HANG_MILLISECONDS, device=_FIRST)
            case Trouble.SLOW:
                self._state.delay(_POWER, _SLOW_MILLISECONDS, device=_FIRST)
            case Trouble.RAISE:
                self._state.fail("nvmlDeviceGetCount_v2", _TIMEOUT)
            case Trouble.DEVICE_LOST:
                self._state.lose(_FIRST)
            case Trouble.GARBAGE:
                self._cards[_FIRST].utilization_gpu_percent = _IMPOSSIBLE_PERCENT
            case Trouble.DRIVER_RELOAD:
                self._unload_driver()

    def fault_reached(self) -> bool:
        """Whether the delayed function was called; calls that have not returned count too."""
        return self._state.calls(_POWER, device=_FIRST) > self._met_after

    def heal(self) -> None:
        """End every fault of the library."""
        self._state.heal()
        self._cards[_FIRST].utilization_gpu_percent = _HEALTHY_PERCENT

    def _unload_driver(self) -> None:
        with self._state.at_once():
            self._state.fail("nvmlDeviceGetCount_v2", _UNINITIALIZED)
            self._state.fail("nvmlInitWithFlags", _DRIVER_NOT_LOADED)
            for device in self._cards:
                device.energy_millijoules = 0


class RealNvidia:
    """The library and the cards of this machine: a bench for the rules for readings only. A context manager."""

    def __init__(self) -> None:
        self.spec = next(spec for spec in registry.load() if spec.name == _NAME)
        self._hosted = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hosted.close()

    def start(self, machine: str = FIRST_MACHINE) -> Collector:
        """The collector in a separate process."""
        return self._hosted.enter_context(HostedCollector(_NAME, Path("/sys"), machine))

    def pass_time(self, seconds: float) -> None:
        """Real time passes by itself; tests wait until counters have risen."""
        time.sleep(min(seconds, 0.05))
