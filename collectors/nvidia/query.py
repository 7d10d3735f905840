"""The questions of `collectors.query`, as they are put to NVML."""

from typing import TypeAlias

from collectors import query
from collectors.nvidia.nvml import Handle, Nvml
from collectors.query import Answer, Part, flat, rows_of

__all__ = ["Answer", "Batch", "Part", "Query", "Questions", "flat", "rows_of"]


# Classes, not aliases: called by an alias, a frozen class with slots can't be made in Python 3.11.
class Query(query.Query[Nvml, Handle]):
    """One question by calls of its own."""

    __slots__ = ()


class Batch(query.Batch[Nvml, Handle]):
    """Questions that one call answers together."""

    __slots__ = ()


Questions: TypeAlias = query.Questions[Nvml, Handle]
