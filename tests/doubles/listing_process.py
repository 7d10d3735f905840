"""Run as a program: lists the pods of a socket, in a process with all modules of the exporter.

Prints a line of JSON for each answer: numbers of pods and ids, the error, and the process's memory in MB.
"""

import json
import sys
from pathlib import Path

import exporter.command  # noqa: F401 - its memory is part of what is measured
from exporter.attribution.podresources import KubeletError, PodResourcesClient
from exporter.c_allocator import return_free_memory

_PATIENT_SECONDS = 120.0


def memory_mb(process: str = "self") -> dict[str, float]:
    """Most and present resident memory of a process, MB."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest}
    return {"peak": kib["VmHWM"] * 1024 / 1e6, "resident": kib["VmRSS"] * 1024 / 1e6}


def main(socket: str, calls: int) -> None:
    """List so many times, an answer stays in use during the next, as in the daemon."""
    client = PodResourcesClient(Path(socket), _PATIENT_SECONDS)
    answer = None
    for _ in range(calls):
        error = ""
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is that of this call
        try:
            answer = client.list()
        except KubeletError as failure:
            answer, error = None, str(failure)
        return_free_memory()  # as the daemon does
        pods, ids = (len(answer.pods), len(answer.holdings)) if answer else (0, 0)
        print(json.dumps({"pods": pods, "ids": ids, "error": error, **memory_mb()}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
