"""One thing that the check reports: how grave, about what, what it is, what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """The gravest first. Only an error makes the check fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    OK = "ok"


class FindingCode(StrEnum):
    """The closed list of findings, for machines; see `docs/check.md`."""

    COLLECTOR_OK = "collector_ok"
    COLLECTOR_ABSENT = "collector_absent"
    COLLECTOR_FAILED = "collector_failed"
    COLLECTOR_LATE = "collector_late"
    NO_ACCELERATOR = "no_accelerator"
    DEVICE_LOST = "device_lost"
    DEVICE_NOT_READ = "device_not_read"
    READING_FAILED = "reading_failed"
    NO_COLLECTOR = "no_collector"
    PARTITIONS_HIDDEN = "partitions_hidden"
    KUBELET_OK = "kubelet_ok"
    KUBELET_ABSENT = "kubelet_absent"
    KUBELET_FAILED = "kubelet_failed"
    SOCKET_FILE_MOUNTED = "socket_file_mounted"
    UNMATCHED_IDS = "unmatched_ids"
    CLAIMS_NOT_READ = "claims_not_read"
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
        severity: How grave it is.
        code: What kind of thing it is.
        subject: What it is about: a collector, a device, the kubelet ...
        text: What is so, and what that costs.
        do: What to do; empty where there is nothing to do, or where the text says it.
    """

    severity: Severity
    code: FindingCode
    subject: str
    text: str
    do: str = ""


def ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """The gravest first; those of one severity as they were."""
    grades = list(Severity)
    return tuple(sorted(findings, key=lambda finding: grades.index(finding.severity)))


def worst(findings: tuple[Finding, ...]) -> Severity:
    """The gravest of some findings; ok where there are none."""
    grades = list(Severity)
    return min((finding.severity for finding in findings), key=grades.index, default=Severity.OK)
