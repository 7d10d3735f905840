"""The entry point of the command, and the only module that exits the process.

It imports little: signals must be handled from the first moment, and loading the rest takes a few hundred milliseconds.
Process 1 of a container ignores a signal that it does not handle.
"""

import os
import signal
import sys

from exporter.output import OutputError, ReaderGoneError, write_error, write_output
from exporter.signals import Signals

_EXIT_FAILED = 1
_ENDED_BY_SIGNAL = 128
_NO_THREAD = "can't start new thread"


def main() -> None:
    """Run with the arguments, environment and streams of the process, then exit."""
    signals = Signals(_end_at_once)
    signals.install()
    try:
        code = _run(signals)
    except ReaderGoneError:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)  # as every other command; process 1 survives this
        code = _ENDED_BY_SIGNAL + signal.SIGPIPE
    except OutputError as error:
        code = _failed(str(error))
    except (MemoryError, ImportError, SystemError) as error:  # the last: `compile` without memory
        code = _failed(f"cannot be loaded: {str(error) or 'out of memory'}; is the memory limit too low?")
    except RuntimeError as error:
        if str(error) != _NO_THREAD:
            raise
        code = _failed("cannot start a thread: is the limit of processes or of memory too low?")
    sys.exit(code)


def _run(signals: Signals) -> int:
    import logging  # noqa: PLC0415 - see below

    logging.getLogger().addHandler(logging.NullHandler())  # else hashlib logs a traceback if its library is not loaded
    from exporter.command import run  # noqa: PLC0415 - loads everything else, with the signals already handled

    return run(sys.argv[1:], os.environ, write_output, write_error, signals)


def _failed(text: str) -> int:
    write_error(f"accelerator-exporter: {text}\n")
    return _EXIT_FAILED


def _end_at_once(number: int) -> None:
    os._exit(_ENDED_BY_SIGNAL + number)
