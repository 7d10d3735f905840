"""Finds the installed collectors by their entry points, so that other packages can add collectors."""

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import entry_points
from typing import Protocol

from collectors.contract import CollectorSpec

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
    return entry_points(group=GROUP)


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
        RegistryError: An entry point cannot be loaded, is not a collector, or has a name that is already used.
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


def _load(entry: EntryPoint) -> CollectorSpec:
    where = f"collector {entry.name!r} ({entry.value})"
    try:
        spec = entry.load()
    except Exception as error:  # a module of another package may raise anything while it is imported
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RegistryError(f"{where} cannot be loaded: {cause}; repair or remove its package") from error
    if not isinstance(spec, CollectorSpec):
        raise RegistryError(
            f"{where} is a {type(spec).__name__}, expected a CollectorSpec; repair or remove its package"
        )
    if spec.name != entry.name:
        raise RegistryError(f"{where} has the name {spec.name!r}; entry point and collector must have the same name")
    return spec
