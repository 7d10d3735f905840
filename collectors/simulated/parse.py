"""Parses the YAML text of a scenario: strict and bounded; every error is one line with file, line and key."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from collectors import labels
from collectors.simulated import fields, parse_devices
from collectors.simulated.document import Node, read_document
from collectors.simulated.fields import ScenarioSection
from collectors.simulated.parse_load import LONGEST_SECONDS
from collectors.simulated.parse_pods import Frame, pods_of, until_of
from collectors.simulated.scenario import DevicePlan, Incident, Scenario, Trouble

_MOST_INCIDENTS = 200
_LARGEST_SEED = 2**32 - 1
_KEYS = ("description", "seed", "repeat", "noise", "devices", "pods", "faults")
_RATE = fields.number(0, 1_000)
_CODE = fields.matching(r"[a-z0-9_]{1,20}", "one of the profile's codes")
# The keys of each kind of fault besides `kind` and `at`; True marks the required ones.
_FAULT_KEYS: Mapping[Trouble, Mapping[str, bool]] = {
    Trouble.HANG: {"for": True},
    Trouble.RAISE: {"for": True},
    Trouble.SLOW: {"for": True, "delay": True},
    Trouble.DEVICE_LOST: {"for": True, "devices": True},
    Trouble.GARBAGE: {"for": True, "devices": True},
    Trouble.DRIVER_RELOAD: {},
    Trouble.MEMORY_ERRORS: {
        "for": True,
        "devices": True,
        "corrected_per_second": False,
        "uncorrected_per_second": False,
    },
    Trouble.THROTTLE: {"for": True, "devices": True, "reason": True},
    Trouble.CRITICAL_ERROR: {"devices": True, "code": True},
}


def parse_scenario(text: str, name: str, folder: Path) -> Scenario:
    """The scenario that a text describes.

    Args:
        text: YAML.
        name: The file's name, for errors.
        folder: The folder of its traces.

    Raises:
        ScenarioError: The scenario is invalid.
    """
    section = ScenarioSection(read_document(text, name), _KEYS, "a scenario")
    description = section.need("description", fields.text)
    repeat = section.get("repeat", fields.whole(1, LONGEST_SECONDS), None)
    devices = section.need("devices", parse_devices.reader(folder))
    frame = Frame(devices, repeat, folder)
    incident = partial(_incident, devices=devices, repeat=repeat)
    return Scenario(
        description=description,
        seed=section.get("seed", fields.whole(0, _LARGEST_SEED), 0),
        repeat=repeat,
        noise_ratio=section.get("noise", fields.number(0, 1), 0.0),
        devices=devices,
        pods=section.get("pods", lambda node: pods_of(node, frame), ()),
        incidents=section.get("faults", fields.items(incident, "faults", 0, _MOST_INCIDENTS), ()),
    )


def _incident(node: Node, devices: tuple[DevicePlan, ...], repeat: int | None) -> Incident:
    every = dict.fromkeys(key for keys in _FAULT_KEYS.values() for key in keys)
    section = ScenarioSection(node, ("kind", "at", *every), "a fault")
    trouble = Trouble(section.need("kind", fields.one_of("kind", [trouble.value for trouble in Trouble])))
    _check_keys(section, trouble, tuple(every))
    since = section.need("at", fields.whole(0, LONGEST_SECONDS))
    until = since + section.get("for", fields.whole(1, LONGEST_SECONDS), 1)
    until_of(section, since, until, "for" if "for" in section else "at", repeat)
    indices = fields.items(fields.whole(0, len(devices) - 1), "devices", 1, len(devices))
    affected = tuple(dict.fromkeys(section.get("devices", indices, ())))
    code = section.get("code", _CODE, "")
    if code:
        _check_code(section, code, [devices[index] for index in affected])
    return Incident(
        trouble=trouble,
        since=since,
        until=until,
        devices=affected,
        delay_seconds=section.get("delay", fields.number(0, 3_600), 0.0),
        corrected_per_second=section.get("corrected_per_second", _RATE, 0.0),
        uncorrected_per_second=section.get("uncorrected_per_second", _RATE, 0.0),
        reason=section.get("reason", fields.one_of("reason", labels.THROTTLE_REASON.values), ""),
        code=code,
    )


def _check_keys(section: ScenarioSection, trouble: Trouble, every: tuple[str, ...]) -> None:
    known = _FAULT_KEYS[trouble]
    for key in every:
        if key in section and key not in known:
            raise section.error(key, f"not a key of {trouble}, expected one of {', '.join(('at', *known))}")
        if known.get(key) and key not in section:
            raise section.error("kind", f"{trouble} needs {key}")


def _check_code(section: ScenarioSection, code: str, affected: list[DevicePlan]) -> None:
    for device in affected:
        codes = [known.code for known in device.profile.error_codes]
        if code not in codes:
            listed = f"one of {', '.join(codes)}" if codes else "a profile with codes"
            raise section.error("code", f"profile {device.profile.name} has no code {code}, expected {listed}")
