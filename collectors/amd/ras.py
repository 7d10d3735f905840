"""Reliability (RAS): errors counted by the blocks of a GPU, and retired pages of its memory.

Source: the kernel's `Documentation/gpu/amdgpu/ras.rst` and `drivers/gpu/drm/amd/amdgpu/amdgpu_ras.c`. Counts begin when
the driver is loaded. Deferred errors, which newer drivers also count, are detected but have not been used by any
program: they are neither corrected nor uncorrected, so they are not counted here.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from collectors import catalog
from collectors.amd.files import read_long_text, read_number, read_text
from collectors.amd.gpu_files import GpuFiles, Query
from collectors.contract import CollectorError, UnsupportedError
from collectors.query import InvalidValueError, RawValue
from collectors.sysfs import Root

_FOLDER = "ras"
_SUFFIX = "_err_count"
_COUNT = re.compile(r"(\w+):\s*(\d+)")
_PAGE = re.compile(r"0x[0-9a-fA-F]+\s*:\s*0x[0-9a-fA-F]+\s*:\s*([RPF])")
_THRESHOLD = ("module", "amdgpu", "parameters", "bad_page_threshold")
_OFF = 0
# The driver regards one bad page in this amount of memory as typical.
_BYTES_PER_BAD_PAGE = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Errors of one block since the driver was loaded.

    Attributes:
        corrected: Corrected by hardware, without loss.
        uncorrected: Not corrected, so data was lost.
    """

    corrected: int
    uncorrected: int


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
    counts = dict(_COUNT.findall(read_text(path)))
    if not {"ue", "ce"} <= counts.keys():
        raise InvalidValueError(f"{path.name}: no counts of ue and ce")
    return ErrorCount(corrected=int(counts["ce"]), uncorrected=int(counts["ue"]))


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


def bad_page_threshold(sysfs: Root, memory_bytes: float) -> int | None:
    """The number of bad pages at which a GPU should be replaced; None if the driver's rule is disabled.

    The driver's parameter if an administrator has set it, else its rule of one page in 100 MiB.

    Args:
        sysfs: The root of the host's `/sys`.
        memory_bytes: Size of the device memory.
    """
    try:
        threshold = read_number(sysfs.path.joinpath(*_THRESHOLD))
    except CollectorError:
        threshold = -1
    if threshold == _OFF:
        return None
    return threshold if threshold > 0 else int(memory_bytes) // _BYTES_PER_BAD_PAGE or None


def _errors(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    counts = files.read_once(read_counts).values()
    yield RawValue(catalog.MEMORY_ERRORS, sum(count.corrected for count in counts), labels=("corrected",))
    yield RawValue(catalog.MEMORY_ERRORS, sum(count.uncorrected for count in counts), labels=("uncorrected",))


def _bad_pages(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    """Pages are retired because of uncorrected errors only."""
    pages = files.read_once(read_bad_pages)
    yield RawValue(catalog.MEMORY_RETIRED_PAGES, pages.retired, labels=("uncorrected",))
    yield RawValue(catalog.MEMORY_REPAIR_PENDING, pages.pending > 0)


QUERIES: tuple[Query, ...] = (
    Query("memory errors", (catalog.MEMORY_ERRORS,), _errors),
    Query("bad pages", (catalog.MEMORY_RETIRED_PAGES, catalog.MEMORY_REPAIR_PENDING), _bad_pages),
)
