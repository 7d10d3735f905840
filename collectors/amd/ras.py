"""Reliability (RAS): errors counted by the blocks of a GPU, and retired pages of its memory.

Source: the kernel's `Documentation/gpu/amdgpu/ras.rst`, and in `drivers/gpu/drm/amd/amdgpu`: `amdgpu_ras.c`
(amdgpu_ras_sysfs_read, amdgpu_ras_aca_sysfs_read), `amdgpu_ras.h` (enum amdgpu_ras_block). Counts begin when the driver
is loaded. Of all blocks only `umc`, the memory controller, counts errors of the device memory.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from collectors import catalog
from collectors.amd.files import read_long_text, read_number, read_text
from collectors.amd.gpu_files import GpuFiles, Query
from collectors.contract import CollectorError, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError, RawValue
from collectors.sysfs import Root

_FOLDER = "ras"
_SUFFIX = "_err_count"
_COUNT = re.compile(r"(\w+):\s*(\d+)")
_PAGE = re.compile(r"0x[0-9a-fA-F]+\s*:\s*0x[0-9a-fA-F]+\s*:\s*([RPF])")
_THRESHOLD = ("module", "amdgpu", "parameters", "bad_page_threshold")
_MEMORY = "umc"
_NOT_READY = "Query currently inaccessible"  # amdgpu_ras_sysfs_read, in place of the counts
# Far more errors than a driver counts. A higher number is no count, nor is the mark 2^32 - 1: it would be added to the
# events for good.
_MOST_ERRORS = 2**32 - 2
# Before UMC 12, the driver counts deferred errors as uncorrected: `umc_v6_1.c`, `umc_v6_7.c`, `umc_v8_7.c`,
# `umc_v8_10.c`, `umc_v8_14.c`. The count of deferred errors that it writes there is always 0.
_WITHOUT_DEFERRED = ("gfx90", "gfx10", "gfx11", "gfx120")
_BY_DRIVER, _OFF, _BY_SIZE = -1, 0, -2
# The driver regards one bad page in this amount of memory as typical: RAS_BAD_PAGE_COVER.
_BYTES_PER_BAD_PAGE = 100 * 1024 * 1024
# Bad pages for which the driver reserves memory: 16 for each 2 MiB of AMDGPU_RAS_RESERVED_VRAM_SIZE_DEFAULT (16 MiB),
# and on some GPUs of twice that.
_RESERVED_PAGES = 128
_DOUBLE_RESERVE = ("13", "0", "14")
_SECURITY_PROCESSOR = ("ip_discovery", "die", "0", "MP0", "0")


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Errors of one block since the driver was loaded.

    Attributes:
        corrected: Corrected by hardware, without loss.
        uncorrected: Not corrected, so data was lost.
        deferred: Not corrected, but no program has used the data yet; None if the driver does not write this count.
    """

    corrected: int
    uncorrected: int
    deferred: int | None = None


@dataclass(frozen=True, slots=True)
class BadPages:
    """Pages of device memory with errors.

    Attributes:
        retired: No longer used.
        pending: Not retired yet, possibly until the next reset.
    """

    retired: int
    pending: int


def read_counts(device: Path) -> Mapping[str, ErrorCount]:
    """Errors by block, such as `umc` (the memory) or `gfx`: ras/<block>_err_count. It fails if one block fails.

    Raises:
        UnsupportedError: The GPU has no such counts.
        UnavailableError: One of them can't be read.
        InvalidValueError: One of them is not a count.
    """
    names = Root(device).names(_FOLDER)
    counts = {}
    for block in [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]:
        try:
            counts[block] = read_count(device, block)
        except UnsupportedError:  # a block that is listed but not monitored
            continue
    if not counts:
        raise UnsupportedError("ras: no error counts")
    return counts


def read_count(device: Path, block: str) -> ErrorCount:
    """Errors of one block: ras/<block>_err_count.

    Raises:
        UnsupportedError: The GPU does not count them.
        UnavailableError: The file can't be read.
        InvalidValueError: It is not a count.
    """
    path = device / _FOLDER / f"{block}{_SUFFIX}"
    text = read_text(path)
    if text.startswith(_NOT_READY):
        raise UnavailableError(f"{path.name}: the driver cannot read the counts now, for example during a reset")
    counts = dict(_COUNT.findall(text))
    if not {"ue", "ce"} <= counts.keys():
        raise InvalidValueError(f"{path.name}: no counts of ue and ce")
    if any(int(count) > _MOST_ERRORS for count in counts.values()):
        raise InvalidValueError(f"{path.name}: an impossible count")
    deferred = int(counts["de"]) if "de" in counts else None
    return ErrorCount(corrected=int(counts["ce"]), uncorrected=int(counts["ue"]), deferred=deferred)


