"""A `/sys` of plain files: PCI functions and DMI, in the kernel's layout."""

from pathlib import Path

from collectors.sysfs import Root

NVIDIA = 0x10DE
COMPUTE_CARD = 0x030200


class SysfsTree:
    """Builds the tree under a directory.

    Args:
        path: Replaces `/sys`.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.root = Root(path)

    def add_pci(
        self,
        address: str,
        driver: str | None = "nvidia",
        vendor: int = NVIDIA,
        device: int = 0x2330,
        pci_class: int = COMPUTE_CARD,
        numa_node: int = 0,
    ) -> Path:
        """Add a PCI function, bound to a driver unless that is None."""
        folder = self.path / "bus" / "pci" / "devices" / address
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vendor").write_text(f"0x{vendor:04x}\n")
        (folder / "device").write_text(f"0x{device:04x}\n")
        (folder / "class").write_text(f"0x{pci_class:06x}\n")
        (folder / "numa_node").write_text(f"{numa_node}\n")
        self.bind(address, driver)
        return folder

    def bind(self, address: str, driver: str | None) -> None:
        """Bind a function to another driver, or to none."""
        link = self.path / "bus" / "pci" / "devices" / address / "driver"
        link.unlink(missing_ok=True)
        if driver is not None:
            link.symlink_to(Path("../../../bus/pci/drivers") / driver)

    def remove_pci(self, address: str) -> None:
        """Remove a function from the bus."""
        folder = self.path / "bus" / "pci" / "devices" / address
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()

    def write(self, content: bytes, *parts: str) -> None:
        """Write any attribute file."""
        file = self.path.joinpath(*parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
