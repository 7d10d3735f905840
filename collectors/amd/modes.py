"""Modes of a GPU: whether it is cut into partitions, whether its memory corrects errors.

Source: the kernel's `drivers/gpu/drm/amd/amdgpu/amdgpu_ras.c`.
"""

import re
from collections.abc import Iterator

from collectors import catalog
from collectors.amd.files import read_text
from collectors.amd.gpu_files import Query, Visit
from collectors.contract import UnsupportedError
from collectors.query import Answer, InvalidValueError, NothingError
from collectors.sysfs import Root

PARTITIONING = ("partitioning",)
_ECC = ("ecc",)
_FEATURES = re.compile(r"feature mask: 0x([0-9a-fA-F]{1,16})")
_MEMORY_BLOCK = 1


def _partitions(_: Root, visit: Visit) -> Iterator[Answer]:
    if not visit.cut.known:
        raise NothingError("partitions: not known just now")
    yield Answer(catalog.PARTITIONS, len(visit.cut.found))


def _partitioning(_: Root, visit: Visit) -> Iterator[Answer]:
    if not visit.cut.partitionable:
        raise UnsupportedError("current_compute_partition: no such file")
    if not visit.cut.known:
        raise NothingError("partitions: not known just now")
    yield Answer(catalog.MODE_STATE, bool(visit.cut.found), labels=PARTITIONING)


def _ecc(_: Root, visit: Visit) -> Iterator[Answer]:
    """ras/features: a mask of the blocks that are watched, whose lowest bit is the memory's."""
    text = read_text(visit.layout.folder / "ras" / "features")
    found = _FEATURES.fullmatch(text.splitlines()[0])
    if found is None:
        raise InvalidValueError(f"ras/features: {text[:40]!r}")
    yield Answer(catalog.MODE_STATE, int(found[1], 16) & _MEMORY_BLOCK, labels=_ECC)


QUERIES: tuple[Query, ...] = (
    Query("partitions", (catalog.PARTITIONS,), _partitions),
    Query("partitioning", (catalog.MODE_STATE,), _partitioning),
    Query("ecc", (catalog.MODE_STATE,), _ecc),
)
