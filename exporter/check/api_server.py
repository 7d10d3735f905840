"""Reads the API server once, as far as claims need it."""

import time
from typing import TYPE_CHECKING

from exporter.attribution.holding import PodResourcesList
from exporter.check.facts import ApiFacts
from exporter.configuration.settings import Settings
from exporter.inputs import Hardware, resource_slices_of

if TYPE_CHECKING:
    from exporter.attribution.resource_slices import ResourceSlices

_CHECK_SECONDS = 0.02


def start_reading(settings: Settings, hardware: Hardware) -> "ResourceSlices | None":
    """Begin to read slices; None where the API server is not read.

    Args:
        settings: As for the daemon.
        hardware: As for the daemon.
    """
    slices = resource_slices_of(settings, hardware, _nothing)
    if slices is not None:
        slices.start()
    return slices


def _nothing() -> None:
    """The answers are asked for once, when they are there."""


def read_api_server(
    slices: "ResourceSlices | None", answer: PodResourcesList | None, timeout_seconds: float
) -> tuple[ApiFacts, ...]:
    """Read slices, and the claims that the kubelet lists; return how that ended.

    Args:
        slices: Started; stopped here, and asked afterwards. None where the API server is not read.
        answer: The kubelet's answer; None if there is none.
        timeout_seconds: How long that may take.
    """
    if slices is None:
        return ()
    ends = time.monotonic() + timeout_seconds
    slices.follow(answer.claim_devices if answer else ())
    while not slices.settled and time.monotonic() < ends:
        time.sleep(_CHECK_SECONDS)
    slices.stop()
    return tuple(ApiFacts(each.what, each.right, each.state, each.text) for each in slices.health)
