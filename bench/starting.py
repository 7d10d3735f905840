"""How long the exporter takes from its start to its first readings."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.figures import Table, megabytes, milliseconds
from bench.nodes import SIMULATED, doubled
from bench.process import Process, exporter

_STARTS = 7

_ABOUT = """\
From the start of the process to the first 200 of `/-/ready`, when every collector has answered. The modules were
already compiled. Medians of {starts} starts; the CPU time is nearly all imports and varies less."""


def starting(folder: Path, library: Path) -> Table:
    """The table.

    Args:
        folder: For scenarios and logs.
        library: The folder of the NVML double.
    """
    log = folder / "starting.log"
    rows = []
    for name, partitioned in (("8 x H100, 8 pods", False), ("8 x 7 MIG, 56 pods", True)):
        with doubled(library, 8, partitioned=partitioned) as node:
            starts = [_started(exporter(node.flags, node.environment, log)) for _ in range(_STARTS)]
        rows.append(_row(name, starts))
    file = folder / "starting.yaml"
    name, scenario = list(SIMULATED.items())[-1]
    file.write_text(scenario, encoding="utf-8")
    starts = [_started(exporter((f"--simulate={file}",), {}, log)) for _ in range(_STARTS)]
    rows.append(_row(f"{name}, simulated", starts))
    header = ("Node", "CPU", "Wall", "Resident memory")
    return Table("Start-up", _ABOUT.format(starts=_STARTS), header, rows)


def _started(process: Process) -> tuple[float, float, int]:
    with process:
        return process.ready_cpu_seconds, process.ready_seconds, process.ready_resident_bytes


def _row(name: str, starts: Sequence[tuple[float, float, int]]) -> tuple[str, ...]:
    cpu, wall, resident = (median(column) for column in zip(*starts, strict=True))
    return name, milliseconds(cpu), milliseconds(wall), megabytes(resident)
