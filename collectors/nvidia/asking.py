"""Asks NVML: `collectors.asking` with NVML's marks for "not available"."""

from collectors import asking
from collectors.asking import Findings, Subject
from collectors.nvidia.nvml import Handle, Nvml

# 32 and 64 bits wide.
_ABSENT_MARKS = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})

__all__ = ["Asker", "Findings", "Subject"]


class Asker(asking.Asker[Nvml, Handle]):
    """Asks the devices of one session.

    Args:
        nvml: The open library.
    """

    def __init__(self, nvml: Nvml) -> None:
        super().__init__(nvml, _ABSENT_MARKS)
