"""A `/sys` of plain files with AMD GPUs, with the layout of amdgpu and amdkfd; it can be changed while it is read.

It also has what the real `librocm_smi64` needs: links that stay inside the tree, and the KFD files that it requires.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from collectors.sysfs import Root
from tests.doubles import amd_attributes
from tests.doubles.amd_cards import DISPLAY, AmdCard
from tests.doubles.amd_metrics import Fields, Value, table

_VENDOR = 0x1002
_BUS = "pci0000:00"
_FIRST_RENDER = 128
_PAGE = 4096
_FOUND = Path("..") / ".." / ".."


class Gpu:
    """One card in the tree.

    Args:
        tree: The tree.
        kind: The kind of card.
        address: Address of its PCI function.
        number: N of its DRM card.
        render: N of its render node.
    """

    def __init__(self, tree: "AmdTree", kind: AmdCard, address: str, number: int, render: int) -> None:
        self.tree = tree
        self.kind = kind
        self.address = address
        self.number = number
        self.render = render
        self.unique_id = 0x9246_0000_0000_0000 | int(address.replace(":", "").replace(".", ""), 16)
        self.mode = "SPX"
        self.memory_mode = "NPS1"
        self.present = True
        self.hwmon = f"hwmon{number + 3}"
        self.folder = tree.path / "devices" / _BUS / address
        # Platform devices of the partitions after the first: number, DRM card, render node.
        self.xcp: list[tuple[int, int, int]] = []

    @property
    def uuid(self) -> str:
        """The uuid that the collector should derive from the unique id."""
        return f"GPU-{self.unique_id:016x}"

    @property
    def partitions(self) -> int:
        """Number of its KFD nodes."""
        return self.kind.modes.get(self.mode, 1)

    def path(self, name: str) -> Path:
        """A file of the PCI function; `hwmon/` is replaced by the folder of its sensors."""
        return self.folder / name.replace("hwmon/", f"hwmon/{self.hwmon}/")

    def write(self, name: str, text: str, *, padded: bool = False) -> None:
        """Change the text of a file; padded with NUL to a page as some drivers do."""
        self.write_bytes(name, f"{text}\n".encode().ljust(_PAGE if padded else 0, b"\0"))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Change the bytes of a file. A reader finds the earlier or the new content, as in the kernel."""
        _replace(self.path(name), content)

    def remove(self, name: str) -> None:
        """Remove a file that the driver does not have."""
        self.path(name).unlink()

    def fail(self, name: str) -> None:
        """Let reading a file fail with EIO."""
        self.path(name).unlink(missing_ok=True)
        self.path(name).symlink_to("/proc/self/mem")

    def unbind(self, driver: str | None = None) -> None:
        """Unbind it from the driver; another driver may be bound to it."""
        (self.tree.driver / self.address).unlink(missing_ok=True)
        (self.folder / "driver").unlink(missing_ok=True)
        if driver is not None:
            (self.folder / "driver").symlink_to(_FOUND / "bus" / "pci" / "drivers" / driver)
        self.present = False
        self.tree.write_topology()

    def bind(self) -> None:
        """Bind it to the driver again."""
        (self.folder / "driver").unlink(missing_ok=True)
        (self.folder / "driver").symlink_to(_FOUND / "bus" / "pci" / "drivers" / "amdgpu")
        (self.tree.driver / self.address).symlink_to(_FOUND / ".." / "devices" / _BUS / self.address)
        self.present = True
        self.tree.write_topology()

    def put_in_slot(self, speed: str, width: int) -> Path:
        """Put it into a slot of this speed and width, on a card with a switch of two ports.

        The bridges are those that the kernel's `amdgpu_device.c` skips: the card's have its vendor, the slot's has not.

        Returns:
            The outer port of the card's switch. The folder above is the slot's port, the one below the inner port.
        """
        slot = self.folder.parent / "0000:00:01.0"
        outer = slot / "0000:01:00.0"
        inner = outer / "0000:02:00.0"
        own = {name: self.path(f"max_link_{name}").read_text().strip() for name in ("speed", "width")}
        negotiated = {"speed": speed, "width": str(width)}
        _bridge(slot, "0x1022", negotiated, negotiated)
        _bridge(outer, f"0x{_VENDOR:04x}", negotiated, own)
        _bridge(inner, f"0x{_VENDOR:04x}", own, own)
        self.folder = self.folder.rename(inner / self.address)
        for folder in (self.tree.path / "bus" / "pci" / "devices", self.tree.driver):
            (folder / self.address).unlink()
            (folder / self.address).symlink_to(os.path.relpath(self.folder, folder))
        return outer

    def unplug(self) -> None:
        """Remove it from the bus."""
        self.unbind()
        (self.tree.path / "bus" / "pci" / "devices" / self.address).unlink()
        for name in (f"card{self.number}", f"renderD{self.render}"):
            (self.tree.path / "class" / "drm" / name).unlink()
        shutil.rmtree(self.folder)

    def set_partition_mode(self, mode: str, memory_mode: str = "NPS1") -> None:
        """Repartition it."""
        self.mode, self.memory_mode = mode, memory_mode
        self.write("current_compute_partition", mode)
        self.write("current_memory_partition", memory_mode)
        self.write_table()
        self.tree.write_topology()

    def write_table(self, **fields: Value) -> None:
        """Write `gpu_metrics` with the values of the card's kind, except for the given fields."""
        kind, count = self.kind, self.partitions
        filled: dict[str, Value] = {**kind.table_fields, **fields}
        if kind.table == (1, 9):
            self._write_described(filled)
            return
        parts: list[Fields] = [{"gfx": dies, "vcn": (5,), "jpeg": (3,)} for dies in self._dies()] if kind.dies else []
        if parts:
            filled.setdefault("partitions", count)
        self.write_bytes("gpu_metrics", table(kind.table, filled, parts))

    def partition_folder(self, number: int) -> Path:
        """The folder of a partition's device."""
        return self.folder if number == 0 else self.tree.platform_device(self.xcp[number - 1][0])

    def _dies(self) -> list[tuple[int, ...]]:
        """The utilization of the compute dies of each partition."""
        each = len(self.kind.dies) // self.partitions
        return [self.kind.dies[first : first + each] for first in range(0, len(self.kind.dies), each)]

    def _write_described(self, filled: Fields) -> None:
        """Version 1.9: the table of the GPU has all compute dies; each partition has a table with its own."""
        engines: Fields = {"vcn": (5,), "jpeg": (3,)}
        self.write_bytes("gpu_metrics", amd_attributes.gpu_table({"gfx_dies": self.kind.dies, **engines, **filled}))
        for number in range(self.partitions, len(self.xcp) + 1):
            shutil.rmtree(self.partition_folder(number) / "xcp", ignore_errors=True)
        for number, dies in enumerate(self._dies()):
            self.write_partition_table(number, amd_attributes.partition_table({"gfx_dies": dies, **engines}))

    def write_partition_table(self, number: int, content: bytes) -> None:
        """Write `xcp_metrics` of a partition."""
        _replace(self.partition_folder(number) / "xcp" / "xcp_metrics", content)


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


