"""The child process, simulated by small programs."""

import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors.amd.rocm_smi.child import Child, DiedError
from collectors.contract import UnavailableError

QUESTION = b"what"
START = """
    import os, signal, sys, time
    def mark(text): os.pwrite(int(sys.argv[1]), text, 0)
"""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def child(program: str, clock: Callable[[], float] = time.monotonic, deadline_seconds: float = 30) -> Iterator[Child]:
    code = textwrap.dedent(START) + textwrap.dedent(program)
    made = Child([sys.executable, "-c", code], clock, deadline_seconds)
    yield made
    made.close()


ECHO = """
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(b"%d " % os.getpid() + line)
        sys.stdout.buffer.flush()
"""


def test_one_process_answers_every_request() -> None:
    with child(ECHO) as asked:
        first, second = asked.request(b"one").split(), asked.request(b"two").split()
    assert (first[1], second[1]) == (b"one", b"two")
    assert first[0] == second[0]


def test_messages_of_the_library_fill_no_memory_and_do_not_delay_it() -> None:
    program = """
        os.set_blocking(2, True)
        for line in sys.stdin.buffer:
            os.set_blocking(2, False)
            for _ in range(1000):
                try: os.write(2, b"x" * 1000)
                except BlockingIOError: pass
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            if line == b"last\\n":
                time.sleep(0.2)
                os.write(2, b"\\nthe reason\\n")
                os.abort()
    """
    with child(program) as asked:
        for _ in range(20):
            assert asked.request(QUESTION) == QUESTION + b"\n"
        asked.request(b"last")
        with pytest.raises(DiedError, match="was killed by SIGABRT: the reason"):
            asked.request(QUESTION)


def test_closing_ends_the_process_and_the_next_request_starts_another() -> None:
    with child(ECHO) as asked:
        first = int(asked.request(QUESTION).split()[0])
        asked.close()
        asked.close()
        assert not Path(f"/proc/{first}").exists()
        assert int(asked.request(QUESTION).split()[0]) != first


def test_an_abort_is_reported_with_the_last_output_and_the_last_call() -> None:
    program = 'mark(b"power"); print("assertion failed", file=sys.stderr, flush=True); os.abort()'
    with child(program) as asked, pytest.raises(DiedError, match="killed by SIGABRT: assertion failed") as caught:
        asked.request(QUESTION)
    assert caught.value.mark == "power"


def test_an_end_without_an_answer_is_reported() -> None:
    with child("sys.exit(3)") as asked, pytest.raises(DiedError, match="ended with 3"):
        asked.request(QUESTION)


def test_a_hanging_process_is_killed_at_the_deadline() -> None:
    program = "mark(str(os.getpid()).encode()); time.sleep(1e6)"
    with child(program, deadline_seconds=1) as asked:
        with pytest.raises(DiedError, match="no answer within 1 s") as caught:
            asked.request(QUESTION)
        assert not Path(f"/proc/{caught.value.mark}").exists()


def test_a_process_with_an_endless_answer_is_killed() -> None:
    program = 'while True: os.write(1, b"x" * 65536)'
    with child(program) as asked, pytest.raises(DiedError, match="longer than"):
        asked.request(QUESTION)


def test_after_each_death_the_pause_is_longer() -> None:
    clock = Clock()
    with child("sys.exit(1)", clock) as asked:
        for pause_seconds in (1, 2, 4, 8, 16, 30, 30):
            with pytest.raises(DiedError):
                asked.request(QUESTION)
            clock.now += pause_seconds - 0.001
            with pytest.raises(UnavailableError) as caught:
                asked.request(QUESTION)
            assert not isinstance(caught.value, DiedError)
            clock.now += 0.001


def test_it_does_not_pause_after_a_reset_of_the_backoff() -> None:
    with child("sys.exit(1)") as asked:
        for _ in range(3):
            with pytest.raises(DiedError):
                asked.request(QUESTION)
            asked.reset_backoff()


def test_a_missing_program_is_unavailable() -> None:
    asked = Child(["/nowhere/at/all"], time.monotonic, 30)
    with pytest.raises(UnavailableError, match=r"cannot start /nowhere/at/all: No such file"):
        asked.request(QUESTION)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_deaths_leave_no_open_file_descriptors() -> None:
    before = open_files()
    with child("sys.exit(1)") as asked:
        for _ in range(5):
            with pytest.raises(DiedError):
                asked.request(QUESTION)
            asked.reset_backoff()
    missing = Child(["/nowhere/at/all"], time.monotonic, 30)
    with pytest.raises(UnavailableError):
        missing.request(QUESTION)
    assert open_files() == before
