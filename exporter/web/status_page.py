"""The status page: a view rendered to HTML on the server, without scripts and external resources."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from collectors.wording import counted
from exporter.advice import FOR_KUBELET
from exporter.severity import OF_HANGING, Severity
from exporter.web.html import Html, Node, bar, body, element, group, lines, row, table, tag, void
from exporter.web.quantities import ago, celsius, duration, percent, short_uuid, size, watts
from exporter.web.response import Handler, Response
from exporter.web.status_attention import TONES, attention, container, sentence, state_tag
from exporter.web.status_view import (
    CollectorRow,
    CollectorStatus,
    DeviceRow,
    Holders,
    PartitionRow,
    Readings,
    SourceRow,
    StatusView,
)

STYLE_SHEET = Path(__file__).with_name("status_page.css")
# Its SHA-256 in base64. Not computed here: to do so, Python loads 4 MiB of a cryptographic library.
STYLE_DIGEST = "FgLw23DwERwd1kDk8pyzrm13rL5KtWRHKbaOQkuZLUg="

_REFRESH_SECONDS = 5
_STALE_SECONDS = 10.0  # a snapshot is made every second
# The only data: image is the empty icon; without it browsers request /favicon.ico.
_POLICY = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_DOCUMENTS = "docs/metrics.md, docs/configuration.md, docs/troubleshooting.md and docs/simulation.md"

_DEVICE_COLUMNS = ("Device", "Status", "Utilization", "Memory", "Power", "Temperature", "Allocated to")
_COLLECTOR_COLUMNS = ("Collector", "State", "Devices", "Last success", "Failed readings since start")
_SOURCE_COLUMNS = ("Allocation source", "State", "Last success")

_COLLECTOR_SEVERITIES = {
    CollectorStatus.UP: Severity.OK,
    CollectorStatus.LATE: OF_HANGING,
    CollectorStatus.DOWN: Severity.ERROR,
}
_SIMULATED = "Simulated: {} on this page come from a scenario, not from this machine."
# Names for people of the sources of allocations.
_SOURCES = {"podresources": "the kubelet"}
_RELEASED = "The hardware is released: devices are not read until the exporter receives SIGUSR2."


_UNKNOWN = element("span", "unknown", class_="soft")
_NO_READING = element("span", "no reading", class_="soft")


# How severe it is, and the parts of its text.
_Notice = tuple[Severity, *tuple[Node, ...]]


@dataclass(frozen=True, slots=True)
class About:
    """Facts about the exporter itself.

    Attributes:
        node: The node's name; empty if unknown.
        version: The exporter's version.
        links: Text and path of the other pages.
        check: The command that checks this node.
        simulated: What comes from a scenario, as in "devices and values"; empty for nothing.
    """

    node: str
    version: str
    links: tuple[tuple[str, str], ...]
    check: str
    simulated: str = ""


def handler(about: About, current_view: Callable[[], StatusView]) -> Handler:
    """The HTTP handler of the page.

    Args:
        about: Facts that do not change.
        current_view: Returns the view to render; called once per request, in the server's thread.
    """
    style = STYLE_SHEET.read_text("utf-8")
    headers = (
        ("Content-Security-Policy", f"{_POLICY}; style-src 'sha256-{STYLE_DIGEST}'"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
    )

    def respond(_headers: Mapping[str, str]) -> Response:
        text = render(about, current_view(), style)
        # Names read from the system may contain bytes that are not UTF-8.
        return Response(200, "text/html; charset=utf-8", text.encode(errors="replace"), headers)

    return respond


def render(about: About, view: StatusView, style: str) -> str:
    """The HTML document.

    Args:
        about: Facts that do not change.
        view: The content.
        style: The style sheet, inserted without escaping.
    """
    name = f"{about.node} · accelerator-exporter" if about.node else "accelerator-exporter"
    head = element(
        "head",
        void("meta", charset="utf-8"),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", http_equiv="refresh", content=str(_REFRESH_SECONDS)),
        element("title", name),
        void("link", rel="icon", href="data:,"),
        element("style", Html(style)),
    )
    banner = (element("p", _SIMULATED.format(about.simulated), class_="banner"),) if about.simulated else ()
    content = element("main", *banner, *_notices(about, view), *attention(view), _devices(about, view), *_health(view))
    document = element("html", head, element("body", _header(about, view), content, _footer(about)), lang="en")
    return f"<!DOCTYPE html>\n{document.text}\n"


def _header(about: About, view: StatusView) -> Html:
    facts = [f"version {about.version}", f"snapshot made {ago(view.snapshot_age_seconds)}"]
    if about.node:
        facts.insert(0, f"node {about.node}")
    if view.readings_age_seconds is not None:
        facts.append(f"readings {duration(view.readings_age_seconds)} old")
    return element(
        "header",
        element("h1", "accelerator-exporter"),
        element("ul", *(element("li", fact) for fact in facts), class_="facts"),
    )


def _footer(about: About) -> Html:
    # Relative, so that they also work behind a proxy that adds a prefix, such as that of the API server.
    links = (element("li", element("a", text, href=f".{path}")) for text, path in about.links)
    return element(
        "footer",
        element("nav", element("ul", *links, class_="facts"), aria_label="Other pages"),
        element("p", f"Documentation comes with the source: {_DOCUMENTS}."),
        element("p", f"This page refreshes every {_REFRESH_SECONDS} seconds."),
    )


def _notices(about: About, view: StatusView) -> list[Html]:
    return [
        element("p", *text, class_="notice bad" if severity is Severity.ERROR else "notice")
        for severity, *text in (*_notices_of_readings(view), *_notices_of_allocations(about, view))
    ]


def _notices_of_readings(view: StatusView) -> Iterator[_Notice]:
    if view.snapshot_age_seconds > _STALE_SECONDS:
        age = duration(view.snapshot_age_seconds)
        text = f"This page is out of date: the last snapshot is {age} old. See the exporter's log."
        yield Severity.ERROR, text
    if any(collector.state is CollectorStatus.RELEASED for collector in view.collectors):
        yield Severity.NOTE, _RELEASED
    for collector in view.collectors:
        if collector.duplicate_devices:
            devices = counted(collector.duplicate_devices, "device")
            yield (
                Severity.WARNING,
                f"{devices} of collector {collector.name}: exported as another collector reads them.",
            )


def _notices_of_allocations(about: About, view: StatusView) -> Iterator[_Notice]:
    down = [source for source in view.sources if not source.up]
    names = ", ".join(_SOURCES.get(source.name, source.name) for source in down)
    if not view.allocations_known:
        reason = f"{names} does not answer" if down else "no answer yet"
        yield _severity_of(down), f"Allocations are unknown: {reason}."
    elif down:
        since = ago(down[0].last_success_age_seconds)
        text = f"{names[0].upper()}{names[1:]} does not answer: allocations are as of {since}."
        yield _severity_of(down), f"{text} {sentence(FOR_KUBELET)}"
    details = (" Run ", element("code", about.check), " for details.")
    for resource, count in view.unmatched:
        ids = counted(count, f"allocated id of {resource} matches", f"allocated ids of {resource} match")
        yield Severity.WARNING, f"{ids} no device.", *details
    for driver, count in view.unresolved_claims:
        devices = counted(count, "device", "devices")
        yield (
            Severity.WARNING,
            f"{devices} of resource claims of {driver} not resolved: it is not known which pods hold which devices.",
            *details,
        )


def _severity_of(sources: Iterable[SourceRow]) -> Severity:
    """Of sources that do not answer. One that has never answered may not exist, as outside Kubernetes."""
    lost = any(source.last_success_age_seconds is not None for source in sources)
    return Severity.ERROR if lost else Severity.WARNING


def _devices(about: About, view: StatusView) -> Html:
    title = element("h2", "Devices", id="devices")
    if not view.devices:
        return element("section", title, element("p", *_no_devices(about, view), class_="empty"))
    bodies = (body(_device(device), *(_partition(part) for part in device.partitions)) for device in view.devices)
    return element(
        "section", title, element("p", _summary(view), class_="soft"), table("devices", _DEVICE_COLUMNS, *bodies)
    )


def _summary(view: StatusView) -> str:
    facts = [counted(len(view.devices), "device")]
    partitions = [part for device in view.devices for part in device.partitions]
    if partitions:
        facts.append(counted(len(partitions), "partition"))
    lost = sum(device.lost for device in view.devices)
    if lost:
        facts.append(f"{counted(lost, 'device')} lost")
    for state, words in (("failed", "failed"), ("predicted_failure", "predicted to fail"), ("degraded", "degraded")):
        number = sum(device.state == state and not device.lost for device in view.devices)
        if number:
            facts.append(f"{counted(number, 'device')} {words}")
    stuck = sum(device.stuck_seconds is not None for device in view.devices)
    if stuck:
        facts.append(f"{counted(stuck, 'device')} stuck")
    unread = sum(
        each.unread_seconds is not None and each.stuck_seconds is None and not each.lost for each in view.devices
    )
    if unread:
        facts.append(f"{counted(unread, 'device')} not read")
    if view.allocations_known:
        facts.append(f"{counted(sum(device.free for device in view.devices), 'device')} free")
    return ", ".join(facts)


def _no_devices(about: About, view: StatusView) -> tuple[Node, ...]:
    check = element("code", about.check)
    if not view.ready:
        return ("Waiting for the collectors' first readings.",)
    if any(collector.state is CollectorStatus.RELEASED for collector in view.collectors):
        return ("No devices: nothing is read while the hardware is released.",)
    if any(collector.state in {CollectorStatus.LATE, CollectorStatus.DOWN} for collector in view.collectors):
        return ("No devices can be read: a collector below fails. Run ", check, " for the cause.")
    simulate = element("code", "accelerator-exporter --simulate")
    return ("No accelerators found. Run ", check, " for the reason, or ", simulate, " for a simulated node.")


def _device(device: DeviceRow) -> Html:
    name = lines(
        element("strong", device.model),
        element("span", device.address, class_="soft"),
        element("span", short_uuid(device.uuid), class_="soft", title=device.uuid),
    )
    state = state_tag(device)
    now = device.readings
    power = _NO_READING if now.power_watts is None else watts(now.power_watts)
    cells = (name, state, _utilization(now), _memory(now), power, _temperature(now), _device_holders(device))
    return row(_DEVICE_COLUMNS, cells, "lost" if device.lost else "")


def _partition(part: PartitionRow) -> Html:
    name = lines(part.profile, element("span", short_uuid(part.uuid), class_="soft", title=part.uuid))
    holders = _UNKNOWN if part.holders is None else _holders(part.holders)
    return row(
        _DEVICE_COLUMNS, (name, "", _utilization(part.readings), _memory(part.readings), "", "", holders), "part"
    )


def _utilization(now: Readings) -> Html:
    ratio = now.utilization_ratio
    return _NO_READING if ratio is None else lines(percent(ratio), bar(ratio, "utilization"))


def _memory(now: Readings) -> Html:
    used, limit = now.memory_usage_bytes, now.memory_limit_bytes
    if used is None:
        return _NO_READING if limit is None else group(size(limit), " total")
    if not limit:
        return group(size(used), " used")
    return lines(f"{size(used)} of {size(limit)}", bar(used / limit, "memory in use"))


def _temperature(now: Readings) -> Node:
    if now.temperature is None:
        return _NO_READING
    value = celsius(now.temperature.celsius)
    return value if now.temperature.sensor == "core" else f"{value} ({now.temperature.sensor})"


def _device_holders(device: DeviceRow) -> Html:
    if device.holders is None:
        return _UNKNOWN
    if not device.partitions:
        return _holders(device.holders)
    parts = f"{device.allocated_partitions} of {counted(len(device.partitions), 'partition')} allocated"
    return lines(_holders(device.holders), parts) if device.holders.count else group(parts)


def _holders(holders: Holders) -> Html:
    if not holders.count:
        return tag("free", "plain")
    named = [element("li", container(each)) for each in holders.first]
    more = holders.count - len(holders.first)
    if more:
        named.append(element("li", f"and {more} more", class_="soft"))
    several = element("ul", *named, class_="holders")
    return group(tag(f"shared by {holders.count}", "plain"), several) if holders.count > 1 else several


def _health(view: StatusView) -> list[Html]:
    collectors = body(*(_collector(collector) for collector in view.collectors))
    sources = body(*(_source(source) for source in view.sources))
    sections: list[Html] = []
    if view.collectors:
        title = element("h2", "Collectors", id="collectors")
        sections.append(element("section", title, table("collectors", _COLLECTOR_COLUMNS, collectors)))
    if view.sources:
        title = element("h2", "Attribution", id="attribution")
        sections.append(element("section", title, table("attribution", _SOURCE_COLUMNS, sources)))
    return sections


def _collector(collector: CollectorRow) -> Html:
    state = tag(collector.state, TONES[_COLLECTOR_SEVERITIES.get(collector.state, Severity.NOTE)])
    # Counts of readings: a lost device is counted at each reading, so that the number is none of devices.
    errors = ", ".join(
        f"{reason.replace('_', ' ')} ({counted(count, 'reading')})" for reason, count in collector.errors
    )
    age = ago(collector.last_success_age_seconds)
    return row(_COLLECTOR_COLUMNS, (collector.name, state, str(collector.devices), age, errors or "none"))


def _source(source: SourceRow) -> Html:
    state = tag("up", "good") if source.up else tag("down", TONES[_severity_of([source])])
    return row(_SOURCE_COLUMNS, (source.name, state, ago(source.last_success_age_seconds)))
