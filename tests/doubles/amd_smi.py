"""A `libamd_smi` built with gcc, in the worker process that the collector starts, and nothing of ROCm SMI."""

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
# The machine may have the other library, which would be asked first.
_PROGRAM = """
import os, sys
from collectors.amd.rocm_smi import librocm_smi, worker
librocm_smi.NAMES = ("librocm_smi64.so.of-nobody",)
with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
    asked = worker.Worker(worker.mark_in(int(sys.argv[1])), worker.LIBRARIES)
    worker.serve(asked, sys.stdin.buffer, out)
"""


def build_amd_smi(folder: Path) -> Path:
    """Build it; returns the folder it is in."""
    return build_one(_SOURCE, folder, "libamd_smi.so").parent


class AmdSmiState:
    """What it tells.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: list[str] = []  # of all GPUs
        self.gpus: dict[str, dict[str, int]] = {}
        self.fates: dict[str, list[str]] = {}

    def add(self, address: str, **figures: int) -> None:
        """A GPU and its figures."""
        self.gpus[address] = figures
        self.write()

    def update(self, address: str, **figures: int) -> None:
        """Other figures."""
        self.gpus[address] |= figures
        self.write()

    def fail(self, function: str, status: int, address: str = "") -> None:
        """A function fails from now on, of one GPU or of all."""
        self._fate(f"fail {function} {status}", address)

    def abort(self, function: str, address: str = "") -> None:
        """A function ends the process."""
        self._fate(f"abort {function}", address)

    def release(self, first: int, second: int) -> None:
        """Be of a release."""
        self.facts.append(f"release {first} {second}")
        self.write()

    def write(self) -> None:
        """Into the file, at once."""
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
    """No file says anything against a zero."""


@contextmanager
def amd_smi_backend(library: Path, state: AmdSmiState) -> Iterator[RocmSmiBackend]:
    """The backend over the library."""
    environment = f"LD_LIBRARY_PATH={library}", f"AMD_SMI_STATE={state.path}"
    command = (str(shutil.which("env")), *environment, sys.executable, "-c", _PROGRAM)
    backend = RocmSmiBackend(Child(command, time.monotonic, _DEADLINE_SECONDS), believe)
    try:
        yield backend
    finally:
        backend.close()
