"""Finds the installed collectors by their entry points, so that other packages can add collectors.

A package that cannot be used costs only its own collector: in its place is one that always fails, which is counted.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from collectors.contract import Collector, CollectorSpec, Node, Reading, Reason, UnavailableError
from collectors.deferred import DeferredRows
from collectors.distributions import entry_points
from collectors.metric import Cadence, Metric

GROUP = "accelerator_exporter.collectors"


class RegistryError(Exception):
    """The installed collectors cannot be used. The text says which package must be repaired or removed."""


class EntryPoint(Protocol):
    """The used part of `importlib.metadata.EntryPoint`."""

    @property
    def name(self) -> str:
        """The name before the equals sign."""
        ...

    @property
    def value(self) -> str:
        """The object reference after the equals sign, `module:attribute`."""
        ...

    def load(self) -> object:
        """Import the module and return the attribute."""
        ...


def installed() -> Iterable[EntryPoint]:
    """The entry points of this group in every installed distribution."""
    return entry_points(GROUP, sys.path)


def installed_names() -> tuple[str, ...]:
    """The names of all installed collectors, sorted. Loads no code."""
    return tuple(sorted({entry.name for entry in installed()}))


def load(
    source: Callable[[], Iterable[EntryPoint]] = installed, names: Sequence[str] = ()
) -> tuple[CollectorSpec, ...]:
    """The installed collectors, ordered by name. Loads code, but does not access hardware.

    Args:
        source: Returns the entry points.
        names: Load only these, in this order; empty for all. Names that are not installed are ignored.

    Raises:
        RegistryError: Two entry points have the same name.
    """
    values: dict[str, str] = {}
    specs: dict[str, CollectorSpec] = {}
    for entry in source():
        if entry.name in values:
            raise RegistryError(
                f"two installed packages have a collector named {entry.name!r} ({values[entry.name]} and "
                f"{entry.value}); remove one of them"
            )
        values[entry.name] = entry.value
        if not names or entry.name in names:
            specs[entry.name] = _load(entry)
    return tuple(specs[name] for name in names or sorted(specs) if name in specs)


def create(spec: CollectorSpec, node: Node) -> Collector:
    """The collector of a package. One that cannot be created is replaced by one that always fails.

    Args:
        spec: What the package declares.
        node: The machine.
    """
    try:
        return spec.create(node)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a bug of one package must not end the other collectors
        return _UnusableCollector(f"cannot be created: {_first_line(error)}; repair or remove its package")


@dataclass(frozen=True, slots=True)
class _UnusableCollector:
    """In place of a collector that cannot be used: every reading fails.

    Attributes:
        text: What is wrong, and what to do.
    """

    text: str

    def read(self, _due: frozenset[Cadence]) -> Reading:
        """Always fails."""
        raise UnavailableError(self.text, Reason.BROKEN)

    def close(self) -> None:
        """Nothing is open."""


def _load(entry: EntryPoint) -> CollectorSpec:
    try:
        return _usable(entry.load(), entry.name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything while it is imported
        cause = str(error) if isinstance(error, RegistryError) else f"cannot be loaded: {_first_line(error)}"
        unusable = _UnusableCollector(f"{entry.value} {cause}; repair or remove its package")
        return CollectorSpec(entry.name, (), (), lambda _: unusable)


def _usable(spec: object, name: str) -> CollectorSpec:
    if not isinstance(spec, CollectorSpec):
        raise RegistryError(f"is a {type(spec).__name__}, expected a CollectorSpec")
    if spec.name != name:
        raise RegistryError(f"has the name {spec.name!r}; entry point and collector must have the same name")
    lists = (
        ("metrics", spec.metrics, Metric),
        ("partition_metrics", spec.partition_metrics, Metric),
        ("resource_prefixes", spec.resource_prefixes, str),
        ("dra_drivers", spec.dra_drivers, str),
    )
    for field, values, kind in lists:
        if isinstance(values, DeferredRows):
            continue
        if not (isinstance(values, tuple) and all(isinstance(value, kind) for value in values)):
            raise RegistryError(f"has {field} of another type, expected a tuple of {kind.__name__}")
    return spec


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
