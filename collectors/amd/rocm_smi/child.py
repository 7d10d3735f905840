"""A child process that answers each line with a line within a deadline; it is restarted with back-off when it ends."""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, cast

from collectors.backoff import Backoff
from collectors.contract import UnavailableError

_MAX_ANSWER_BYTES = 4 << 20
_MAX_STDERR_BYTES = 4096
_CHUNK_BYTES = 1 << 16
_ENDING_SECONDS = 1.0


class DiedError(UnavailableError):
    """The process died or was killed during a request.

    Args:
        text: How it ended, and the end of its standard error.
        mark: The call that it was about to make.
    """

    def __init__(self, text: str, mark: str) -> None:
        super().__init__(text)
        self.mark = mark


class Child:
    """Starts the process at the first request.

    Args:
        command: Its program and arguments; the number of the file descriptor for its marks is added to them.
        clock: Monotonic seconds.
        deadline_seconds: If an answer takes longer, the process is killed.
    """

    def __init__(self, command: Sequence[str], clock: Callable[[], float], deadline_seconds: float) -> None:
        self._command = tuple(command)
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = self._marks = -1
        self._stderr_end = b""
        self._backoff = Backoff()
        self._failure = ""
        self._retry_at = 0.0

    def request(self, line: bytes) -> bytes:
        """The answer to a request, both one line.

        Raises:
            DiedError: The process died, or was killed because its answer was late or too long.
            UnavailableError: The process died before and is not restarted yet, or can't be started.
        """
        if self._failure and self._clock() < self._retry_at:
            raise UnavailableError(self._failure)
        process = self._process or self._start()
        try:
            answer = self._exchange(process, line)
        except (OSError, EOFError) as error:
            raise self._fail(process, str(error)) from None
        self._read_stderr()
        self._failure = ""
        self._backoff.succeeded()
        return answer

    def reset_backoff(self) -> None:
        """Do not pause before the next request, because the reason of the last failure is known."""
        self._failure = ""
        self._backoff.succeeded()

    def close(self) -> None:
        """End the process; a later request starts another. Safe to call twice."""
        process, self._process = self._process, None
        self._failure = ""
        if process is not None:
            self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        # Its standard error and its last mark, for when it dies. If the pipe is full, further messages are lost; the
        # library must not wait because of them. A memory file works on a read-only file system too.
        self._stderr, written = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stderr_end = b""
        self._marks = os.memfd_create("marks")
        command = (*self._command, str(self._marks))
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module in the running interpreter
                command, stdin=pipe, stdout=pipe, stderr=written, pass_fds=(self._marks,)
            )
        except OSError as error:
            self._close_files()
            raise self._pause(f"cannot start {self._command[0]}: {error.strerror}") from None
        finally:
            os.close(written)
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes) -> bytes:
        request_pipe = cast("IO[bytes]", process.stdin).fileno()
        answer_pipe = cast("IO[bytes]", process.stdout).fileno()
        os.write(request_pipe, line + b"\n")
        end = self._clock() + self._deadline_seconds
        answer = b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([answer_pipe], [], [], max(0.0, end - self._clock()))
            if not ready:
                raise TimeoutError(f"no answer within {self._deadline_seconds:g} s")
            chunk = os.read(answer_pipe, _CHUNK_BYTES)
            if not chunk:
                raise EOFError
            answer += chunk
            if len(answer) > _MAX_ANSWER_BYTES:
                raise OSError(f"answer longer than {_MAX_ANSWER_BYTES} bytes")
        return answer

    def _fail(self, process: subprocess.Popen[bytes], why: str) -> DiedError:
        self._process = None
        stderr, mark = self._end(process)
        code = process.returncode
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        text = why or f"the process that calls the library {ended}{stderr}"
        self._pause(text)
        return DiedError(f"{text} (at {mark})", mark)

    def _pause(self, text: str) -> UnavailableError:
        self._failure = text
        self._retry_at = self._clock() + self._backoff.failed()
        return UnavailableError(text)

    def _end(self, process: subprocess.Popen[bytes]) -> tuple[str, str]:
        """Wait for its end, and kill it if necessary; returns the end of its standard error and its last mark."""
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._read_stderr()
        mark = os.pread(self._marks, _MAX_STDERR_BYTES, 0).decode(errors="replace")
        self._close_files()
        lines = self._stderr_end.decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else "", mark

    def _read_stderr(self) -> None:
        """Keep the end of its standard error, so that the pipe does not fill up."""
        with suppress(BlockingIOError):
            while chunk := os.read(self._stderr, _CHUNK_BYTES):
                self._stderr_end = (self._stderr_end + chunk)[-_MAX_STDERR_BYTES:]

    def _close_files(self) -> None:
        os.close(self._stderr)
        os.close(self._marks)