def read_bad_pages(device: Path) -> BadPages:
    """Bad pages: ras/gpu_vram_bad_pages, lines of page, size and R(eserved), P(ending) or F(ailed).

    Raises:
        UnsupportedError: The GPU has no such list.
        UnavailableError: It can't be read.
        InvalidValueError: A line is not a page.
    """
    lines = read_long_text(device / _FOLDER / "gpu_vram_bad_pages").splitlines()
    pages = [_PAGE.fullmatch(line.strip()) for line in lines]
    if None in pages:
        raise InvalidValueError("gpu_vram_bad_pages: a line is not a page")
    flags = Counter(page[1] for page in pages if page is not None)
    return BadPages(retired=flags["R"], pending=flags["P"] + flags["F"])


def bad_page_threshold(sysfs: Root, device: Path, memory_bytes: float) -> int | None:
    """The number of bad pages at which a GPU should be replaced; None if the driver's rule is disabled.

    The driver's parameter if an administrator has set it to a number. Otherwise it means one page in 100 MiB (-2), or
    what the driver chooses (-1, the default): since 2025 the pages that it has reserved memory for, before that also
    one in 100 MiB. The version of the driver is not known, so the smaller number is used.

    Source: amdgpu_ras_validate_threshold and amdgpu_ras_init_reserved_vram_size in `amdgpu_ras.c`; since 2026 also
    ras_eeprom_i2c_config in `drivers/gpu/drm/amd/ras/ras_mgr/amdgpu_ras_eeprom_i2c.c`.

    Args:
        sysfs: The root of the host's `/sys`.
        device: The folder of the GPU's PCI function.
        memory_bytes: Size of the device memory.
    """
    try:
        threshold = read_number(sysfs.path.joinpath(*_THRESHOLD))
    except CollectorError:
        threshold = _BY_DRIVER
    if threshold == _OFF:
        return None
    if threshold > 0:
        return threshold
    by_size = int(memory_bytes) // _BYTES_PER_BAD_PAGE or None
    if by_size is None or threshold == _BY_SIZE:
        return by_size
    return min(by_size, _reserved_pages(device))


def _reserved_pages(device: Path) -> int:
    """The bad pages that the driver has reserved memory for, by the version of the security processor (MP0).

    Source: amdgpu_ras_init_reserved_vram_size in the kernel's `amdgpu_ras.c`, `ip_discovery` in `amdgpu_discovery.c`.
    """
    root = Root(device)
    version = tuple(root.text(*_SECURITY_PROCESSOR, part) for part in ("major", "minor", "revision"))
    return _RESERVED_PAGES * 2 if version == _DOUBLE_RESERVE else _RESERVED_PAGES


def _errors(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    """Errors of the memory. Those of the other blocks are none of the memory, see `health`."""
    count = files.read_once(read_counts).get(_MEMORY)
    if count is None:
        raise UnsupportedError("ras: no error counts of the memory")
    yield RawValue(catalog.MEMORY_ERRORS, count.corrected, labels=("corrected",))
    yield RawValue(catalog.MEMORY_ERRORS, count.uncorrected, labels=("uncorrected",))
    if count.deferred is not None and not files.architecture.startswith(_WITHOUT_DEFERRED):
        yield RawValue(catalog.MEMORY_ERRORS, count.deferred, labels=("deferred",))


def _bad_pages(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    """Pages are retired because of errors that were not corrected, deferred ones included."""
    pages = files.read_once(read_bad_pages)
    yield RawValue(catalog.MEMORY_RETIRED_PAGES, pages.retired, labels=("uncorrected",))
    yield RawValue(catalog.MEMORY_REPAIR_PENDING, pages.pending > 0)


QUERIES: tuple[Query, ...] = (
    Query("memory errors", (catalog.MEMORY_ERRORS,), _errors),
    Query("bad pages", (catalog.MEMORY_RETIRED_PAGES, catalog.MEMORY_REPAIR_PENDING), _bad_pages),
)
