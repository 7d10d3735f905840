"""Links: PCIe to the host, XGMI to other GPUs.

Many Radeon and some Instinct cards have their own PCIe switch; the link of the GPU behind it is inside the card and
always fast. The relevant link is that of the card: the link of the outermost bridge of the same vendor. Its other end
is the port of the slot, the first bridge of another vendor. A link can be as fast and as wide as both ends allow.

Source: the kernel's `Documentation/ABI/testing/sysfs-bus-pci`, `kgd_pp_interface.h` and `amdgpu_xgmi.c`. The two ends:
amdgpu_device_gpu_bandwidth and amdgpu_device_partner_bandwidth in `amdgpu_device.c`. `xgmi_error` is never read,
because reading clears it. Bytes over PCIe are not read: `pcie_bw` blocks for a second, and the table's sum is in whole
gigabytes of an unstated size.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias

from collectors import catalog
from collectors.amd.files import read_number, read_text
from collectors.amd.gpu_files import GpuFiles, Query
from collectors.amd.gpu_metrics.model import XgmiLinks
from collectors.contract import CollectorError, UnsupportedError
from collectors.metric import Metric
from collectors.query import InvalidValueError, NoDataError, RawValue
from collectors.sysfs import Root

_VENDOR = "0x1002"
_UNKNOWN = "Unknown"
# PCIe generation by gigatransfers per second.
_GENERATIONS = {
    "2.5": 1,
    "5.0": 2,
    "5": 2,
    "8.0": 3,
    "8": 3,
    "16.0": 4,
    "16": 4,
    "32.0": 5,
    "32": 5,
    "64.0": 6,
    "64": 6,
}
_MAX_LANES = 32
_XGMI = "xgmi"
_HEXADECIMAL = re.compile(r"[0-9a-f]{2}")
_Read: TypeAlias = Callable[[Path], int]


def _card(folder: Path) -> Path:
    """The outermost PCI function of the card that a GPU is on."""
    card = folder.resolve()
    while _is_same_vendor(card.parent):
        card = card.parent
    return card


def _is_same_vendor(folder: Path) -> bool:
    try:
        return read_text(folder / "vendor") == _VENDOR
    except CollectorError:
        return False


def _read_generation(path: Path) -> int:
    text = read_text(path)
    speed = text.split()[0]
    if speed == _UNKNOWN:
        raise NoDataError(f"{path.name}: unknown")
    if speed not in _GENERATIONS:
        raise InvalidValueError(f"{path.name}: {text[:40]!r}")
    return _GENERATIONS[speed]


def _read_width(path: Path) -> int:
    """Lanes; the kernel returns 0 or 255 if the number is unknown."""
    lanes = read_number(path)
    if lanes in {0, 255}:
        raise NoDataError(f"{path.name}: {lanes}")
    if lanes > _MAX_LANES:
        raise InvalidValueError(f"{path.name}: {lanes}")
    return lanes


def _current(read: _Read, name: str, metric: Metric, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    yield RawValue(metric, read(files.read_once(_card) / f"current_link_{name}"))


def _highest(read: _Read, name: str, metric: Metric, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    """What both ends of the card's link allow; what the card allows if it is in no slot, or its port states nothing.

    The virtual port of a guest may state less than the link of the real device does (pcie_sync_bridge_lnk in QEMU's
    `hw/pci/pcie.c`), and so do some real ports (the kernel's `drivers/pci/controller/pci-loongson.c`).
    """
    card = files.read_once(_card)
    highest = read(card / f"max_link_{name}")
    with suppress(UnsupportedError, NoDataError):
        highest = min(highest, read(card.parent / f"max_link_{name}"))
    with suppress(CollectorError):
        highest = max(highest, read(card / f"current_link_{name}"))
    yield RawValue(metric, highest)


def _replays(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    yield RawValue(catalog.PCIE_REPLAYS, files.kept.read_number(files.paths.folder, "pcie_replay_count"))


def _table_replays(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    replays = files.metrics().pcie_replays
    if replays is None:
        raise UnsupportedError("gpu_metrics: no count of PCIe replays")
    yield RawValue(catalog.PCIE_REPLAYS, replays)


def _links(files: GpuFiles) -> XgmiLinks:
    return files.metrics().xgmi


def _moved(files: GpuFiles) -> Iterator[tuple[str, Sequence[float | None]]]:
    """Bytes of each link, by direction.

    Raises:
        UnsupportedError: No link counts bytes.
    """
    links = _links(files)
    moved = {"receive": links.received_bytes, "transmit": links.sent_bytes}
    if not any(count is not None for counts in moved.values() for count in counts):
        raise UnsupportedError("gpu_metrics: no XGMI link")
    yield from moved.items()


def _bytes(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    for direction, counts in _moved(files):
        counted = {link: count for link, count in enumerate(counts) if count is not None}
        if not files.has_all_links(direction, frozenset(counted)):
            raise NoDataError("gpu_metrics: an XGMI link has no count now")
        if counted:
            yield RawValue(catalog.INTERCONNECT_BYTES, sum(counted.values()), labels=(_XGMI, direction, ""))


def _bytes_per_link(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    for direction, counts in _moved(files):
        for link, count in enumerate(counts):
            if count is not None:
                yield RawValue(catalog.INTERCONNECT_BYTES, count, labels=(_XGMI, direction, str(link)))


def _states(files: GpuFiles) -> list[bool]:
    """Whether each link is up, of those whose state is known.

    Raises:
        UnsupportedError: The table has no states of links.
        NoDataError: It has, but the driver knows none of them: nor does it know then which trained links are up.
    """
    states = _links(files).up
    if not states:
        raise UnsupportedError("gpu_metrics: no state of XGMI links")
    known = [state for state in states if state is not None]
    if not known:
        raise NoDataError("gpu_metrics: the states of XGMI links are not available")
    return known


def _counts(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    up = _states(files)
    yield RawValue(catalog.INTERCONNECT_LINKS, sum(up), labels=(_XGMI, "up"))
    yield RawValue(catalog.INTERCONNECT_LINKS, len(up) - sum(up), labels=(_XGMI, "down"))


def _trained(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    """xgmi_num_links: links to each GPU of the hive that were trained at start, two hexadecimal digits for each GPU."""
    text = read_text(files.paths.folder / "xgmi_num_links")
    numbers = text.split()
    if not all(_HEXADECIMAL.fullmatch(number) for number in numbers):
        raise InvalidValueError(f"xgmi_num_links: {text[:40]!r}")
    links = sum(int(number, 16) for number in numbers)
    if not links:
        raise UnsupportedError("xgmi_num_links: no link")
    yield RawValue(catalog.INTERCONNECT_LINKS, links, labels=(_XGMI, "up"))


def _bandwidth(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    bytes_per_second = _links(files).link_bytes_per_second
    up = sum(_states(files))
    if not bytes_per_second:
        raise NoDataError("gpu_metrics: no bandwidth of XGMI links")
    yield RawValue(catalog.INTERCONNECT_BANDWIDTH_LIMIT, bytes_per_second * up, labels=(_XGMI,))


_REPLAYS = "pcie replays"
_LINKS = "xgmi links"
_ALWAYS: tuple[Query, ...] = (
    *(
        Query(f"pcie {which} {name}", (metric,), partial(query, read, name, metric))
        for which, query, name, read, metric in (
            ("current", _current, "speed", _read_generation, catalog.PCIE_GENERATION),
            ("highest", _highest, "speed", _read_generation, catalog.PCIE_MAX_GENERATION),
            ("current", _current, "width", _read_width, catalog.PCIE_WIDTH),
            ("highest", _highest, "width", _read_width, catalog.PCIE_MAX_WIDTH),
        )
    ),
    Query(_REPLAYS, (catalog.PCIE_REPLAYS,), _replays),
    Query("pcie replays, table", (catalog.PCIE_REPLAYS,), _table_replays, fallback_for=_REPLAYS),
    Query(_LINKS, (catalog.INTERCONNECT_LINKS,), _counts),
    Query("xgmi links, trained", (catalog.INTERCONNECT_LINKS,), _trained, fallback_for=_LINKS),
    Query("xgmi bandwidth", (catalog.INTERCONNECT_BANDWIDTH_LIMIT,), _bandwidth),
)
# All links together.
QUERIES: tuple[Query, ...] = (*_ALWAYS, Query("xgmi bytes", (catalog.INTERCONNECT_BYTES,), _bytes))
# Each link separately.
QUERIES_PER_LINK: tuple[Query, ...] = (
    *_ALWAYS,
    Query("xgmi bytes of links", (catalog.INTERCONNECT_BYTES,), _bytes_per_link),
)
