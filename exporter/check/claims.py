"""Resource claims (DRA) in the reports: where their devices are looked up, and why some are not resolved. No I/O."""

from collections.abc import Iterator, Mapping

from collectors.wording import counted
from exporter.attribution.api_health import ApiState
from exporter.attribution.cdi_files import CdiMissing
from exporter.attribution.claim_resolution import UnresolvedReason, Way
from exporter.attribution.claim_users import Use
from exporter.attribution.claims import ResolvedClaims
from exporter.check.facts import CdiDirectory, ClaimSources
from exporter.check.finding import Finding, FindingCode
from exporter.severity import Severity

SUBJECT = "resource claims"
_MOUNT = "mount the CDI directories of the node, see docs/attribution.md"
_SEE_PARTITIONS = "give the container the right to see partitions"
_NOTHING = "see docs/attribution.md"
_READ_SLICES = "--attribution.resource-slices may find them, see docs/kubernetes-api.md"

# By reason: what is said about devices of claims that are not resolved, and what to do.
REASONS: Mapping[str, tuple[str, str]] = {
    UnresolvedReason.UNKNOWN_NAME: ("no device has this name", _MOUNT),
    UnresolvedReason.UNKNOWN_NODES: (
        "no collector knows the device nodes in the CDI file",
        "check that a collector reads these devices, or, for no accelerators, set --attribution.ignored-drivers",
    ),
    UnresolvedReason.SEVERAL_DEVICES: (
        "the device nodes in the CDI file belong to several devices or partitions",
        _NOTHING,
    ),
    UnresolvedReason.SEVERAL_SHARES: (
        "one claim has several shares of a device, and which partition each of them is cannot be known",
        "use one claim for each share",
    ),
    UnresolvedReason.PARTITION_NOT_LISTED: ("this means a partition that the collector does not list", _SEE_PARTITIONS),
    UnresolvedReason.NOT_READ_YET: ("the collector was not read after the claim was listed", "fix the collector first"),
    UnresolvedReason.FILES_NOT_READ_YET: ("the CDI files were not read after the devices", _NOTHING),
    UnresolvedReason.CLAIM_NOT_READ: ("the ResourceClaim has not been read yet", _NOTHING),
    UnresolvedReason.TOO_MANY_CLAIMS: ("the kubelet lists more devices of claims than are searched", _NOTHING),
    CdiMissing.NO_ENTRY: ("no device and no CDI device that the kubelet lists has this name", _READ_SLICES),
    CdiMissing.AMBIGUOUS: ("several CDI devices that the kubelet lists have this name", _READ_SLICES),
    CdiMissing.NO_DIRECTORY: ("no device has this name, and no CDI directory exists here", _MOUNT),
    CdiMissing.UNREADABLE: ("a CDI directory or file cannot be read", "look at its permissions and mounts"),
    CdiMissing.NOT_REGULAR: ("the CDI file is a pipe, socket or device", "remove it"),
    CdiMissing.TOO_LARGE: ("the CDI file is too large", _NOTHING),
    CdiMissing.TOO_MANY: ("there are too many CDI files, or names in them", "remove files that are no longer used"),
    CdiMissing.NOT_UNDERSTOOD: ("the CDI file is not understood", "look at the driver that has written it"),
    CdiMissing.NOT_YET_READ: ("not all CDI files could be read in time", _NOTHING),
    CdiMissing.NOT_FOUND: (
        "no device has this name, and no CDI file describes it",
        "check that --attribution.cdi-dirs has the directories of this node's container runtime",
    ),
    CdiMissing.CONFLICT: ("two CDI files of one directory describe it", "remove the one that is no longer used"),
    CdiMissing.NO_DEVICE_NODES: ("the CDI file has no device nodes", _READ_SLICES),
}


def rows_of_ways(
    sources: ClaimSources, found: Mapping[Way, int], not_counted: Mapping[Use, int]
) -> Iterator[tuple[str, str, str]]:
    """Yield what is looked at, in this order: its name, what is here, and for how many devices of claims it counts."""
    directories = ", ".join(map(_directory, sources.cdi_directories)) or "no directory is configured"
    own = f"the namespace {sources.own_namespace}" if sources.own_namespace else "the own namespace is unknown"
    yield "1. names of devices", "always", str(found.get(Way.NAME, 0))
    yield "2. CDI files", directories, str(found.get(Way.CDI, 0))
    for each in sources.api[:1]:
        yield f"3. {each.what}", each.state, str(found.get(Way.SLICE, 0))
    yield "not counted: monitors", own, str(not_counted.get(Use.MONITORED, 0))
    yield "not counted: no accelerators", "by driver", str(not_counted.get(Use.NO_ACCELERATOR, 0))


def _directory(directory: CdiDirectory) -> str:
    state = {True: "found", False: "missing", None: "unknown"}[directory.exists]
    return f"{directory.path} ({state})"


def api_findings(sources: ClaimSources) -> Iterator[Finding]:
    """Return a finding for each kind of objects that the API server should give and does not."""
    for each in sources.api:
        if each.state not in (ApiState.UP, ApiState.UNKNOWN):
            text = f"{each.what} are not read: {each.text}"
            do = f"see docs/kubernetes-api.md, also for the right to {each.right}"
            yield Finding(Severity.WARNING, FindingCode.API_NOT_READ, "API server", text, do)


def claim_findings(claims: ResolvedClaims) -> Iterator[Finding]:
    """Return a finding for each driver and reason of devices that are not resolved."""
    for (driver, reason), count in claims.reasons.items():
        why, do = REASONS.get(reason, (reason, ""))
        devices = counted(count, "device of a claim is", "devices of claims are")
        text = f"{driver}: {devices} not resolved: {why} ({reason})"
        yield Finding(Severity.WARNING, FindingCode.CLAIMS_UNRESOLVED, SUBJECT, text, do)
