"""The questions of `collectors.query`, as they are put to the kernel's files."""

from typing import TypeAlias

from collectors import query
from collectors.amd.visit import Visit
from collectors.sysfs import Root

__all__ = ["Batch", "Query", "Questions"]


# Classes, not aliases: called by an alias, a frozen class with slots can't be made in Python 3.11.
class Query(query.Query[Root, Visit]):
    """One question by files of its own."""

    __slots__ = ()


class Batch(query.Batch[Root, Visit]):
    """Questions that one file answers together."""

    __slots__ = ()


Questions: TypeAlias = query.Questions[Root, Visit]
