"""Bounds how many values a label can have: its names come from those who may create pods or drivers. No I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping

MOST_NAMES = 100
OTHER = "other"


def few_names(names: Iterable[str]) -> Mapping[str, str]:
    """Return what each name is counted as: the first 100 in their order as themselves, any other as `other`."""
    every = set(names)
    kept = {OTHER, *sorted(every - {OTHER})[:MOST_NAMES]}
    return {name: name if name in kept else OTHER for name in every}


def counted_by_few(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Return the counts with at most 101 names, the sum of all unchanged."""
    labels = few_names(counts)
    few: Counter[str] = Counter()
    for name in labels:
        few[labels[name]] += counts[name]
    return few
