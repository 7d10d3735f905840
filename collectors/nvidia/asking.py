"""Asks NVML: `collectors.query_runner` with NVML's marks for "not available"."""

from collectors import query_runner
from collectors.nvidia.nvml import Handle, Nvml
from collectors.query_runner import Findings, Subject

# 32 and 64 bits wide.
_ABSENT_MARKS = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})

__all__ = ["Asker", "Findings", "Subject"]


class Asker(query_runner.Asker[Nvml, Handle]):
    """Asks the devices of one session.

    Args:
        nvml: The open library.
    """

    def __init__(self, nvml: Nvml) -> None:
        super().__init__(nvml, _ABSENT_MARKS)
