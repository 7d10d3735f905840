"""Readings of one device from the child process, corrected for the library's known wrong values."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from collectors.amd.rocm_smi.binding import Meaning
from collectors.amd.rocm_smi.child import DiedError
from collectors.contract import CollectorError, Reason, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError, NoDataError, PermanentlyUnsupportedError

# Deaths of the child within one query; after each the others are read again.
_MAX_DEATHS = 64
# So many deaths in a row at one reading: it is not read again. In one query, it is tried twice.
_DEATHS_TO_BLAME = 3
_ADVICE = "install ROCm SMI or AMD SMI in the image, or leave amd.backend at auto"
_ALL_ONES = 0xFFFFFFFFFFFFFFFF


class ChildProcess(Protocol):
    """The child process."""

    def request(self, line: bytes) -> bytes:
        """The answer to a request, both one line."""
        ...

    def reset_backoff(self) -> None:
        """Do not pause before the next query."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


class RocmSmiBackend:
    """Reads devices by their PCI addresses.

    Threads may read different devices at the same time. The process answers one of them, the others wait; all other
    state is kept by device.

    Args:
        child: The process that calls the library.
        verify_zero: Reads the kernel file behind a reading and raises its error, as `CrossCheck.verify_zero`. The
            library returns 0 without an error for an unreadable, empty or garbled file, so a zero is used only after
            this check.
    """

    def __init__(self, child: ChildProcess, verify_zero: Callable[[str, str], None]) -> None:
        self._child = child
        self._verify_zero = verify_zero
        self._fatal: dict[tuple[str, str], str] = {}
        self._deaths: dict[tuple[str, str], int] = {}  # in a row, by reading
        self._lock = threading.Lock()

    def read(self, address: str, names: Sequence[str]) -> list[float | CollectorError]:
        """The value of each reading, or why there is none.

        Args:
            address: Address of the device, in the kernel's spelling.
            names: Keys of `librocm_smi.READINGS`.

        Raises:
            UnavailableError: The library or its process does not answer at all.
            UnsupportedError: The library does not list the device.
        """
        died: dict[str, UnavailableError] = {}
        for _ in range(_MAX_DEATHS):
            safe = [name for name in names if name not in died and (address, name) not in self._fatal]
            try:
                values = self._values(address, safe)
            except DiedError as error:
                if error.mark not in safe:
                    raise
                self._count_death(address, error, died)
                with self._lock:
                    self._child.reset_backoff()
            else:
                for name in safe:
                    self._deaths.pop((address, name), None)
                return [died.get(name) or self._result(address, name, values) for name in names]
        raise UnavailableError(f"{address}: the process that calls the library died {_MAX_DEATHS} times in a row")

    def close(self) -> None:
        """End the process; a later query starts another."""
        with self._lock:
            self._child.close()

    def _count_death(self, address: str, error: DiedError, died: dict[str, UnavailableError]) -> None:
        """Blame a reading only if the process has died at it several times: it may have been killed for another reason.

        Args:
            address: Address of the device.
            error: How it died.
            died: Receives the reading if it is not tried again in this query.
        """
        key = (address, error.mark)
        self._deaths[key] = self._deaths.get(key, 0) + 1
        if self._deaths[key] >= _DEATHS_TO_BLAME:
            self._fatal[key] = str(error)
        elif self._deaths[key] > 1:
            died[error.mark] = UnavailableError(str(error))

    def _values(self, address: str, names: Sequence[str]) -> Mapping[str, object]:
        request = json.dumps({"address": address, "read": list(names)}).encode()
        with self._lock:
            answer = json.loads(self._child.request(request))
        if "failed" in answer:
            raise UnavailableError(f"{answer['failed']}; {_ADVICE}", Reason.LIBRARY_MISSING)
        if "values" not in answer:
            raise UnsupportedError(f"{answer['library']} {answer['version']} does not list {address}")
        values: Mapping[str, object] = answer["values"]
        return values

    def _result(self, address: str, name: str, values: Mapping[str, object]) -> float | CollectorError:
        if (address, name) in self._fatal:
            return PermanentlyUnsupportedError(self._fatal[address, name])
        value = values.get(name)
        if isinstance(value, dict):
            return _ERRORS[Meaning(value["meaning"])](str(value["text"]))
        if not isinstance(value, int | float):
            return InvalidValueError(f"{name}: {value!r}")
        if value == _ALL_ONES:
            return UnsupportedError(f"{name}: the library returned no value")
        if value == 0:
            try:
                self._verify_zero(address, name)
            except CollectorError as error:
                return error
        return value


_ERRORS: Mapping[Meaning, Callable[[str], CollectorError]] = {
    Meaning.UNSUPPORTED: UnsupportedError,
    Meaning.DENIED: partial(UnavailableError, reason=Reason.PERMISSION_DENIED),
    Meaning.NOTHING: NoDataError,
    Meaning.INVALID: InvalidValueError,
    Meaning.UNAVAILABLE: UnavailableError,
}
