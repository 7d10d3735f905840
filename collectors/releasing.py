"""Optional parts of the interface of a collector: it can release single devices, and be closed late."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class ReleasesDevices(Protocol):
    """A collector that can release some devices while it reads the others. A method in addition to `Collector`.

    A collector without it is closed as a whole when one of its devices is to be released.
    """

    def release_devices(self, addresses: frozenset[str]) -> None:
        """Close these devices, and open those that were released before and are not among them at the next `read`.

        They stay listed, with nothing but identity and events, and no failure is reported of them. When this returns,
        the process has none of them open.

        Args:
            addresses: All devices to keep closed, by `Device.device`; also those of other collectors.

        Raises:
            UnavailableError: They cannot be closed now, for example because a call has not returned. Nothing has
                changed; it is tried again after the next `read`.
        """
        ...


@runtime_checkable
class ClosesLate(Protocol):
    """A collector that may still have the hardware open when `close` returns. A property in addition to `Collector`.

    A collector without it has closed everything when `close` returns.
    """

    @property
    def closed(self) -> bool:
        """Whether the process has nothing of the hardware open; asked after `close`, until it is true."""
        ...
