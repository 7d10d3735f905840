"""Notices that a device is being unbound from NVIDIA's driver, so that it can be closed: the driver waits for that.

The kernel removes the link `driver` of a device before it tells the driver (`__device_release_driver` in the kernel's
`drivers/base/dd.c`), which then waits until no process has the device open (`nv_pci_remove_helper` in `nv-pci.c`,
https://github.com/NVIDIA/open-gpu-kernel-modules). The driver's own events also show a device that was unbound and
bound again since the last look. Drivers before 575 have no such events, and nobody may be permitted to have them.
"""

from collections.abc import Collection
from contextlib import suppress
from typing import NewType

from collectors.contract import CollectorError
from collectors.nvidia.nvml import Nvml
from collectors.sysfs import Root

SystemEventSet = NewType("SystemEventSet", object)

_DEVICES = ("bus", "pci", "devices")
_DRIVER = "nvidia"
_UNBIND = 0x1  # nvmlSystemEventTypeGpuDriverUnbind
_MOST_EVENTS = 16
# The versions of the requests: their size, and the number of the version. Source: nvml.h.
_CREATE, _REGISTER, _WAIT, _FREE = 0x1000010, 0x1000018, 0x1000020, 0x1000010


def leaving(sysfs: Root, addresses: Collection[str]) -> frozenset[str]:
    """Those of these devices that are no longer bound to NVIDIA's driver, or about to be unbound.

    Args:
        sysfs: The root of the host's `/sys`.
        addresses: PCI addresses, as the kernel writes them.
    """
    return frozenset(each for each in addresses if sysfs.link_name(*_DEVICES, each, "driver") != _DRIVER)


class UnbindEvents:
    """The events of the driver in one session: nvmlSystemEventSetCreate and others. Failures are silent.

    Args:
        nvml: The open library.
    """

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._set: SystemEventSet | None = None

    def register(self) -> None:
        """Receive events from now on, if they are supported and permitted."""
        try:
            self._set = self._nvml.call("nvmlSystemEventSetCreate", _CREATE, read=SystemEventSet)
            self._nvml.call("nvmlSystemRegisterEvents", _REGISTER, _UNBIND, self._set, read=_ignore)
        except CollectorError:
            self.close()

    def occurred(self) -> bool:
        """Whether a device began to be unbound since the last call. Never waits."""
        if self._set is None:
            return False
        room = self._nvml.structures("c_nvmlSystemEventData_v1_t", _MOST_EVENTS)
        try:
            return self._nvml.call("nvmlSystemEventSetWait", _WAIT, self._set, 0, room, _MOST_EVENTS, read=bool)
        except CollectorError:
            self.close()
            return False

    def close(self) -> None:
        """Free the event set, before the library is shut down. May be called twice."""
        wanted, self._set = self._set, None
        if wanted is not None:
            with suppress(CollectorError):
                self._nvml.call("nvmlSystemEventSetFree", _FREE, wanted, read=_ignore)


def _ignore(_: object) -> None:
    pass
