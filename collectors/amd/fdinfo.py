"""What the graphics driver tells of one opening of a GPU: a client, in the kernel's words.

Source: the kernel's `Documentation/gpu/drm-usage-stats.rst` and `drivers/gpu/drm/amd/amdgpu/amdgpu_fdinfo.c`, since
Linux 5.14. It is in `/proc/<pid>/fdinfo/<fd>` of every descriptor that leads to the client, of which there are several
once it was duplicated or inherited.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from collectors.amd.gpu_paths import DRIVER
from collectors.amd.kfd_processes import LARGEST_MEMORY_BYTES
from collectors.query import InvalidValueError

# Those that compute. The driver has more, for copies and video, each with a time of its own.
ENGINES = ("gfx", "compute")
# The second is the older name of the first. `drm-total-vram` is not read: memory that was evicted is in it.
_MEMORY = ("drm-resident-vram", "drm-memory-vram")
_AMOUNT = re.compile(r"([0-9]{1,20})(?:\s+(KiB|MiB))?")
_TIME = re.compile(r"([0-9]{1,20})\s+ns")
_CLIENT = re.compile(r"[0-9]{1,20}")
_BYTES = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20}
_LARGEST_TIME_NS = 1 << 63


class ClientKey(NamedTuple):
    """Which client it is.

    Attributes:
        address: Of the PCI function, in the kernel's spelling. Also a partition's client has that of the whole GPU.
        number: The client's, unique on the machine.
    """

    address: str
    number: int


@dataclass(frozen=True, slots=True)
class Client:
    """One opening of a GPU at one moment.

    Attributes:
        key: Which client it is.
        memory_bytes: Device memory it holds; None where the driver does not tell.
        engine_ns: How long it has had each of `ENGINES` so far. One that it never had is left out, and so is one whose
            time is not accounted: work in queues that the process itself feeds, as ROCm's does.
    """

    key: ClientKey
    memory_bytes: int | None
    engine_ns: Mapping[str, int]

    @property
    def is_active(self) -> bool:
        """Whether it does more than to have the GPU open, as tools that watch it have."""
        return bool(self.memory_bytes) or any(self.engine_ns.values())


def parse(content: bytes) -> Client | None:
    """Understand one file.

    Returns:
        None where it is another driver's, or does not tell whose client it is.

    Raises:
        InvalidValueError: A value in it can't be true. Then nothing in it is believed.
    """
    whole = content.rpartition(b"\n")[0]  # what follows the last end of a line was cut off
    lines = (line.partition(":") for line in whole.decode("utf-8", "replace").split("\n"))
    fields = {key.strip(): value.strip() for key, _, value in lines}
    address, number = fields.get("drm-pdev"), fields.get("drm-client-id", "")
    if fields.get("drm-driver") != DRIVER or not address or not _CLIENT.fullmatch(number):
        return None
    engines = {engine: fields[f"drm-engine-{engine}"] for engine in ENGINES if f"drm-engine-{engine}" in fields}
    times = {engine: _time(text) for engine, text in engines.items()}
    return Client(ClientKey(address, int(number)), _memory(fields), times)


def _memory(fields: Mapping[str, str]) -> int | None:
    text = next((fields[name] for name in _MEMORY if name in fields), None)
    if text is None:
        return None
    match = _AMOUNT.fullmatch(text)
    used = -1 if match is None else int(match[1]) * _BYTES[match[2]]
    if not 0 <= used <= LARGEST_MEMORY_BYTES:
        raise InvalidValueError(f"fdinfo: found {text[:40]!r}, expected an amount of memory")
    return used


def _time(text: str) -> int:
    """Nanoseconds."""
    match = _TIME.fullmatch(text)
    if match is None or int(match[1]) >= _LARGEST_TIME_NS:
        raise InvalidValueError(f"fdinfo: found {text[:40]!r}, expected a time")
    return int(match[1])
