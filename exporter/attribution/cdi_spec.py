"""Which device nodes a CDI spec adds to a container, from the text of its file. No I/O.

The form is that of the Container Device Interface (cncf-tags/container-device-interface, SPEC.md and
specs-go/config.go). Only `kind`, the devices' names and the device nodes are kept.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from collectors.text_file import TextError

_KIND = re.compile(r"[^/=\s]+/[^/=\s]+")
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class CdiSpec:
    """What one spec says about device nodes.

    Attributes:
        kind: Vendor and class, such as `vendor.example/gpu`.
        common: The device nodes that every device of the spec brings.
        devices: The device nodes of each device, by its name in the spec.
    """

    kind: str
    common: tuple[str, ...]
    devices: Mapping[str, tuple[str, ...]]

    @property
    def size(self) -> int:
        """How many names it keeps."""
        return 1 + len(self.common) + sum(1 + len(nodes) for nodes in self.devices.values())

    def nodes(self, name: str) -> tuple[str, ...]:
        """The device nodes that a container gets with one device, each once."""
        return tuple(dict.fromkeys((*self.devices[name], *self.common)))


def parse_spec(text: str, *, is_json: bool) -> CdiSpec:
    """Read a spec.

    What the runtimes refuse for reasons that matter here is refused: no or several devices of one name, a key given
    twice, a device node without a path (pkg/cdi/spec.go, `validate` and `ParseSpec`; pkg/cdi/container-edits.go). Other
    parts of the spec are not looked at.

    Args:
        text: The content of the file.
        is_json: True if only JSON is expected. JSON is YAML too, but is read much faster as JSON.

    Raises:
        TextError: It is not such a text, or no CDI spec.
    """
    root = _mapping(_document(text, is_json=is_json))
    kind = _text(root.get("kind"))
    if not _KIND.fullmatch(kind):
        raise TextError("the kind is not a vendor and a class")
    devices: dict[str, tuple[str, ...]] = {}
    for item in _list(root.get("devices")):
        device = _mapping(item)
        name = _text(device.get("name"))
        if name in devices:
            raise TextError("two devices have the same name")
        devices[name] = _device_nodes(device)
    if not devices:
        raise TextError("no devices")
    return CdiSpec(kind, _device_nodes(root), devices)


def _document(text: str, *, is_json: bool) -> object:
    if is_json or text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            if is_json:
                raise TextError("not JSON") from None
    if not text.endswith("\n"):
        # Every part of a YAML text up to the end of a value is YAML too, also with a path that is not complete.
        raise TextError("the last line has no end")
    from exporter.attribution.cdi_yaml import read_yaml  # noqa: PLC0415 - 2 MiB; most drivers write JSON

    return read_yaml(text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise TextError("a key is given twice")
    return found


def _device_nodes(owner: Mapping[str, object]) -> tuple[str, ...]:
    """The nodes in the container edits of a device or of the whole spec."""
    edits = owner.get("containerEdits")
    nodes = None if edits is None else _mapping(edits).get("deviceNodes")
    return () if nodes is None else tuple(_host_name(_mapping(node)) for node in _list(nodes))


def _host_name(node: Mapping[str, object]) -> str:
    """The name of a device node on the host: `hostPath`, or `path`, its name in the container, if it has none.

    A host path that is the path below another root has the name `path`: drivers that run in a container list
    `/run/nvidia/driver/dev/nvidia0` for `/dev/nvidia0` (NVIDIA/nvidia-container-toolkit,
    pkg/nvcdi/transform/root/host-root.go, `transformDeviceNode`).
    """
    path = _text(node.get("path"))
    if node.get("hostPath") in (None, ""):
        return path
    host_path = _text(node["hostPath"])
    return path if path.startswith("/") and host_path.endswith(path) else host_path


def _mapping(value: object) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise TextError("something else than a mapping")


def _list(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    raise TextError("something else than a list")


def _text(value: object) -> str:
    """A name or path; neither so long nor of such characters that it could harm a log or a report."""
    if isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable():
        return value
    raise TextError(f"something else than a printable text of at most {_LONGEST} characters")
