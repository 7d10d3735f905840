"""What holds the clocks down just now.

The driver also counts the time for some of the reasons (fields 74, 76 and 269 to 271). Its header says nanoseconds and
its own tool prints the same numbers as microseconds; until that is measured on a device there is no
`throttle_seconds_total` from NVIDIA, for a counter in the wrong unit is worse than none.
"""

from collections.abc import Iterator
from functools import partial

from collectors import catalog
from collectors.nvidia.errors import InvalidValueError
from collectors.nvidia.nvml import Handle, Nvml, Query
from collectors.query import Answer

_NOT_AVAILABLE = 0xFFFFFFFFFFFFFFFF

# nvmlClocksEventReasons. The bits of idling, of clocks that somebody has set (application clocks, sync boost, display
# clocks) and of no reason at all are no throttling.
_POWER_CAP = 0x4
_HARDWARE_SLOWDOWN = 0x8
_SOFTWARE_THERMAL = 0x20
_HARDWARE_THERMAL = 0x40
_POWER_BRAKE = 0x80

# The slowdown bit is set together with that of its cause, hardware thermal or power brake. Alone it says that the
# hardware protects itself for a reason it does not tell.
_REASONS = {
    "power": _POWER_CAP,
    "thermal": _SOFTWARE_THERMAL | _HARDWARE_THERMAL,
    "external": _POWER_BRAKE,
}
_CAUSES_OF_SLOWDOWN = _HARDWARE_THERMAL | _POWER_BRAKE


def _reasons(call: str, nvml: Nvml, handle: Handle) -> Iterator[Answer]:
    bits = nvml.call(call, handle, read=int)
    if bits == _NOT_AVAILABLE:
        raise InvalidValueError(f"{call}: {bits:#x}")
    for reason, mask in _REASONS.items():
        yield Answer(catalog.THROTTLE_ACTIVE, bool(bits & mask), labels=(reason,))
    unexplained = bool(bits & _HARDWARE_SLOWDOWN) and not bits & _CAUSES_OF_SLOWDOWN
    yield Answer(catalog.THROTTLE_ACTIVE, unexplained, labels=("reliability",))


_ROWS = (catalog.THROTTLE_ACTIVE,)

QUERIES: tuple[Query, ...] = (
    Query("throttle reasons", _ROWS, partial(_reasons, "nvmlDeviceGetCurrentClocksEventReasons")),  # driver 535
    Query(
        "throttle reasons, old drivers",
        _ROWS,
        partial(_reasons, "nvmlDeviceGetCurrentClocksThrottleReasons"),
        instead_of="throttle reasons",
    ),
)
