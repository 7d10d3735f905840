"""The command `check`: gathers facts, derives findings, prints a report. Ends in bounded time, also if a call hangs."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from collectors.contract import CollectorSpec, Node
from collectors.pci import PciFunction
from collectors.vendors import vendor_of
from exporter.attribution.cdi_specs import CdiSpecs
from exporter.attribution.claim_resolution import Lookups
from exporter.attribution.claims import Claims
from exporter.check import report_json, report_text
from exporter.check.api_server import read_api_server, start_reading
from exporter.check.cdi import read_cdi_files
from exporter.check.environment import read_environment, read_mounts, socket_mount, try_listen_addresses
from exporter.check.facts import (
    AddressFacts,
    AddressState,
    CdiDirectory,
    ClaimSources,
    CollectorFacts,
    KubeletFacts,
    KubeletState,
    NodeFacts,
)
from exporter.check.finding import Finding, ordered, worst
from exporter.check.findings_environment import environment_findings
from exporter.check.findings_hardware import hardware_findings
from exporter.check.findings_kubelet import kubelet_findings
from exporter.check.hardware import CollectorCalls
from exporter.check.kubelet import KubeletReply, allocation_facts, query_kubelet
from exporter.check.pci_bus import accelerators_on_bus, pci_facts
from exporter.check.running import ask_running_exporter
from exporter.check.running_facts import RunningExporter
from exporter.check.simulation import play, second_of
from exporter.configuration.settings import PodSource, Settings
from exporter.inputs import Hardware, claim_rules, node_of
from exporter.selfmetrics import exporter_version
from exporter.severity import Severity

T = TypeVar("T")

_NO_ERROR = 0
_ERROR = 1
_SLACK_SECONDS = 1.0
_ADDRESS_SECONDS = 5.0
_API_SECONDS = 5.0
_CDI_SECONDS = 5.0
_OF_SCENARIO = "none: the pods are those of the scenario"


class BackgroundCall(Generic[T]):
    """One call in its own thread, started at once. A call that hangs is not waited for, and ends with the process.

    Args:
        name: The name of the thread.
        function: The function to call.
    """

    def __init__(self, name: str, function: Callable[[], T]) -> None:
        self._function = function
        self._results: list[T] = []
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def result(self, timeout_seconds: float) -> T | None:
        """Return the result of the call; None if it has not returned in time.

        Raises:
            Exception: The error that the call raised.
        """
        self._thread.join(max(0.0, timeout_seconds))
        if self._errors:
            raise self._errors[0]
        return self._results[0] if self._results else None

    def _run(self) -> None:
        try:
            self._results.append(self._function())
        except Exception as error:  # noqa: BLE001 - raised again in the thread that calls `result`
            self._errors.append(error)


def run_check(
    settings: Settings,
    hardware: Hardware,
    environ: Mapping[str, str],
    output: Callable[[str], object],
    *,
    as_json: bool,
) -> int:
    """Read the node once and report what is found, what is missing and the consequence.

    It takes no longer than `poll.deadline` or `kubelet.timeout`, whichever is longer, and a few seconds.

    Args:
        settings: The same settings as for the daemon.
        hardware: What the daemon would read.
        environ: The environment of the process.
        output: Writes the report.
        as_json: Write one JSON object instead of tables.

    Returns:
        The exit code: 1 where there is an error among the findings, else 0.
    """
    facts = gather(settings, hardware, environ)
    findings = all_findings(facts)
    report = report_json if as_json else report_text
    output(report.render(facts, findings))
    return _ERROR if worst(findings) is Severity.ERROR else _NO_ERROR


def gather(settings: Settings, hardware: Hardware, environ: Mapping[str, str]) -> NodeFacts:
    """Return every fact about the node; slow calls run at the same time."""
    started = time.monotonic()
    node = node_of(settings, hardware.hostname)
    addresses = BackgroundCall("check-address", partial(try_listen_addresses, settings.web))
    subject = _subject(settings, hardware, node, addresses)
    calls = CollectorCalls(subject.specs, node, settings.poll, time.monotonic)
    kubelet = BackgroundCall("check-kubelet", subject.query_pods)
    specs = CdiSpecs(settings.attribution.cdi_dirs)
    cdi = BackgroundCall("check-cdi", partial(read_cdi_files, specs, settings.attribution.cdi_dirs))
    slices = start_reading(settings, hardware)
    mounted = read_mounts(settings.path.procfs)
    collectors = calls.results()
    kubelet_ends = started + settings.kubelet.timeout + _SLACK_SECONDS
    reply = kubelet.result(kubelet_ends - time.monotonic()) or KubeletReply(KubeletState.FAILED)
    directories = cdi.result(started + _CDI_SECONDS - time.monotonic()) or _unknown_directories(settings)
    api = read_api_server(slices, reply.answer, _API_SECONDS)
    claims = Claims(claim_rules(settings.attribution), Lookups(specs, slices))
    listened = addresses.result(started + _ADDRESS_SECONDS - time.monotonic()) or _late(settings)
    running = ask_running_exporter(listened, settings, time.time()) if subject.second is None else subject.running
    sources = ClaimSources(directories, settings.attribution.own_namespace, api)
    return NodeFacts(
        version=exporter_version(),
        collectors=collectors,
        pci=pci_facts(subject.functions, collectors, hardware.excluded),
        kubelet=KubeletFacts(
            socket=subject.socket,
            mount=socket_mount(mounted, settings.kubelet.socket),
            state=reply.state,
            text=reply.text,
            allocations=allocation_facts(reply.answer, collectors, claims) if reply.answer else None,
            claim_sources=sources,
            hold_seconds=settings.kubelet.hold,
        ),
        addresses=listened,
        environment=read_environment(settings, hardware.hostname, environ, mounted, _vendors(subject, collectors)),
        simulated=subject.second,
        running=running,
    )


class _Subject(NamedTuple):
    """What is checked: this node, or a simulated one.

    Attributes:
        specs: The collectors.
        query_pods: Asks the kubelet, or the scenario.
        socket: The kubelet's socket, or what replaces it.
        functions: The accelerators on the PCI bus.
        second: The second of the scenario; None for this node.
        running: What the exporter that serves here says; asked for a scenario only.
    """

    specs: Sequence[CollectorSpec]
    query_pods: Callable[[], KubeletReply]
    socket: str
    functions: Sequence[PciFunction]
    second: float | None = None
    running: RunningExporter | None = None


def _subject(
    settings: Settings, hardware: Hardware, node: Node, addresses: BackgroundCall[tuple[AddressFacts, ...]]
) -> _Subject:
    query: Callable[[], KubeletReply] = partial(query_kubelet, settings.kubelet)
    socket = str(settings.kubelet.socket)
    if hardware.scenario is None:
        return _Subject(hardware.specs, query, socket, accelerators_on_bus(node.sysfs))
    running = ask_running_exporter(addresses.result(_ADDRESS_SECONDS) or (), settings, time.time())
    second = second_of(hardware.scenario, running)
    spec, pods = play(hardware.scenario, node, second)
    if settings.simulate.pods is PodSource.SCENARIO:
        query, socket = pods, _OF_SCENARIO
    return _Subject((spec,), query, socket, (), second, running)


def _vendors(subject: _Subject, collectors: Iterable[CollectorFacts]) -> set[str]:
    """The vendors of the node's own devices."""
    known = {vendor.name for vendor in map(vendor_of, {each.vendor for each in subject.functions}) if vendor}
    if subject.second is None:
        known |= {device.vendor for each in collectors if each.reading for device in each.reading.devices}
    return known


def _unknown_directories(settings: Settings) -> tuple[CdiDirectory, ...]:
    return tuple(CdiDirectory(str(path), None) for path in settings.attribution.cdi_dirs)


def _late(settings: Settings) -> tuple[AddressFacts, ...]:
    return tuple(AddressFacts(address, AddressState.LATE) for address in settings.web.listen_address)


def all_findings(facts: NodeFacts) -> tuple[Finding, ...]:
    """Return every finding about the facts, the most severe first."""
    return ordered([*hardware_findings(facts), *kubelet_findings(facts), *environment_findings(facts)])
