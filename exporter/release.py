"""Whether the hardware is let go, so that a driver can be upgraded or a device unbound while the exporter runs."""

from dataclasses import dataclass


@dataclass(slots=True)
class Release:
    """What signals have asked for. A plain flag: their handlers write it, and may interrupt any lock's holder.

    Attributes:
        wanted: True from SIGUSR1 until SIGUSR2.
    """

    wanted: bool = False
