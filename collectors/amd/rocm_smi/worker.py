"""The child process: calls the library as requested and answers in lines of JSON, until its input ends.

A request is `{"address": ADDRESS, "read": [NAME, ...]}`. An answer is `{"library": NAME, "version": VERSION, "values":
{NAME: NUMBER or {"text": TEXT, "meaning": MEANING}}}`, without `values` if the library does not list the device, or
`{"failed": TEXT}`. Before each call its name is written to the file descriptor in the argument, because every call may
end this process. The library is opened at the first request and stays open.
"""

import json
import os
import resource
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

from collectors.amd.rocm_smi.binding import LibraryError, Smi
from collectors.amd.rocm_smi.libamd_smi import AmdSmi
from collectors.amd.rocm_smi.librocm_smi import RocmSmi

_Answer = dict[str, object]
Mark = Callable[[str], None]
# ROCm SMI if it is installed; releases from 10 on have only AMD SMI.
LIBRARIES: Mapping[str, Callable[[], Smi]] = {"rsmi_init": RocmSmi, "amdsmi_init": AmdSmi}


class Worker:
    """Answers requests.

    Args:
        mark: Called with the name of the next call.
        libraries: The function that opens each library, by the name of its first call; the preferred library first.
    """

    def __init__(self, mark: Mark, libraries: Mapping[str, Callable[[], Smi]]) -> None:
        self._mark = mark
        self._libraries = libraries
        self._library: Smi | None = None
        self._devices: Mapping[str, int] = {}

    def answer(self, address: str, names: Iterable[str]) -> _Answer:
        """The named readings of the device at a PCI address, or why there are none."""
        try:
            library = self._opened()
        except OSError as error:
            return {"failed": str(error)}
        answer: _Answer = {"library": library.name, "version": library.version()}
        device = self._devices.get(address)
        if device is not None:
            answer["values"] = {name: self._value(library, name, device) for name in names}
        return answer

    def _opened(self) -> Smi:
        """The first library that can be opened.

        Raises:
            OSError: None can be opened; the text has the reason for each.
        """
        if self._library is not None:
            return self._library
        why = []
        for call, opened in self._libraries.items():
            self._mark(call)
            try:
                library = opened()
                self._devices = _whole_devices(library)
            except (OSError, LibraryError) as error:
                why.append(str(error))
            else:
                self._library = library
                return library
        raise OSError("; ".join(why))

    def _value(self, library: Smi, name: str, device: int) -> object:
        self._mark(name)
        try:
            return library.read(name, device)
        except LibraryError as error:
            return {"text": str(error), "meaning": error.meaning}


def _whole_devices(library: Smi) -> dict[str, int]:
    """Index by address. A device that is listed once for each partition repeats its values, so the first is used."""
    devices: dict[str, int] = {}
    for device in range(library.count()):
        location = library.location(device)
        if location.partition == 0:
            devices.setdefault(location.address, device)
    return devices


def serve(worker: Worker, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the input ends."""
    for line in requests:
        request = json.loads(line)
        answers.write(json.dumps(worker.answer(request["address"], request["read"])).encode() + b"\n")
        answers.flush()


def mark_in(file: int) -> Mark:
    """A function that writes marks into a file descriptor."""

    def mark(name: str) -> None:
        os.ftruncate(file, 0)
        os.pwrite(file, name.encode(), 0)

    return mark


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # else a library that aborts at every poll fills the disk
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # the library's output must not be mixed with the answers
        serve(Worker(mark_in(int(sys.argv[1])), LIBRARIES), sys.stdin.buffer, out)
