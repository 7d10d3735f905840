"""The names of CDI devices, as the kubelet lists them for a device of a claim. No I/O.

A driver names the CDI device of a claim's device `<vendor>/<class>=<uid of the claim>-<device>`, or, if it is the same
for all claims, `<vendor>/<class>=<device>`. Source: the driver of NVIDIA (github.com/kubernetes-sigs/
dra-driver-nvidia-gpu, cmd/gpu-kubelet-plugin/cdi.go), and that of Intel for the second form.
"""

import re
from collections.abc import Iterable

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_UUID_LENGTH = 36


def claim_uid_in(cdi_device: str, device: str) -> str | None:
    """Return the claim's uid in the name of a CDI device, empty if it has none; None if it is another device's name.

    Args:
        cdi_device: The qualified name.
        device: The driver's name of the device.
    """
    if not cdi_device.endswith(device):
        return None
    name = cdi_device.partition("=")[2]
    if name == device:
        return ""
    uid = name[:_UUID_LENGTH]
    return uid if name == f"{uid}-{device}" and _UUID.fullmatch(uid) else None


def claim_uid(cdi_devices: Iterable[str], device: str) -> str:
    """Return the uid of the claim that has the device; empty if no name has it, or names have different ones."""
    found = {uid for each in cdi_devices if (uid := claim_uid_in(each, device))}
    return found.pop() if len(found) == 1 else ""
