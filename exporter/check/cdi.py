"""Reads the CDI files once."""

from collections.abc import Iterable
from pathlib import Path

from exporter.attribution.cdi_specs import CdiSpecs
from exporter.check.facts import CdiDirectory


def read_cdi_files(specs: CdiSpecs, directories: Iterable[Path]) -> tuple[CdiDirectory, ...]:
    """Read all files; return which of the directories exist.

    Args:
        specs: The files, which are asked afterwards.
        directories: Where they are.
    """
    specs.refresh()
    return tuple(CdiDirectory(str(path), path.is_dir()) for path in directories)
