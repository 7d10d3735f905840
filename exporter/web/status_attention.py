"""What is not well, on the status page: why, what to do next, and whose pods are concerned."""

from collections.abc import Iterator, Mapping

from collectors.wording import counted
from exporter.advice import FOR_HANGING, FOR_PAST_EVENT, OF_REASONS
from exporter.severity import OF_STATES, Severity, of_state, rank
from exporter.snapshot import Container
from exporter.web.html import Html, Node, body, element, group, lines, row, table, tag
from exporter.web.quantities import ago, duration
from exporter.web.status_view import CollectorRow, CollectorStatus, DeviceRow, StatusView

# Classes of the style sheet.
TONES: Mapping[Severity, str] = {
    Severity.ERROR: "bad",
    Severity.WARNING: "warn",
    Severity.NOTE: "plain",
    Severity.OK: "good",
}
_COLUMNS = ("Device", "State", "Why", "What to do next", "Pods")
_MOST_PODS = 8
_MOST_EVENTS = 4


def attention(view: StatusView) -> Iterator[Html]:
    """The section about what is not well, the most severe first: collectors, then devices. Nothing if all is well."""
    failing = [each for each in view.collectors if each.state in {CollectorStatus.LATE, CollectorStatus.DOWN}]
    wanting = sorted(
        (device for device in view.devices if device.needs_attention),
        key=lambda each: (rank(each.severity), each.state == "ok"),
    )
    if failing or wanting:
        title = element("h2", "Needs attention", id="attention")
        rows = (*map(_collector_row, failing), *map(_row, wanting))
        yield element("section", title, table("attention", _COLUMNS, body(*rows)))


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


def sentence(text: str) -> str:
    """A text with a capital at its begin and a full stop at its end."""
    return f"{text[0].upper()}{text[1:]}."


def _row(device: DeviceRow) -> Html:
    index = f"index {device.index}, " if device.index else ""
    name = lines(element("strong", f"{index}{device.address}"), _soft(device.uuid), _soft(device.model))
    cells = (name, state_tag(device), lines(*_why(device)), lines(*_next(device)), _pods(device))
    return row(_COLUMNS, cells, "lost" if device.severity is Severity.ERROR else "")


def _collector_row(collector: CollectorRow) -> Html:
    unread = counted(collector.unread_devices, "device is not read", "devices are not read")
    since = f"The last reading was {ago(collector.last_success_age_seconds)}; {unread}."
    if collector.failure is not None:
        reason = collector.failure.reason
        why, step = f"{reason.replace('_', ' ')}: {collector.failure.text}", OF_REASONS[reason]
    else:
        why, step = "A driver call has not returned.", FOR_HANGING
    pods = _soft(
        f"those of {counted(collector.unread_devices, 'device')} below" if collector.unread_devices else "none"
    )
    name = element("strong", f"collector {collector.name}")
    state = tag(collector.state, TONES[Severity.ERROR])
    return row(_COLUMNS, (name, state, lines(why, since), sentence(step), pods), "lost")


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
        found = "ok, slowed down" if device.conditions else "ok, recent error", device.severity
    else:
        found = device.state.replace("_", " "), of_state(device.state)
    return found


def _why(device: DeviceRow) -> list[Node]:
    """Why it needs attention."""
    why = [f"{condition.text}." for condition in device.conditions]
    why += [f"{ago(recent.age_seconds)}: {recent.event.text}." for recent in device.events[:_MOST_EVENTS]]
    if device.unread_seconds is not None and not device.lost:
        hangs = f"A driver call has not returned: nothing has been read of it for {duration(device.unread_seconds)}."
        why.insert(0, hangs)
    return [*why] or ["The collector gives no reason."]


def _next(device: DeviceRow) -> list[Node]:
    """What to do, the most urgent first."""
    works = device.state == "ok" and device.unread_seconds is None
    past = () if works else device.events[:_MOST_EVENTS]
    advice = (*(each.do for each in device.conditions), *(each.event.do for each in past))
    steps = [f"{each}." for each in dict.fromkeys(advice)]
    if works and device.events:
        steps.append(sentence(FOR_PAST_EVENT))
    if (device.stuck_seconds is not None or device.unread_seconds is not None) and not device.lost:
        steps.insert(0, sentence(FOR_HANGING))
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
