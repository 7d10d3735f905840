"""The command `check`: gather, judge, print. It ends in bounded time, whatever hangs."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Generic, TextIO, TypeVar

from collectors.vendors import vendor_of
from exporter.check import report_json, report_text
from exporter.check.environment import look_at_address, mounts, socket_mount, surroundings
from exporter.check.facts import AddressFacts, AddressState, KubeletFacts, KubeletState, NodeFacts
from exporter.check.finding import Finding, Severity, ordered, worst
from exporter.check.findings_environment import judge_surroundings
from exporter.check.findings_hardware import judge_hardware
from exporter.check.findings_kubelet import judge_kubelet
from exporter.check.hardware import CollectorCalls
from exporter.check.kubelet import KubeletReply, ask_kubelet
from exporter.check.matching import match
from exporter.check.pci_bus import accelerators_on_bus, pci_facts
from exporter.configuration.settings import Settings
from exporter.inputs import Hardware, node_of
from exporter.selfmetrics import exporter_version

T = TypeVar("T")

_NO_ERROR = 0
_ERROR = 1
_SLACK_SECONDS = 1.0
_ADDRESS_SECONDS = 5.0


class Probe(Generic[T]):
    """Makes one call in a thread of its own, begun at once. One that hangs is left behind, and ends with the process.

    Args:
        name: Of the thread.
        ask: The call.
    """

    def __init__(self, name: str, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._answers: list[T] = []
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def answer(self, within_seconds: float) -> T | None:
        """What the call returned; None if it has not returned in time.

        Raises:
            Exception: What the call raised.
        """
        self._thread.join(max(0.0, within_seconds))
        if self._errors:
            raise self._errors[0]
        return self._answers[0] if self._answers else None

    def _run(self) -> None:
        try:
            self._answers.append(self._ask())
        except Exception as error:  # noqa: BLE001 - handed over to the thread that asks for the answer
            self._errors.append(error)


def run_check(
    settings: Settings, hardware: Hardware, environ: Mapping[str, str], output: TextIO, *, as_json: bool
) -> int:
    """Look at the node once and tell what is found, what is missing and what that costs.

    It takes no longer than `poll.deadline` or `kubelet.timeout`, whichever is longer, and a few seconds.

    Args:
        settings: What the daemon would be told.
        hardware: What it would look at; a scenario is not looked at.
        environ: The environment of the process.
        output: The report goes here.
        as_json: One JSON object in place of tables.

    Returns:
        The exit code: 1 where there is an error among the findings, else 0.
    """
    facts = gather(settings, hardware, environ)
    findings = judge(facts)
    report = report_json if as_json else report_text
    output.write(report.render(facts, findings))
    return _ERROR if worst(findings) is Severity.ERROR else _NO_ERROR


def gather(settings: Settings, hardware: Hardware, environ: Mapping[str, str]) -> NodeFacts:
    """Everything that can be found out; what takes its time is asked at once, and waited for together."""
    started = time.monotonic()
    node = node_of(settings, hardware.hostname)
    calls = CollectorCalls(hardware.specs, node, settings.poll, time.monotonic)
    kubelet = Probe("check-kubelet", partial(ask_kubelet, settings.kubelet.socket, settings.kubelet.timeout))
    address = Probe("check-address", partial(look_at_address, settings.web))
    functions = accelerators_on_bus(node.sysfs)
    mounted = mounts(settings.path.procfs)
    collectors = calls.results()
    answered = kubelet.answer(started + settings.kubelet.timeout + _SLACK_SECONDS - time.monotonic())
    reply = answered or KubeletReply(KubeletState.FAILED)
    known = {vendor.name for vendor in map(vendor_of, {each.vendor for each in functions}) if vendor is not None}
    known |= {device.vendor for each in collectors if each.reading for device in each.reading.devices}
    return NodeFacts(
        version=exporter_version(),
        collectors=collectors,
        pci=pci_facts(functions, collectors),
        kubelet=KubeletFacts(
            socket=str(settings.kubelet.socket),
            mount=socket_mount(mounted, settings.kubelet.socket),
            state=reply.state,
            text=reply.text,
            allocations=match(reply.answer, reply.claim_devices, collectors) if reply.answer else None,
        ),
        address=address.answer(started + _ADDRESS_SECONDS - time.monotonic())
        or AddressFacts(settings.web.listen_address, AddressState.LATE),
        environment=surroundings(settings, hardware.hostname, environ, mounted, known),
    )


def judge(facts: NodeFacts) -> tuple[Finding, ...]:
    """Everything there is to say about the facts."""
    return ordered([*judge_hardware(facts), *judge_kubelet(facts), *judge_surroundings(facts)])
