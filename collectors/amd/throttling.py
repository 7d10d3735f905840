"""Why clocks are reduced: from bits that are the same for every card, or from counters of the firmware's cycles.

Source of the bits: the kernel's `drivers/gpu/drm/amd/pm/swsmu/inc/amdgpu_smu.h`. The MI300 uses different bits before
version 1.6 of the table; these are not read.
"""

from collections.abc import Iterator

from collectors import catalog
from collectors.amd.gpu_files import GpuFiles, Query
from collectors.contract import UnsupportedError
from collectors.query import RawValue
from collectors.sysfs import Root

# Limits of power and current, and FIT, with which the firmware protects the silicon from wear.
_POWER = range(32)
_THERMAL = range(32, 46)
_PROCHOT = range(46, 48)
_PACKAGE_POWER = range(56, 57)
_FIT = range(57, 58)
_REASONS = {
    "power": (*_POWER, *_PACKAGE_POWER),
    "thermal": tuple(_THERMAL),
    "reliability": tuple(_FIT),
    "external": tuple(_PROCHOT),
}
_MASKS = {reason: sum(1 << bit for bit in bits) for reason, bits in _REASONS.items()}


def _by_bits(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    """The reasons all of whose bits are known."""
    metrics = files.metrics()
    bits = metrics.throttle_bits
    if bits is None:
        raise UnsupportedError("gpu_metrics: no throttle status bits")
    for reason, mask in _MASKS.items():
        if not mask & (metrics.unknown_throttle_bits or 0):
            yield RawValue(catalog.THROTTLE_ACTIVE, bool(bits & mask), labels=(reason,))


def _by_cycles(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    _update(files)
    for reason, active in files.throttle_time.active().items():
        yield RawValue(catalog.THROTTLE_ACTIVE, active, labels=(reason,))


def _seconds(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    _update(files)
    for reason, seconds in files.throttle_time.seconds().items():
        yield RawValue(catalog.THROTTLE_SECONDS, seconds, labels=(reason,))


def _update(files: GpuFiles) -> None:
    """Add the table's counters; a second call in the same poll changes nothing.

    Raises:
        UnsupportedError: This version of the table has no such counters.
    """
    metrics = files.metrics()
    if metrics.residencies is None:
        raise UnsupportedError("gpu_metrics: no counters of throttled cycles")
    files.throttle_time.update(metrics.residencies)


_BITS = "throttle reasons"

QUERIES: tuple[Query, ...] = (
    Query(_BITS, (catalog.THROTTLE_ACTIVE,), _by_bits),
    Query("throttle reasons, by cycles", (catalog.THROTTLE_ACTIVE,), _by_cycles, fallback_for=_BITS),
    Query("throttle time", (catalog.THROTTLE_SECONDS,), _seconds),
)
