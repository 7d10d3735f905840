"""Signals at any moment, and output that nobody reads: the process ends in time, with an exit code and one line."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from tests.doubles.exporter_process import clean_environment, exporter, wait_until
from tests.doubles.mounted import namespaces

STOP_SECONDS = 2.0
ENDED_AT_ONCE = {128 + signal.SIGTERM, 128 + signal.SIGINT}
SERVE = ("--simulate", "--web.listen-address=127.0.0.1:0")


def start(
    *arguments: str,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    within: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    command = [*within, sys.executable, "-m", "exporter", *arguments]
    return subprocess.Popen(command, env=clean_environment(), stdout=stdout, stderr=stderr)


def ends(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
    """The exit code after a signal; fails if the process does not end in time."""
    process.send_signal(number)
    try:
        return process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()


def full_pipe() -> tuple[int, int]:
    """A pipe that nobody reads, without room."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    return read, write


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    with suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def child_of(pid: int) -> int | None:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(text[0]) if text else None


def test_signals_are_handled_before_anything_large_is_loaded() -> None:
    script = "import sys, exporter.cli; print(*sorted(m for m in sys.modules if m.startswith(('exporter.', 'psutil'))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["exporter.cli", "exporter.output", "exporter.signals"]


def test_sigterm_at_any_moment_of_the_start_ends_the_process() -> None:
    def end_after(milliseconds: int) -> int:
        process = start(*SERVE)
        time.sleep(milliseconds / 1000)  # the moments are the input of this test
        return ends(process, signal.SIGTERM if milliseconds % 2 else signal.SIGINT)

    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(end_after, range(1, 1000, 25)))
    # Before it has started to run, Python has no handlers: the signal ends it. SIGINT may then raise KeyboardInterrupt.
    assert set(codes) <= {0, -signal.SIGTERM, -signal.SIGINT, 1, *ENDED_AT_ONCE}


def as_process_1() -> Sequence[str]:
    """A command that runs another one as the first process of its namespace."""
    return ("unshare", *namespaces(), "--pid", "--fork", "--mount-proc", "--kill-child")


def process_1(outer: subprocess.Popen[bytes]) -> int:
    """The id of the process that is the first one of its namespace, once it handles signals."""
    inner = wait_until(lambda: child_of(outer.pid))
    wait_until(lambda: handles(inner, signal.SIGTERM))
    return inner


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_1_of_a_container_ends_from_the_moment_it_has_handlers(number: int) -> None:
    process = start(*SERVE, within=as_process_1())
    try:
        os.kill(process_1(process), number)
        assert process.wait(STOP_SECONDS) in {0, *ENDED_AT_ONCE}
    finally:
        process.kill()
        process.wait()


def test_process_1_reaps_orphans(tmp_path: Path) -> None:
    with exporter(tmp_path, "--simulate", within=as_process_1()) as running:
        inner = process_1(running.process)
        entered = ("nsenter", f"--target={inner}", "--pid", "--mount")
        subprocess.run([*entered, "setsid", "sh", "-c", "sleep 1 & exit"], check=True, timeout=30)
        wait_until(lambda: child_of(inner) is not None)
        wait_until(lambda: child_of(inner) is None)
        assert running.scrape().value("accelerator_exporter_collector_up") == 1


def test_many_signals_in_a_row_are_survived(tmp_path: Path) -> None:
    with exporter(tmp_path, "--simulate") as running:
        for number in range(200):
            running.process.send_signal((signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)[number % 3])
        running.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: running.scrape().value("accelerator_exporter_collector_up") == 1)
        assert running.terminate(STOP_SECONDS) == 0


def test_log_that_nobody_reads_delays_neither_the_readings_nor_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    read, write = full_pipe()
    process = start("--simulate", "--log.level=debug", f"--web.listen-address=127.0.0.1:{port}", stderr=write)
    try:
        wait_until(lambda: is_ready(port))
        assert ends(process) == 0
    finally:
        process.kill()
        for descriptor in (read, write):
            os.close(descriptor)


def is_ready(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return connection.recv(1024).startswith(b"HTTP/1.1 200")
    return False


@pytest.mark.parametrize("arguments", [("--simulate", "--once"), ("check",), ("--list-metrics",)], ids=" ".join)
def test_output_that_nobody_reads_does_not_delay_the_end(arguments: Sequence[str]) -> None:
    read, write = full_pipe()
    process = start(*arguments, stdout=write)
    try:
        wait_until(lambda: blocked(process.pid))
        assert ends(process) == 128 + signal.SIGTERM
    finally:
        process.kill()
        for descriptor in (read, write):
            os.close(descriptor)


def blocked(pid: int) -> bool:
    """Whether the main thread waits for room in a pipe."""
    return "pipe" in Path(f"/proc/{pid}/wchan").read_text()


@pytest.mark.parametrize("arguments", [("--simulate", "--once"), ("check",), ("--help",), ("--version",)], ids=" ".join)
class TestOutputEndsAsThatOfOtherCommands:
    def test_reader_that_is_gone(self, arguments: Sequence[str]) -> None:
        read, write = os.pipe()
        os.close(read)
        process = start(*arguments, stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGPIPE
        assert b"Traceback" not in errors

    def test_full_disk(self, arguments: Sequence[str]) -> None:
        with Path("/dev/full").open("wb") as full:
            process = start(*arguments, stdout=full, stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert errors.endswith(b"accelerator-exporter: standard output: No space left on device\n")
        assert b"Traceback" not in errors

    def test_closed(self, arguments: Sequence[str]) -> None:
        closing = ("sh", "-c", 'exec "$@" >&-', "sh")
        process = start(*arguments, stderr=subprocess.PIPE, within=closing)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert errors.endswith(b"accelerator-exporter: standard output: Bad file descriptor\n")
        assert b"Traceback" not in errors


@pytest.mark.parametrize("mebibytes", [20, 22, 24, *range(30, 240, 30)])
def test_too_little_memory_is_one_line_and_an_exit_code(tmp_path: Path, mebibytes: int) -> None:
    log = tmp_path / "log"
    limit = mebibytes << 20
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "exporter", *SERVE],
            env=clean_environment(),
            stderr=stderr,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),  # noqa: PLW1509 - no threads here
        )
    try:
        serving = wait_until(
            lambda: "yes" if "listening" in log.read_text() else "no" if process.poll() is not None else None
        )
        if serving == "yes":
            assert ends(process) == 0
            return
        lines = [line for line in log.read_text().splitlines() if not line.startswith("ts=")]
        assert process.returncode == 1
        assert len(lines) == 1
        assert lines[0].startswith("accelerator-exporter: cannot ")
    finally:
        process.kill()
        process.wait()
