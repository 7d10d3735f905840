"""The session with the library: it is opened once, and reopened with a back-off after the driver was unloaded."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from collectors.backoff import Backoff
from collectors.contract import AbsentError, CollectorError, Reason, UnavailableError
from collectors.device_calls import DeviceCalls
from collectors.nvidia.device_reader import DeviceReader
from collectors.nvidia.devices import undriven_faults
from collectors.nvidia.errors import LibraryMissingError, SessionError
from collectors.nvidia.nvml import Nvml
from collectors.pci import PciFunction


class OpenLibrary(Protocol):
    """Loads and initialises the library."""

    def __call__(self, *, attach: bool) -> Nvml:
        """The open library; all devices are opened if `attach` is True."""
        ...


class Session:
    """Opens the library and keeps it open, because initialising is expensive: it can wake an idle GPU.

    Args:
        open_library: Loads and initialises the library.
        hardware: Lists NVIDIA's display functions on the PCI bus. Without any, a missing library is not a failure.
        clock: Monotonic seconds.
        calls: The calls about single devices: the library is not shut down while one of them is out.
    """

    def __init__(
        self,
        open_library: OpenLibrary,
        hardware: Callable[[], Sequence[PciFunction]],
        clock: Callable[[], float],
        calls: DeviceCalls,
    ) -> None:
        self._calls = calls
        self._open_library = open_library
        self._hardware = hardware
        self._clock = clock
        self._nvml: Nvml | None = None
        self._backoff = Backoff()
        self._failure: UnavailableError | None = None
        self._retry_at = 0.0

    def library(self, *, attach: bool = True) -> Nvml:
        """The open library; a new object after each initialisation.

        Args:
            attach: Whether to open all devices if it is not open yet.

        Raises:
            AbsentError: There is neither a library nor a device for it.
            UnavailableError: It cannot be opened, or the pause after the last failure has not ended.
        """
        if self._nvml is None:
            self._nvml = self._open(attach=attach)
        return self._nvml

    @property
    def is_open(self) -> bool:
        """Whether the library is initialised now."""
        return self._nvml is not None

    def reset_backoff(self) -> None:
        """Start with the shortest pause after the next failure, because the session works."""
        self._backoff.succeeded()

    def fail(self, error: CollectorError) -> UnavailableError:
        """Shut the session down and start a pause. Returns the error to raise now and during the pause."""
        self.close()
        self._failure = UnavailableError(str(error), error.reason)
        self._retry_at = self._clock() + self._backoff.failed()
        return self._failure

    def close(self, in_use: Sequence[DeviceReader] = ()) -> None:
        """Shut the library down. May be called twice; `library` opens it again without a pause.

        The library counts how often it was initialised. So while a call of this session is out, which delays the
        shutdown, a new session can already be used.

        Args:
            in_use: The readers of stuck devices, which are closed before that.
        """
        nvml, self._nvml = self._nvml, None
        self._failure = None
        if nvml is not None:
            self._calls.when_none_is_out(partial(_shut_down, nvml, in_use))

    def _open(self, *, attach: bool) -> Nvml:
        if self._failure is not None and self._clock() < self._retry_at:
            raise self._failure.with_traceback(None)  # otherwise the traceback would grow with each raise
        try:
            return self._open_library(attach=attach)
        except CollectorError as error:
            explained = self._explain(error)
        raise self.fail(explained)

    def _explain(self, error: CollectorError) -> CollectorError:
        """The cause of a failure to open the library on this machine.

        Raises:
            AbsentError: The machine has no NVIDIA device, or all of them are passed through to virtual machines.
        """
        present = [function for function in self._hardware() if not function.passed_through]
        if isinstance(error, SessionError) and not present:
            raise AbsentError(f"no NVIDIA device on this node ({error})")
        undriven = undriven_faults(present)
        if (
            isinstance(error, SessionError)
            and error.reason is not Reason.VERSION_MISMATCH
            and len(undriven) == len(present)
        ):
            return SessionError(f"{undriven[0].where}: {undriven[0].detail} ({error})", Reason.DRIVER_NOT_LOADED)
        if isinstance(error, LibraryMissingError):
            return LibraryMissingError(
                f"{error}, but the PCI bus has an NVIDIA device ({present[0].address}): run this container with "
                "runtimeClassName nvidia and NVIDIA_VISIBLE_DEVICES=all"
            )
        return error


def _shut_down(nvml: Nvml, in_use: Sequence[DeviceReader]) -> None:
    for reader in in_use:
        reader.close()
    with suppress(CollectorError):  # it was already shut down
        nvml.shutdown()
