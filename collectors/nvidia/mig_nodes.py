"""The device files of MIG devices: `/dev/nvidia-caps/nvidia-cap<N>` for each GPU instance and compute instance."""

import re
from collections.abc import Mapping

from collectors.sysfs import Root
from collectors.text_file import NotRegularError, TextError, read_text

_MINORS = ("driver", "nvidia-caps", "mig-minors")
_LINE = re.compile(r"gpu(\d{1,9})/gi(\d{1,9})(?:/ci(\d{1,9}))?/access (\d{1,9})", re.ASCII)


def mig_nodes(procfs: Root, gpu_minor: int) -> Mapping[tuple[int, int | None], str]:
    """The device files of one GPU by the ids of GPU instance and compute instance; None is the GPU instance itself.

    The driver lists every instance that could exist, so the answer is the same until the driver is loaded again. A
    container sees the list in its own `/proc`: no mount and no privilege is needed.

    Args:
        procfs: The root of a `/proc`.
        gpu_minor: N of the GPU's device file `/dev/nvidiaN`.

    Returns:
        The paths; empty if the list cannot be read, as without NVIDIA's driver.

    Source: `/proc/driver/nvidia-caps/mig-minors`, described in the section "Device Nodes and Capabilities" of NVIDIA's
    MIG User Guide.
    """
    try:
        text = read_text(procfs.path.joinpath(*_MINORS), "a list of minor numbers")
    except (OSError, ValueError, NotRegularError, TextError):
        return {}
    found = filter(None, map(_LINE.fullmatch, text.splitlines()))
    return {
        (int(each[2]), None if each[3] is None else int(each[3])): f"/dev/nvidia-caps/nvidia-cap{int(each[4])}"
        for each in found
        if int(each[1]) == gpu_minor
    }
