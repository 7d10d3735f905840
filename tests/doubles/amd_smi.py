"""A `libamd_smi` built with gcc, in the worker process that the collector starts, without ROCm SMI."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collectors.amd.rocm_smi.backend import RocmSmiBackend
from collectors.amd.rocm_smi.child import Child
from tests.doubles.native_build import build_one

_SOURCE = Path(__file__).parents[1] / "native" / "amd_smi" / "amd_smi.c"
_DEADLINE_SECONDS = 60.0
# The machine may have the other library, which would be used first.
_PROGRAM = """
import os, sys
from collectors.amd.rocm_smi import librocm_smi, worker
librocm_smi.NAMES = ("librocm_smi64.so.absent",)
with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
    asked = worker.Worker(worker.mark_in(int(sys.argv[1])), worker.LIBRARIES)
    worker.serve(asked, sys.stdin.buffer, out)
"""


def build_amd_smi(folder: Path) -> Path:
    """Build it; returns its folder."""
    return build_one(_SOURCE, folder, "libamd_smi.so").parent


class AmdSmiState:
    """The values that it returns.

    Args:
        path: The file with the values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: list[str] = []  # facts of all GPUs
        self.gpus: dict[str, dict[str, int]] = {}
        self.fates: dict[str, list[str]] = {}

    def add(self, address: str, **figures: int) -> None:
        """Add a GPU with its values."""
        self.gpus[address] = figures
        self.write()

    def update(self, address: str, **figures: int) -> None:
        """Change the values of a GPU."""
        self.gpus[address] |= figures
        self.write()

    def fail(self, function: str, status: int, address: str = "") -> None:
        """Let a function fail from now on, for one GPU or for all."""
        self._fate(f"fail {function} {status}", address)

    def abort(self, function: str, address: str = "") -> None:
        """Let a function end the process."""
        self._fate(f"abort {function}", address)

    def release(self, first: int, second: int) -> None:
        """Set the release."""
        self.facts.append(f"release {first} {second}")
        self.write()

    def write(self) -> None:
        """Write the file atomically."""
        lines = [*self.facts]
        for address, figures in self.gpus.items():
            lines += [f"gpu {_packed(address):x}", *(f"{name} {value}" for name, value in figures.items())]
            lines += self.fates.get(address, [])
        new = self.path.with_suffix(".new")
        new.write_text("\n".join(lines) + "\n")
        new.replace(self.path)

    def _fate(self, fact: str, address: str) -> None:
        if address:
            self.fates.setdefault(address, []).append(fact)
        else:
            self.facts.append(fact)
        self.write()


def _packed(address: str) -> int:
    domain, bus, rest = address.split(":")
    slot, function = rest.split(".")
    return int(domain, 16) << 32 | int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)


def believe(_: str, __: str) -> None:
    """Confirm every zero."""


@contextmanager
def amd_smi_backend(library: Path, state: AmdSmiState) -> Iterator[RocmSmiBackend]:
    """The backend with the library."""
    environment = f"LD_LIBRARY_PATH={library}", f"AMD_SMI_STATE={state.path}"
    command = (str(shutil.which("env")), *environment, sys.executable, "-c", _PROGRAM)
    backend = RocmSmiBackend(Child(command, time.monotonic, _DEADLINE_SECONDS), believe)
    try:
        yield backend
    finally:
        backend.close()
