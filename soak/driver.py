"""Runs the exporter in this process and answers questions about its memory, which cannot be seen from outside.

    python -m soak.driver SOCKET [flags of the exporter]

The socket takes one word for each connection: `blocks` returns the least number of allocated blocks in five seconds,
because any work needs some for a moment; `trace` begins to trace allocations, `mark` keeps what is allocated
then, and `growth` returns what has grown since.
"""

import contextlib
import gc
import os
import socket
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

from exporter.cli import main

_WORD_BYTES = 64
_FRAMES = 4
_PLACES = 25
_ANSWER_SECONDS = 120.0
_COUNTED_SECONDS = 5.0
_PAUSE_SECONDS = 0.1


def ask(path: Path, word: str) -> str:
    """Ask the driver that listens on a socket.

    Raises:
        OSError: It does not answer.
    """
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(_ANSWER_SECONDS)
        made.connect(os.fspath(path))
        made.sendall(word.encode())
        with made.makefile("rb") as answer:
            return answer.read().decode()


def _blocks() -> str:
    least, end = sys.maxsize, time.monotonic() + _COUNTED_SECONDS
    while time.monotonic() < end:
        gc.collect()
        least = min(least, sys.getallocatedblocks())
        time.sleep(_PAUSE_SECONDS)
    return str(least)


class _Growth:
    """What has been allocated since a moment and not freed."""

    def __init__(self) -> None:
        self._marked: tracemalloc.Snapshot | None = None

    def trace(self) -> str:
        tracemalloc.start(_FRAMES)
        return ""

    def mark(self) -> str:
        self._marked = _snapshot()
        return ""

    def show(self) -> str:
        if self._marked is None:
            return ""
        grown = _snapshot().compare_to(self._marked, "traceback")
        grown.sort(key=lambda each: each.count_diff, reverse=True)
        lines = []
        for each in grown[:_PLACES]:
            lines.append(f"{each.count_diff:+} blocks, {each.size_diff:+} bytes, now {each.count} blocks")
            lines += each.traceback.format(most_recent_first=True)
        return "\n".join(lines)


def _snapshot() -> tracemalloc.Snapshot:
    gc.collect()
    kept = (tracemalloc.Filter(inclusive=False, filename_pattern=tracemalloc.__file__),)
    return tracemalloc.take_snapshot().filter_traces(kept)


def _serve(listening: socket.socket, answers: Mapping[str, Callable[[], str]]) -> None:
    while True:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):  # who asked is gone
            answer = answers.get(connection.recv(_WORD_BYTES).decode(), str)
            connection.sendall(answer().encode())


def _listen(path: str) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    growth = _Growth()
    answers = {"blocks": _blocks, "trace": growth.trace, "mark": growth.mark, "growth": growth.show}
    threading.Thread(target=_serve, args=(listening, answers), name="soak", daemon=True).start()


if __name__ == "__main__":
    _listen(sys.argv.pop(1))
    main()
