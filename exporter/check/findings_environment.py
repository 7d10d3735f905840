"""Findings about the process's environment: listen address, mounts, names, rights. No I/O."""

from collections.abc import Iterator

from collectors.wording import counted
from exporter.check.facts import AddressFacts, AddressState, Environment, IdentitySource, NodeFacts
from exporter.check.finding import Finding, FindingCode
from exporter.severity import Severity

_NODE = "node"
_PROCESS = "process"


def environment_findings(facts: NodeFacts) -> Iterator[Finding]:
    """Return the findings about everything except hardware and the kubelet."""
    yield from map(_address, facts.addresses)
    here = facts.environment
    if not here.pci_bus:
        text = (
            "sysfs shows no PCI bus: a node with a missing library or a lost device looks like a node without devices"
        )
        do = "mount the host's /sys and set --path.sysfs to it, unless this machine has no PCI bus"
        yield Finding(Severity.WARNING, FindingCode.NO_PCI_BUS, _NODE, text, do)
    if here.in_kubernetes:
        yield from _in_kubernetes(here)


def _in_kubernetes(here: Environment) -> Iterator[Finding]:
    if not here.node_name:
        generated = here.identity is IdentitySource.HOST_NAME
        text = f"the node's name is unknown: the host name {here.host_name} is shown instead, which may be the pod's"
        if generated:
            text = (
                "the node's name is unknown, and its product UUID cannot be read: ids of devices that have none are "
                f"generated from the host name {here.host_name}, which may be the pod's and then changes with the pod"
            )
        do = "set NODE_NAME from the field spec.nodeName"
        yield Finding(Severity.WARNING if generated else Severity.NOTE, FindingCode.NODE_NAME_MISSING, _NODE, text, do)
    if here.capabilities and not here.privileged_only:
        text = f"has {counted(len(here.capabilities), 'capability', 'capabilities')} and needs none on most nodes"
        do = "drop: [ALL], except on nodes that need a privileged container"
        yield Finding(Severity.NOTE, FindingCode.MORE_RIGHTS_THAN_NEEDED, _PROCESS, text, do)
    if here.read_only_root is False:
        text = "the root file system is writable, and the exporter writes no file"
        do = "readOnlyRootFilesystem: true"
        yield Finding(Severity.NOTE, FindingCode.MORE_RIGHTS_THAN_NEEDED, _PROCESS, text, do)


def _address(address: AddressFacts) -> Finding:
    subject = f"address {address.address}"
    if address.state is AddressState.FREE:
        return Finding(Severity.OK, FindingCode.ADDRESS_OK, subject, "free")
    if address.state is AddressState.SERVED:
        return Finding(Severity.OK, FindingCode.ADDRESS_OK, subject, "an exporter listens there")
    if address.state is AddressState.TAKEN:
        text = f"{address.text}; another program listens there, or an exporter that does not answer"
        return Finding(Severity.ERROR, FindingCode.ADDRESS_TAKEN, subject, text)
    if address.state is AddressState.LATE:
        text = "testing whether it is free took too long"
        do = "check that its host name resolves, and that what listens there answers"
        return Finding(Severity.WARNING, FindingCode.ADDRESS_LATE, subject, text, do)
    return Finding(Severity.ERROR, FindingCode.ADDRESS_REFUSED, subject, address.text)
