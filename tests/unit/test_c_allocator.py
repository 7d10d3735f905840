import subprocess
import sys

import pytest

_THREADS_THAT_ALLOCATE = """
import ctypes, sys, threading
from exporter.c_allocator import return_free_memory, use_one_arena
if sys.argv[1] == "one":
    use_one_arena()
kept = []
begin = threading.Barrier(4)
def allocate():
    begin.wait()
    kept.append(ctypes.create_string_buffer(5000))
    begin.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
return_free_memory()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.parametrize(("arenas", "found"), [("one", {1}), ("many", {2, 3, 4, 5})])
def test_threads_share_one_arena(arenas: str, found: set[int]) -> None:
    command = [sys.executable, "-c", _THREADS_THAT_ALLOCATE, arenas]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr.count("Arena ") in found
