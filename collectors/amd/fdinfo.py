"""What the graphics driver reports for one opening of a GPU, which the kernel calls a client.

Source: the kernel's `Documentation/gpu/drm-usage-stats.rst` and `drivers/gpu/drm/amd/amdgpu/amdgpu_fdinfo.c`, since
Linux 5.14. It is in `/proc/<pid>/fdinfo/<fd>` of every descriptor that leads to the client; there are several if the
descriptor was duplicated or inherited.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from collectors.amd.kfd_processes import LARGEST_MEMORY_BYTES
from collectors.amd.names import DRIVER
from collectors.query import InvalidValueError

# The engines that compute. The driver has more, for copies and video, each with its own time.
ENGINES = ("gfx", "compute")
# The second is the older name of the first. `drm-total-vram` is not read, because it includes evicted memory.
_MEMORY = ("drm-resident-vram", "drm-memory-vram")
_AMOUNT = re.compile(r"([0-9]{1,20})(?:\s+(KiB|MiB))?")
_TIME = re.compile(r"([0-9]{1,20})\s+ns")
_CLIENT = re.compile(r"[0-9]{1,20}")
_BYTES = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20}
_LARGEST_TIME_NS = 1 << 63


class ClientKey(NamedTuple):
    """The identity of a client.

    Attributes:
        address: Address of the PCI function, in the kernel's spelling. A client of a partition has the address of the
            whole GPU too.
        number: Number of the client, unique on the machine.
    """

    address: str
    number: int


@dataclass(frozen=True, slots=True)
class Client:
    """One opening of a GPU at one moment.

    Attributes:
        key: Its identity.
        memory_bytes: Device memory it has allocated; None if the driver does not report it.
        engine_ns: How long it has used each of `ENGINES` so far. An engine that it never used is missing, and so is an
            engine whose time is not accounted: work in user queues, which ROCm uses.
    """

    key: ClientKey
    memory_bytes: int | None
    engine_ns: Mapping[str, int]

    @property
    def is_active(self) -> bool:
        """Whether it uses the GPU; monitoring tools only open it."""
        return bool(self.memory_bytes) or any(self.engine_ns.values())


def parse(content: bytes) -> Client | None:
    """Parse one file.

    Returns:
        None if the file is of another driver, or does not identify the client.

    Raises:
        InvalidValueError: A value in it is impossible. Then nothing in it is used.
    """
    whole = content.rpartition(b"\n")[0]  # what follows the last line end is truncated
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