class AmdTree:
    """Builds the tree under a directory.

    Args:
        path: Replaces `/sys`.
        xcp_mark: Precedes the number in the names of the partitions' platform devices: a dot or an underscore.
        partition_in_function: Whether KFD writes the partition into the function's bits, as older drivers do.
    """

    def __init__(self, path: Path, *, xcp_mark: str = "_", partition_in_function: bool = False) -> None:
        self.path = path
        self.root = Root(path)
        self.gpus: list[Gpu] = []
        self.driver = path / "bus" / "pci" / "drivers" / "amdgpu"
        self.kfd = path / "devices" / "virtual" / "kfd" / "kfd"
        self._mark = xcp_mark
        self._in_function = partition_in_function
        self._generation = 1
        self._next_card, self._next_render, self._next_xcp = 0, _FIRST_RENDER, 0
        for folder in ("class/drm", "class/kfd", "bus/pci/devices", "bus/pci/drivers/amdgpu", "devices/platform"):
            (path / folder).mkdir(parents=True)
        self._write("module/amdgpu/initstate", "live")
        self._write("module/amdgpu/version", "6.12.12")
        self._write("module/amdgpu/parameters/bad_page_threshold", "-1")
        self._link("module/amdgpu/drivers/pci:amdgpu", "../../../bus/pci/drivers/amdgpu")
        self._link("class/kfd/kfd", "../../devices/virtual/kfd/kfd")
        self.write_topology()

    def add(self, kind: AmdCard, address: str, card: int | None = None) -> Gpu:
        """Add a card.

        Args:
            kind: The kind of card.
            address: Address of its PCI function.
            card: N of its DRM card; the next one if not given.
        """
        gpu = Gpu(self, kind, address, self._next_card if card is None else card, self._next_render)
        self._next_card, self._next_render = gpu.number + 1, gpu.render + 1
        self.gpus.append(gpu)
        self._add_function(gpu)
        self._add_readings(gpu)
        for _ in range(max(kind.modes.values(), default=1) - 1):
            self._add_platform_device(gpu)
        gpu.bind()
        return gpu

    def write_topology(self) -> None:
        """Write all KFD nodes again, with new numbers, and count the change."""
        shutil.rmtree(self.kfd / "topology", ignore_errors=True)
        self._node(0, {"cpu_cores_count": 64, "simd_count": 0}, gpu_id=0, name="")
        number = 1
        for gpu in self.gpus:
            for partition in range(gpu.partitions if gpu.present else 0):
                self._gpu_node(number, gpu, partition)
                number += 1
        self._generation += 1
        self._write("devices/virtual/kfd/kfd/topology/generation_id", str(self._generation))

    def platform_device(self, number: int) -> Path:
        """The folder of a platform device of a partition."""
        return self.path / "devices" / "platform" / f"amdgpu_xcp{self._mark}{number}"

    def node(self, gpu: Gpu, partition: int = 0) -> Path:
        """The folder of a KFD node."""
        before = sum(each.partitions for each in self.gpus[: self.gpus.index(gpu)] if each.present)
        return self.kfd / "topology" / "nodes" / str(1 + before + partition)

    def _add_function(self, gpu: Gpu) -> None:
        gpu.folder.mkdir(parents=True)
        kind, address = gpu.kind, gpu.address
        for name, text in {
            "vendor": f"0x{_VENDOR:04x}",
            "device": f"0x{kind.device:04x}",
            "class": f"0x{kind.pci_class:06x}",
            "numa_node": "0" if kind.pci_class != DISPLAY else "1",
            "uevent": f"DRIVER=amdgpu\nPCI_SLOT_NAME={address}",
            "vbios_version": "113-M3000100-102",
        }.items():
            gpu.write(name, text)
        self._link(f"bus/pci/devices/{address}", f"../../../devices/{_BUS}/{address}")
        self._link(f"class/drm/card{gpu.number}", f"../../devices/{_BUS}/{address}/drm/card{gpu.number}")
        self._link(f"class/drm/renderD{gpu.render}", f"../../devices/{_BUS}/{address}/drm/renderD{gpu.render}")
        for name in (f"card{gpu.number}", f"renderD{gpu.render}"):
            self._link(f"devices/{_BUS}/{address}/drm/{name}/device", f"../../../{address}")

    def _add_readings(self, gpu: Gpu) -> None:
        kind = gpu.kind
        files = dict(kind.files)
        if kind.unique:
            files |= {"unique_id": f"{gpu.unique_id:016x}", "serial_number": f"PCB{gpu.number:06d}-0001"}
        if kind.name:
            files["product_name"] = kind.name
        if kind.modes:
            files |= {"current_compute_partition": gpu.mode, "current_memory_partition": gpu.memory_mode}
            files["available_compute_partition"] = ", ".join(kind.modes)
        files |= {
            "mem_info_vram_total": str(kind.vram_bytes),
            "mem_info_vram_used": str(kind.vram_bytes // 4),
            "mem_info_gtt_total": str(kind.vram_bytes),
            "mem_info_gtt_used": str(kind.vram_bytes // 64),
            "hwmon/name": "amdgpu",
            "power/runtime_status": "active",
            **{f"hwmon/{name}": text for name, text in kind.hwmon.items()},
            **{f"ras/{block}_err_count": "ue: 0\nce: 0" for block in kind.ras},
            **({"ras/umc_err_count": "ue: 0\nce: 0\nde: 0"} if kind.ras else {}),
        }
        for name, text in files.items():
            gpu.write(name, text)
        gpu.write_table()
        if kind.ras:
            gpu.write_bytes("ras/gpu_vram_bad_pages", b"")

    def _add_platform_device(self, gpu: Gpu) -> None:
        number, card, render = self._next_xcp, self._next_card, self._next_render
        self._next_xcp, self._next_card, self._next_render = number + 1, card + 1, render + 1
        gpu.xcp.append((number, card, render))
        for name in (f"card{card}", f"renderD{render}"):
            (self.platform_device(number) / "drm" / name).mkdir(parents=True)

    def _gpu_node(self, number: int, gpu: Gpu, partition: int) -> None:
        domain, bus, rest = gpu.address.split(":")
        device, function = rest.split(".")
        location = int(bus, 16) << 8 | int(device, 16) << 3 | int(function)
        count = gpu.partitions
        if count > 1:
            location |= partition if self._in_function else partition << 28
        properties = {
            "cpu_cores_count": 0,
            "simd_count": gpu.kind.simd_count // count,
            "simd_per_cu": gpu.kind.simd_per_cu,
            "mem_banks_count": 1,
            "array_count": 4,
            "simd_arrays_per_engine": 1,
            "cu_per_simd_array": 13,
            "gfx_target_version": gpu.kind.gfx_target_version,
            "vendor_id": _VENDOR,
            "device_id": gpu.kind.device,
            "location_id": location,
            "domain": int(domain, 16),
            "drm_render_minor": gpu.render if partition == 0 else gpu.xcp[partition - 1][2],
            "hive_id": 0,
            "unique_id": gpu.unique_id,
        }
        self._node(number, properties, gpu_id=1000 + number, name="gpu")
        bank = f"devices/virtual/kfd/kfd/topology/nodes/{number}/mem_banks/0"
        self._write(f"{bank}/properties", f"heap_type 1\nsize_in_bytes {gpu.kind.vram_bytes // count}\nflags 0")
        # 2,907,979,776 bytes: recorded of one partition of an MI308X in ROCm/k8s-device-plugin, topology-parsing-mi308.
        self._write(f"{bank}/used_memory", str(2_907_979_776 + partition))

    def _node(self, number: int, properties: dict[str, int], gpu_id: int, name: str) -> None:
        folder = f"devices/virtual/kfd/kfd/topology/nodes/{number}"
        (self.path / folder / "io_links").mkdir(parents=True)
        self._write(f"{folder}/gpu_id", str(gpu_id))
        self._write(f"{folder}/name", name)
        self._write(f"{folder}/properties", "\n".join(f"{key} {value}" for key, value in properties.items()))

    def _write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def _link(self, name: str, target: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def _bridge(folder: Path, vendor: str, now: Mapping[str, str], most: Mapping[str, str]) -> None:
    """The port of a bridge, with its current link and what it can do."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"vendor": vendor}
    files |= {f"current_link_{name}": text for name, text in now.items()}
    files |= {f"max_link_{name}": text for name, text in most.items()}
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def eight_of(tree: AmdTree, kind: AmdCard) -> list[Gpu]:
    """A node with eight cards of a kind, as on an OAM board."""
    buses = ("05", "26", "46", "65", "85", "a6", "c6", "e5")
    return [tree.add(kind, f"0000:{bus}:00.0") for bus in buses]
