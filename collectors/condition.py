"""Why a device is not well, and what has happened to it: records with texts for people. No I/O."""

from typing import NamedTuple

HARDWARE = "hardware"
"""The value of the label `class` of `catalog.ERRORS` for events whose cause is the hardware."""


class Condition(NamedTuple):
    """A reason why the state of a device is not ok.

    The texts are short sentences without an end, and do not change while the condition lasts: no counts, no times.

    Attributes:
        state: The state that it leads to, of the closed list of `catalog.STATUS_STATE`, and never ok.
        text: What is wrong.
        do: What to do next.
    """

    state: str
    text: str
    do: str


class CriticalEvent(NamedTuple):
    """Critical events of one code that the driver has reported about a device since the last reading.

    Attributes:
        device_uuid: The device.
        source: What reported them, as the label `source` of `catalog.ERRORS`.
        code: Their code, as the label `code`.
        error_class: `hardware` or `application`, as the label `class`.
        text: What the code means.
        do: What to do next.
        state: The state that they lead to; empty if they do not affect the state.
        occurrences: How many there were.
    """

    device_uuid: str
    source: str
    code: str
    error_class: str
    text: str
    do: str
    state: str = ""
    occurrences: int = 1
