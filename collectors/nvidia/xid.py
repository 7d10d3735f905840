"""The driver's error codes (XID): their class, and their effect on the status of the device. No I/O.

The meanings follow NVIDIA's catalogue of XIDs, in different words. A code that is not listed here has the class
hardware and does not affect the status: each driver version can add codes.

Two documents of NVIDIA speak about the class. The list of causes (XID Errors, r555, section "Xid error listing") says
for the codes up to 143 whether a user's program can be the cause. The catalogue (Analyzing Xid Errors with the Xid
Catalog, 2025) names what to do at once, and what to investigate. Where they differ, the list of causes is followed:
for 11, 32, 37, 69 and 80 the catalogue advises to check the program, but the list names the driver, the bus and the
memory as causes. So a code has the class application if the list names the program, or if it says nothing of the code
and the catalogue describes a mistake of a program (108, 137). Exceptions: 45 follows another error or the end of a
program, 93 is about the device's own store, 109 needs a reset by the catalogue.

The effect is failed if the immediate action of the catalogue is a reset or a restart. Exceptions: after 156 the device
works until the reset, and 109 is ignored by NVIDIA's device plugin (k8s-device-plugin, internal/rm/health.go), because
a hanging program can cause it. The catalogue has no action for 162 to 172: 168 and 169 stop controllers of the device,
like 62.
"""

from dataclasses import dataclass
from enum import StrEnum

HARDWARE = "hardware"
APPLICATION = "application"

XID_SOURCE = "xid"
DRIVER_SOURCE = "driver"
GPU_UNAVAILABLE = "gpu_unavailable"


class Effect(StrEnum):
    """The effect of an event on the status of its device, until the device is known to work again."""

    NONE = "none"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class XidGroup:
    """Codes with the same meaning.

    Attributes:
        codes: The numbers.
        error_class: `application` if a program is usually the cause, so that its owner must act; `hardware` if the
            operator of the node must act on the device, its links, its firmware or its driver.
        effect: The effect on the status of the device.
        meaning: The meaning, for the documentation.
        from_start: Whether each device exports it at 0 from the start, so that `increase()` counts the first event.
            Each such code costs a series per device, so only codes that need an alert have it.
        special_advice: What to do next, for people; empty where that depends on class and effect only, see `advice`.
    """

    codes: tuple[int, ...]
    error_class: str
    effect: Effect
    meaning: str
    from_start: bool = False
    special_advice: str = ""

    @property
    def advice(self) -> str:
        """What to do next, for people."""
        if self.special_advice:
            return self.special_advice
        if self.error_class == APPLICATION:
            return ASK_OWNER
        return RESET if self.effect is Effect.FAILED else WATCH


# What to do, for people. The first three are for all groups without advice of their own.
ASK_OWNER = (
    "Inform the pod's owner. If one program fails on many devices, the cause is the program; if many programs fail on "
    "one device, check the device"
)
WATCH = "If it repeats, look for the cause in the driver's log, which dmesg shows on the node"
RESET = (
    "Remove the pods that use the device, then reset it. If the error repeats, have the device and its links checked"
)
_CHECK_MEMORY = "Reset the device. If the error repeats, have the device checked"
_CHECK_LINKS = (
    "See `nvidia-smi nvlink --status` and the fabric manager's log; reset all devices of the fabric. If the error "
    "repeats, check cables, bridges and switches"
)
_POWER_CYCLE = "Drain the node and power-cycle it. If the error repeats, check power supply, cooling, slot and device"
_OTHER_DRIVER = "Reset the device. If the error repeats, use another driver version"
_END_PROGRAM = "Find the program that hangs and end it. If programs of other owners hang too, reset the device"
_RESET_LATER = "Reset the device at the next opportunity"

_COPY_ENGINES = (39, 40, 41, 70, 71, 72, 75, 76, 77, 85, *range(126, 136))
_VIDEO_ENGINES = (47, 60, 65, 68, 73, 82, 83, 84, 86, 88, 89, *range(96, 106), 139, 142)
_NVLINK_5 = tuple(range(144, 151))

