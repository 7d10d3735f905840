"""One finding of the check: its severity, its subject, its text, and what to do."""

from dataclasses import dataclass
from enum import StrEnum

from exporter.severity import Severity, rank


class FindingCode(StrEnum):
    """The closed list of findings, for machines; see `docs/check.md`."""

    COLLECTOR_OK = "collector_ok"
    COLLECTOR_ABSENT = "collector_absent"
    COLLECTOR_FAILED = "collector_failed"
    COLLECTOR_LATE = "collector_late"
    NO_ACCELERATOR = "no_accelerator"
    DEVICE_LOST = "device_lost"
    DEVICE_NOT_OK = "device_not_ok"
    DEVICE_EVENT = "device_event"
    DEVICE_THROTTLED = "device_throttled"
    DEVICE_NOT_READ = "device_not_read"
    READING_FAILED = "reading_failed"
    NO_COLLECTOR = "no_collector"
    PARTITIONS_HIDDEN = "partitions_hidden"
    KUBELET_OK = "kubelet_ok"
    KUBELET_ABSENT = "kubelet_absent"
    KUBELET_FAILED = "kubelet_failed"
    SOCKET_FILE_MOUNTED = "socket_file_mounted"
    UNMATCHED_IDS = "unmatched_ids"
    CLAIMS_UNRESOLVED = "claims_unresolved"
    API_NOT_READ = "api_not_read"
    ADDRESS_OK = "address_ok"
    ADDRESS_TAKEN = "address_taken"
    ADDRESS_REFUSED = "address_refused"
    ADDRESS_LATE = "address_late"
    NO_PCI_BUS = "no_pci_bus"
    NODE_NAME_MISSING = "node_name_missing"
    MORE_RIGHTS_THAN_NEEDED = "more_rights_than_needed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the verdict.

    Attributes:
        severity: The severity.
        code: The kind of finding.
        subject: The subject: a collector, a device, the kubelet ...
        text: What is found, and its consequence.
        do: What to do; empty if there is nothing to do, or if the text already says it.
    """

    severity: Severity
    code: FindingCode
    subject: str
    text: str
    do: str = ""


def ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return the findings, the most severe first; those of one severity keep their order."""
    return tuple(sorted(findings, key=lambda finding: rank(finding.severity)))


def worst(findings: tuple[Finding, ...]) -> Severity:
    """Return the highest severity of the findings; ok if there are none."""
    return min((finding.severity for finding in findings), key=rank, default=Severity.OK)
