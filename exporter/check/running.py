"""What the exporter that serves on this node says: who holds which device by the kubelet's last answer, and its age."""

import re
from collections.abc import Iterator, Sequence

from collectors.metric import Subject
from exporter import families
from exporter.check.facts import AddressFacts, AddressState
from exporter.check.listener import exposition
from exporter.check.running_facts import HeldDevice, RunningExporter
from exporter.configuration.settings import Settings

_EDGE = families.ALLOCATION_INFO.name(Subject.ALLOCATION)
_ANSWERED = families.ATTRIBUTION_LAST_SUCCESS.name(Subject.EXPORTER)
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
    answered = next(_values(text, _ANSWERED), None)
    started = next(_values(text, _STARTED), None)
    return RunningExporter(
        address=address,
        answer_age_seconds=None if answered is None else max(0.0, unix_seconds - answered),
        running_seconds=None if started is None else max(0.0, unix_seconds - started),
        simulated=_SIMULATED in text,
        held=tuple(sorted(_held(text, holder_labels))),
    )


def _held(text: str, holder_labels: tuple[str, ...]) -> Iterator[HeldDevice]:
    for line in _lines(text, _EDGE):
        labels = {name: _unescaped(value) for name, value in _LABEL.findall(line)}
        namespace, pod, container = (labels.get(name, "") for name in holder_labels)
        yield HeldDevice(
            labels.get("device", ""),
            labels.get("partition_uuid") or labels.get("uuid", ""),
            f"{namespace}/{pod}/{container}",
            labels.get("resource", ""),
        )


def _values(text: str, family: str) -> Iterator[float]:
    for line in _lines(text, family):
        try:
            yield float(line.rpartition(" ")[2])
        except ValueError:
            continue


def _lines(text: str, family: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.startswith((f"{family} ", f"{family}{{")))


def _unescaped(value: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), value)
