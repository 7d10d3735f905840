"""What is wrong with devices, on the status page: why, what to do next, and whose pods are concerned."""

from collections.abc import Iterable, Iterator, Mapping

from exporter.severity import OF_STATES, Severity
from exporter.snapshot import Container
from exporter.web.html import Html, Node, body, element, group, lines, row, table, tag
from exporter.web.quantities import ago, duration
from exporter.web.status_view import DeviceRow

# Classes of the style sheet.
TONES: Mapping[Severity, str] = {
    Severity.ERROR: "bad",
    Severity.WARNING: "warn",
    Severity.NOTE: "plain",
    Severity.OK: "good",
}
_COLUMNS = ("Device", "State", "Why", "What to do next", "Pods")
_MOST_PODS = 8
_HANGS = (
    "A driver call has not returned. See dmesg on the node; if the vendor's tool hangs too, drain the node, then reset "
    "the device or reboot."
)
_DOWN = "Its collector fails. See the notices and collectors on this page, and the log."


def attention(devices: Iterable[DeviceRow]) -> Iterator[Html]:
    """The section about devices that are not well, the most severe first; nothing if all are."""
    severities = list(Severity)
    wanting = sorted(
        (device for device in devices if device.needs_attention), key=lambda each: severities.index(each.severity)
    )
    if wanting:
        title = element("h2", "Needs attention", id="attention")
        yield element("section", title, table("attention", _COLUMNS, body(*map(_row, wanting))))


def state_tag(device: DeviceRow) -> Html:
    """The state of a device, never as good while nothing is read of it, and since when that is so."""
    nodes: list[Node] = [_tag(device)]
    if device.lost:
        nodes.append(_soft("not responding"))
    elif device.stuck_seconds is not None and not device.released:
        nodes.append(_soft(f"no answer for {duration(device.stuck_seconds)}"))
    if device.unread_seconds is not None and not (device.lost or device.released):
        nodes.append(_soft(f"as of {ago(device.unread_seconds)}"))
    return lines(*nodes) if len(nodes) > 1 else group(*nodes)


def container(held_by: Container) -> Html:
    """The name of a container."""
    where = _soft(f"{held_by.namespace} / ")
    return group(where, held_by.pod, _soft(f" / {held_by.container}"))


def _row(device: DeviceRow) -> Html:
    index = f"index {device.index}, " if device.index else ""
    name = lines(element("strong", f"{index}{device.address}"), _soft(device.uuid), _soft(device.model))
    cells = (name, state_tag(device), lines(*_why(device)), lines(*_next(device)), _pods(device))
    return row(_COLUMNS, cells, "lost" if device.severity is Severity.ERROR else "")


def _tag(device: DeviceRow) -> Html:
    text, severity = _tag_text(device)
    return _soft(text) if severity is None else tag(text, TONES[severity])


def _tag_text(device: DeviceRow) -> tuple[str, Severity | None]:
    """The text of a tag and its severity; None for soft text instead of a tag."""
    if device.lost:
        found = "lost", OF_STATES["failed"]
    elif device.released:
        found = "released", Severity.NOTE
    elif device.stuck_seconds is not None:
        found = "stuck", device.severity
    elif device.unread_seconds is not None and device.state in {None, "ok"}:
        found = "not read", device.unread_severity
    elif device.state is None:
        return "unknown", None
    elif device.state == "ok" and device.needs_attention:
        found = "ok, slowed down", device.severity
    else:
        found = device.state.replace("_", " "), OF_STATES.get(device.state, Severity.NOTE)
    return found


def _why(device: DeviceRow) -> list[Node]:
    """Why it needs attention."""
    why = [f"{condition.text}." for condition in device.conditions]
    if device.unread_seconds is not None and not device.lost:
        why.insert(0, f"Nothing has been read of it for {duration(device.unread_seconds)}.")
    return [*why] or ["The collector gives no reason."]


def _next(device: DeviceRow) -> list[Node]:
    """What to do, the most urgent first."""
    steps = [f"{each}." for each in dict.fromkeys(condition.do for condition in device.conditions)]
    if device.stuck_seconds is not None and not device.lost:
        steps.insert(0, _HANGS)
    elif device.unread_seconds is not None and not device.lost:
        steps.insert(0, _DOWN if device.unread_severity is Severity.ERROR else _HANGS)
    return [*steps] or ["See the log of the exporter, and dmesg on the node."]


def _pods(device: DeviceRow) -> Node:
    """The containers that have the device or a part of it."""
    parts = [device.holders, *(part.holders for part in device.partitions)]
    held = sorted({each for holders in parts if holders is not None for each in holders.first})
    if not held:
        return _soft("unknown" if any(holders is None for holders in parts) else "none")
    total = sum(holders.count for holders in parts if holders is not None)
    shown = held[:_MOST_PODS]
    named = [element("li", container(each)) for each in shown]
    if total > len(shown):
        named.append(element("li", f"and {total - len(shown)} more", class_="soft"))
    return element("ul", *named, class_="holders")


def _soft(text: str) -> Html:
    return element("span", text, class_="soft")