TABLE: tuple[XidGroup, ...] = (
    XidGroup(
        (8, 43),
        APPLICATION,
        Effect.NONE,
        "The work of a program stopped; the program is ended, the device continues to work",
    ),
    XidGroup((11, 32, 80), HARDWARE, Effect.NONE, "Commands arrived damaged, or were invalid"),
    XidGroup(
        (13,),
        APPLICATION,
        Effect.NONE,
        "A program caused an error of the compute engine, for example by an illegal address",
    ),
    XidGroup((25,), APPLICATION, Effect.NONE, "A program sent invalid commands"),
    XidGroup((31,), APPLICATION, Effect.NONE, "A program used memory that is not mapped"),
    XidGroup((37,), HARDWARE, Effect.NONE, "An engine's firmware does not support a request"),
    XidGroup(_COPY_ENGINES, HARDWARE, Effect.NONE, "A copy engine failed during a program's work"),
    XidGroup((44,), HARDWARE, Effect.NONE, "The compute engine failed while switching between programs"),
    XidGroup(
        (45,), APPLICATION, Effect.NONE, "A program's channels were removed: it was killed, or another error came first"
    ),
    XidGroup(
        _VIDEO_ENGINES, HARDWARE, Effect.NONE, "A video, image or optical flow engine failed during a program's work"
    ),
    XidGroup((46,), HARDWARE, Effect.FAILED, "The device did not answer the driver in time"),
    XidGroup(
        (48,),
        HARDWARE,
        Effect.DEGRADED,
        "Double-bit memory error, not corrected",
        from_start=True,
        special_advice=_CHECK_MEMORY,
    ),
    XidGroup(
        (54,),
        HARDWARE,
        Effect.DEGRADED,
        "Auxiliary power is not connected",
        special_advice="Check the power cables of the device",
    ),
    XidGroup((62,), HARDWARE, Effect.FAILED, "The controller of power and clocks has halted", from_start=True),
    XidGroup((63,), HARDWARE, Effect.NONE, "Bad memory is marked for repair at the next reset"),
    XidGroup((64,), HARDWARE, Effect.FAILED, "Bad memory could not be marked for repair", from_start=True),
    XidGroup((66, 67), APPLICATION, Effect.NONE, "An access that is not allowed, by a program through its driver"),
    XidGroup((69,), HARDWARE, Effect.NONE, "The compute engine refused a command of a class"),
    XidGroup((74,), HARDWARE, Effect.DEGRADED, "An NVLink failed", from_start=True, special_advice=_CHECK_LINKS),
    XidGroup(
        (79,),
        HARDWARE,
        Effect.FAILED,
        "The device has fallen off the bus",
        from_start=True,
        special_advice=_POWER_CYCLE,
    ),
    XidGroup((92,), HARDWARE, Effect.NONE, "High rate of corrected memory errors"),
    XidGroup((93,), HARDWARE, Effect.NONE, "The device's own store is written more often than planned"),
    XidGroup(
        (94,),
        HARDWARE,
        Effect.DEGRADED,
        "Memory error that could not be corrected; only the program that used the memory was ended",
        from_start=True,
        special_advice=_CHECK_MEMORY,
    ),
    XidGroup(
        (95,),
        HARDWARE,
        Effect.FAILED,
        "Memory error that could not be corrected; the work of any program may be wrong",
        from_start=True,
        special_advice=_CHECK_MEMORY,
    ),
    XidGroup(
        (109,),
        HARDWARE,
        Effect.DEGRADED,
        "Switching between programs did not end in time; often a program hangs",
        special_advice=_END_PROGRAM,
    ),
    XidGroup((106, 107), APPLICATION, Effect.NONE, "Test messages, not errors"),
    XidGroup((108, 137), APPLICATION, Effect.NONE, "A program used memory of another device that it may not use"),
    XidGroup((110,), HARDWARE, Effect.FAILED, "The device's security unit failed"),
    XidGroup(
        (119,),
        HARDWARE,
        Effect.FAILED,
        "The device's system processor (GSP) does not answer",
        from_start=True,
        special_advice=_OTHER_DRIVER,
    ),
    XidGroup(
        (120,),
        HARDWARE,
        Effect.FAILED,
        "The device's system processor (GSP) failed",
        from_start=True,
        special_advice=_OTHER_DRIVER,
    ),
    XidGroup((121,), HARDWARE, Effect.NONE, "Error on the chip-to-chip link (C2C)"),
    XidGroup((136,), HARDWARE, Effect.FAILED, "An NVLink could not be trained"),
    XidGroup(
        (140,),
        HARDWARE,
        Effect.FAILED,
        "Memory error that was not recovered",
        from_start=True,
        special_advice=_CHECK_MEMORY,
    ),
    XidGroup((141,), HARDWARE, Effect.NONE, "A program's work failed on CUDA's fast path"),
    XidGroup(
        (143,),
        HARDWARE,
        Effect.FAILED,
        "The device could not be initialised",
        from_start=True,
        special_advice=_POWER_CYCLE,
    ),
    XidGroup(
        _NVLINK_5,
        HARDWARE,
        Effect.NONE,
        "NVLink error of Blackwell or later; the recovery action shows how severe it is",
        special_advice=_CHECK_LINKS,
    ),
    XidGroup(
        (151,),
        HARDWARE,
        Effect.DEGRADED,
        "Keys could not be renewed: restart the virtual machine",
        special_advice="Restart the virtual machine",
    ),
    XidGroup((154,), HARDWARE, Effect.NONE, "The recovery action changed: a notice about another error"),
    XidGroup((155,), HARDWARE, Effect.FAILED, "NVLink error detected by software"),
    XidGroup(
        (156,),
        HARDWARE,
        Effect.DEGRADED,
        "A part of the device is retired from the next reset on",
        special_advice=_RESET_LATER,
    ),
    XidGroup((157,), HARDWARE, Effect.NONE, "A part of the device could not be retired"),
    XidGroup((158,), HARDWARE, Effect.FAILED, "A timeout from which the device does not recover", from_start=True),
    XidGroup((160,), HARDWARE, Effect.NONE, "A channel of the memory is retired"),
    XidGroup((161,), HARDWARE, Effect.NONE, "A channel of the memory could not be retired"),
    XidGroup((162, 163), HARDWARE, Effect.NONE, "Power smoothing is on again (162) or off (163)"),
    XidGroup((164,), HARDWARE, Effect.NONE, "The circuit for power smoothing is near the end of its life"),
    XidGroup((165,), HARDWARE, Effect.NONE, "The circuit for power smoothing is at the end of its life"),
    XidGroup(
        (167,),
        HARDWARE,
        Effect.DEGRADED,
        "Fatal timeout on the PCIe link",
        special_advice="Check the slot of the device, and reboot the node",
    ),
    XidGroup((168,), HARDWARE, Effect.FAILED, "Errors in the protected memory of the device's own controllers"),
    XidGroup((169,), HARDWARE, Effect.FAILED, "The device's security controller has halted"),
    XidGroup((171, 172), HARDWARE, Effect.NONE, "Location of an uncorrectable memory error: DRAM (171) or SRAM (172)"),
)

