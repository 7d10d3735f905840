"""The exporter's own health as samples: collectors and source of allocations, beside those of its process."""

import sys
import threading
from collections.abc import Callable
from functools import lru_cache

from collectors.contract import Reason
from collectors.distributions import version
from exporter import families
from exporter.series import OwnSample
from exporter.snapshot import CollectorHealth, Snapshot

_KEPT = 32  # more than a node has collectors


def exporter_version() -> str:
    """The version of the installed distribution."""
    return version("accelerator-exporter", sys.path)


def health_samples(snapshot: Snapshot) -> list[OwnSample]:
    """Health of every collector and of every source of allocations in the snapshot."""
    samples: list[OwnSample] = []
    for health in snapshot.collectors:
        _add_collector(samples, health)
    for source in snapshot.attribution:
        samples.append(OwnSample(families.ATTRIBUTION_UP, float(source.up), (source.source,)))
        if source.last_success_timestamp_seconds is not None:
            at = source.last_success_timestamp_seconds
            samples.append(OwnSample(families.ATTRIBUTION_LAST_SUCCESS, at, (source.source,)))
    for name, count in snapshot.unmatched.items():
        samples.append(OwnSample(families.UNMATCHED_DEVICES, count, (name,)))
    for driver, count in snapshot.unresolved_claims.items():
        samples.append(OwnSample(families.UNRESOLVED_CLAIM_DEVICES, count, (driver,)))
    return samples


def _add_collector(samples: list[OwnSample], health: CollectorHealth) -> None:
    """An absent vendor has only one series: zero devices."""
    name = (health.name,)
    samples.append(OwnSample(families.COLLECTOR_DEVICES, health.devices, name))
    if health.duplicate_devices:
        samples.append(OwnSample(families.DUPLICATE_DEVICES, health.duplicate_devices, name))
    for uuid, seconds in health.stuck.items():
        samples.append(OwnSample(families.DEVICE_STUCK, seconds, (health.name, uuid)))
    if not health.present:
        return
    samples.append(OwnSample(families.COLLECTOR_UP, float(health.up), name))
    if health.duration_seconds is not None:
        samples.append(OwnSample(families.COLLECTOR_DURATION, health.duration_seconds, name))
    if health.cpu_seconds is not None:
        samples.append(OwnSample(families.COLLECTOR_CPU, health.cpu_seconds, name))
    if health.last_success_timestamp_seconds is not None:
        samples.append(OwnSample(families.COLLECTOR_LAST_SUCCESS, health.last_success_timestamp_seconds, name))
    samples += _errors(health.name, tuple(health.errors), tuple(health.errors.values()))


@lru_cache(_KEPT)
def _errors(collector: str, reasons: tuple[Reason, ...], counts: tuple[int, ...]) -> tuple[OwnSample, ...]:
    """Kept, because they are most of a collector's samples and seldom change."""
    counted = zip(reasons, counts, strict=True)
    return tuple(OwnSample(families.COLLECTOR_ERRORS, count, (collector, reason.value)) for reason, count in counted)


def build_samples() -> list[OwnSample]:
    """Version of the exporter and its Python."""
    return [OwnSample(families.BUILD_INFO, 1, (exporter_version(), sys.version.split()[0]))]


class SelfMetrics:
    """The metrics of the exporter itself. Safe to use from any thread.

    Args:
        process: Returns the samples of the exporter's own process, for one thread at a time; a double in tests.
        reloaded: Returns True while the configuration in force is the last one read.
    """

    def __init__(self, process: Callable[[], list[OwnSample]], reloaded: Callable[[], bool]) -> None:
        self._process = process
        self._reloaded = reloaded
        self._lock = threading.Lock()
        self._scrapes = 0
        self._build = build_samples()

    def count_scrape(self) -> None:
        """Count a scrape, once it has its response."""
        with self._lock:
            self._scrapes += 1

    def samples(self, snapshot: Snapshot) -> list[OwnSample]:
        """The exporter's own samples now."""
        with self._lock:
            scrapes, process = self._scrapes, self._process()
        return [
            *self._build,
            *health_samples(snapshot),
            OwnSample(families.SCRAPES, scrapes),
            OwnSample(families.CONFIG_RELOAD, float(self._reloaded())),
            *process,
        ]
