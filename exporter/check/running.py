"""What the exporter that serves on this node says: holders by the kubelet's last answer, states, past events."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from collectors import catalog
from collectors.condition import HARDWARE
from collectors.metric import Subject
from exporter import families
from exporter.check.facts import AddressFacts, AddressState
from exporter.check.listener import exposition
from exporter.check.running_facts import HeldDevice, PastEvent, RunningExporter
from exporter.configuration.settings import Settings

_EDGE = families.ALLOCATION_INFO.name(Subject.ALLOCATION)
_ANSWERED = families.ATTRIBUTION_LAST_SUCCESS.name(Subject.EXPORTER)
_STATUS = catalog.STATUS_STATE.name(Subject.DEVICE)
_INFO = catalog.INFO.name(Subject.DEVICE)
_EVENT = catalog.ERROR_LAST_TIMESTAMP.name(Subject.DEVICE)
_STARTED = "process_start_time_seconds"
_SIMULATED = 'simulated="true"'
_LABEL = re.compile(r'([^={,]+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


def ask_running_exporter(
    addresses: Sequence[AddressFacts], settings: Settings, unix_seconds: float
) -> RunningExporter | None:
    """Read the metrics of the exporter that serves on one of the addresses; None if none does, or shows them to all.

    Args:
        addresses: Where the exporter listens by the settings.
        settings: The same as for the exporter.
        unix_seconds: The present time.
    """
    for each in addresses:
        if each.state is AddressState.SERVED:
            text = exposition(each.address, settings.web.telemetry_path)
            if text:
                return understood(each.address, text, settings.labels.ordered, unix_seconds)
    return None


def understood(address: str, text: str, holder_labels: tuple[str, ...], unix_seconds: float) -> RunningExporter:
    """What an exposition says.

    Args:
        address: Where it was read.
        text: The exposition, in the text format.
        holder_labels: The names of the labels for namespace, pod and container.
        unix_seconds: The present time.
    """
    answered = _value(text, _ANSWERED)
    started = _value(text, _STARTED)
    return RunningExporter(
        address=address,
        answer_age_seconds=None if answered is None else max(0.0, unix_seconds - answered),
        running_seconds=None if started is None else max(0.0, unix_seconds - started),
        simulated=_SIMULATED in text,
        held=tuple(sorted(_held(text, holder_labels))),
        states={labels["uuid"]: labels["state"] for labels, value in _series(text, _STATUS) if value},
        devices={labels["device"]: (labels["uuid"], labels["index"]) for labels, _ in _series(text, _INFO)},
        events=tuple(
            sorted(
                (
                    PastEvent(labels["uuid"], labels["source"], labels["code"], max(0.0, unix_seconds - at))
                    for labels, at in _series(text, _EVENT)
                    if labels["class"] == HARDWARE
                ),
                key=lambda event: event.age_seconds,
            )
        ),
    )


def _held(text: str, holder_labels: tuple[str, ...]) -> Iterator[HeldDevice]:
    for labels, _ in _series(text, _EDGE):
        namespace, pod, container = (labels.get(name, "") for name in holder_labels)
        yield HeldDevice(
            labels["device"],
            labels.get("partition_uuid") or labels["uuid"],
            f"{namespace}/{pod}/{container}",
            labels.get("resource", ""),
        )


def _value(text: str, family: str) -> float | None:
    return next((value for _, value in _series(text, family)), None)


def _series(text: str, family: str) -> Iterator[tuple[Mapping[str, str], float]]:
    """The labels and the value of each series of a family; the text is that of an exporter, whatever its version."""
    for line in text.splitlines():
        if line.startswith((f"{family} ", f"{family}{{")):
            labels = defaultdict(str, ((name, _unescaped(value)) for name, value in _LABEL.findall(line)))
            with suppress(ValueError):
                yield labels, float(line.rpartition(" ")[2])


def _unescaped(value: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), value)
