"""A real process with the real binding and the NVML double loaded, and its questions and answers."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PROGRAM = Path(__file__).with_name("nvml_reader.py")


class Reader:
    """The process that has the real binding and the double loaded."""

    def __init__(self, running: "subprocess.Popen[str]") -> None:
        self.running = running

    def send(self, function: str, place: tuple[int, ...] = (), *arguments: object) -> None:
        assert self.running.stdin is not None
        self.running.stdin.write(f"{json.dumps([function, place, arguments])}\n")
        self.running.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.running.stdout is not None
        answer: dict[str, Any] = json.loads(self.running.stdout.readline())
        return answer

    def has_answered(self) -> bool:
        assert self.running.stdout is not None
        return bool(select.select([self.running.stdout], [], [], 0)[0])

    def value(self, function: str, place: tuple[int, ...] = (), *arguments: object) -> Any:  # noqa: ANN401 - any call
        self.send(function, place, *arguments)
        answer = self.receive()
        assert "error" not in answer, f"{function}: {answer}"
        return answer["value"]

    def error(self, function: str, place: tuple[int, ...] = (), *arguments: object) -> int:
        self.send(function, place, *arguments)
        answer = self.receive()
        assert "value" not in answer, f"{function}: {answer}"
        return int(answer["error"])


@contextmanager
def started(environment: Mapping[str, str], stderr: int | None = None) -> Iterator[Reader]:
    running = subprocess.Popen(
        [sys.executable, str(_PROGRAM)],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    with running:
        try:
            yield Reader(running)
        finally:
            assert running.stdin is not None
            running.stdin.close()