_BY_CODE = {str(code): group for group in TABLE for code in group.codes}

# The codes that are exported at 0 from the start.
FROM_START: tuple[str, ...] = tuple(code for code, group in _BY_CODE.items() if group.from_start)


def error_class(source: str, code: str) -> str:
    """The class of an event: hardware unless the code is listed as application."""
    known = _BY_CODE.get(code) if source == XID_SOURCE else None
    return HARDWARE if known is None else known.error_class


def meaning(source: str, code: str) -> tuple[str, str]:
    """What an event means, with its code, and what to do next. For people."""
    if source == DRIVER_SOURCE:
        return f"{code}: the driver no longer uses the device", RESET
    known = _BY_CODE.get(code)
    if known is None:
        return f"XID {code}: see NVIDIA's catalogue of XIDs", WATCH
    return f"XID {code}: {known.meaning}", known.advice


def effect(source: str, code: str) -> Effect:
    """The effect of an event on the status of its device."""
    if source == DRIVER_SOURCE:
        return Effect.FAILED if code == GPU_UNAVAILABLE else Effect.NONE
    known = _BY_CODE.get(code)
    return Effect.NONE if known is None else known.effect


def state_after(source: str, code: str) -> str:
    """The state of its device that an event leads to; empty if it does not affect the state."""
    has = effect(source, code)
    return "" if has is Effect.NONE else has.value
