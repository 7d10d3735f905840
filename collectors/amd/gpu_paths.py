"""Where the files of one GPU are: its PCI function, the numbers of its DRM nodes, its sensors by their labels.

Everything is found by name, because the numbers of cards and hwmon folders have gaps and change with every start.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from collectors.amd.files import inode, read_text
from collectors.amd.names import DRIVER, PCI_DRIVER
from collectors.contract import CollectorError
from collectors.pci import parse_address
from collectors.sysfs import Root

PCI_DEVICES = ("bus", "pci", "devices")
_DRM = re.compile(r"(card|renderD)(\d+)")
_LABEL = re.compile(r"((?:temp|freq)\d+)_label")


@dataclass(frozen=True, slots=True)
class DrmNodes:
    """The numbers of a DRM device's nodes.

    Attributes:
        card: N of /dev/dri/cardN; None if there is no such node.
        render: N of /dev/dri/renderDN; None if there is no such node.
    """

    card: int | None
    render: int | None

    @property
    def names(self) -> frozenset[str]:
        """The names of its nodes in `/dev/dri`."""
        named = (("card", self.card), ("renderD", self.render))
        return frozenset(f"{stem}{number}" for stem, number in named if number is not None)


@dataclass(frozen=True, slots=True)
class GpuPaths:
    """Where to read one GPU. Equal paths mean that a GPU is read in the same way.

    Attributes:
        address: Address of its PCI function, in the kernel's spelling.
        folder: Folder of its PCI function.
        drm: Its DRM nodes.
        hwmon: The folder of its sensors; None if it has no sensors.
        hwmon_inode: The inode number of that folder. The driver makes the folder whenever the GPU is bound to it.
        sensors: The stem of a sensor's files, such as `temp2`, by its kind and label, such as `temp junction`.
    """

    address: str
    folder: Path
    drm: DrmNodes
    hwmon: Path | None = None
    hwmon_inode: int | None = None
    sensors: Mapping[str, str] = field(default_factory=dict)


def bound_addresses(sysfs: Root) -> frozenset[str]:
    """Addresses of the PCI functions that amdgpu drives."""
    return frozenset(name for name in sysfs.names(*PCI_DRIVER) if parse_address(name))


def locate(sysfs: Root, address: str) -> GpuPaths:
    """Find the files of one GPU. Files that are not found are left out."""
    parts = (*PCI_DEVICES, address)
    hwmon = _hwmon(sysfs, parts)
    sensors = {} if hwmon is None else _sensors(hwmon)
    made = None if hwmon is None else inode(hwmon)
    return GpuPaths(address, sysfs.path.joinpath(*parts), drm_nodes(sysfs, *parts), hwmon, made, sensors)


def unlocated(sysfs: Root, address: str) -> GpuPaths:
    """The paths of a GPU of which no file could be looked for."""
    return GpuPaths(address, sysfs.path.joinpath(*PCI_DEVICES, address), DrmNodes(None, None))


def drm_nodes(sysfs: Root, *device: str) -> DrmNodes:
    """The DRM nodes of a device's folder."""
    found = {match[1]: int(match[2]) for name in sysfs.names(*device, "drm") if (match := _DRM.fullmatch(name))}
    return DrmNodes(found.get("card"), found.get("renderD"))


def _hwmon(sysfs: Root, device: tuple[str, ...]) -> Path | None:
    for name in sysfs.names(*device, "hwmon"):
        if sysfs.text(*device, "hwmon", name, "name") == DRIVER:
            return sysfs.path.joinpath(*device, "hwmon", name)
    return None


def _sensors(hwmon: Path) -> dict[str, str]:
    found = {}
    for name in Root(hwmon).names():
        if match := _LABEL.fullmatch(name):
            with suppress(CollectorError):
                found[f"{match[1].rstrip('0123456789')} {read_text(hwmon / name)}"] = match[1]
    return found
