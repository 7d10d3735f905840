"""Resource claims in the report: what is looked at, what was found, and what is said about the rest."""

from dataclasses import replace

import pytest

from exporter.attribution.api_health import ApiState
from exporter.attribution.cdi_files import CdiMissing
from exporter.attribution.claim_resolution import Lookups, UnresolvedReason
from exporter.attribution.claim_users import ClaimRules
from exporter.attribution.claims import Claims
from exporter.attribution.holding import PodResourcesList
from exporter.check import report_text
from exporter.check.claims import REASONS
from exporter.check.command import all_findings
from exporter.check.facts import ApiFacts, CallOutcome, CdiDirectory, ClaimSources, CollectorFacts, NodeFacts
from exporter.check.finding import FindingCode
from exporter.check.kubelet import allocation_facts
from exporter.check.permissions import PermissionState, permissions
from tests.doubles.check_facts import HEALTHY, reading
from tests.doubles.claims import CdiTable, claimed, device

DRIVER = "gpu.acme.example"
COLLECTOR = CollectorFacts(
    "acme",
    CallOutcome.OK,
    ("acme.example/",),
    0.1,
    reading(devices=(device("a", "gpu-0", "/dev/acme0", driver=DRIVER),)),
    dra_drivers=(DRIVER,),
)
FOUND = ClaimSources((CdiDirectory("/var/run/cdi", exists=True), CdiDirectory("/etc/cdi", exists=False)), "monitors")
NOT_FOUND = ClaimSources((CdiDirectory("/etc/cdi", exists=False),))
LISTED = (
    claimed("gpu-0", DRIVER),
    claimed("gpu-7", DRIVER, claim="seven"),
    claimed("gpu-0", DRIVER, namespace="monitors", claim="admin"),
    claimed("eth0", "dra.net"),
)


def node(*listed: object, sources: ClaimSources = FOUND) -> NodeFacts:
    claims = Claims(ClaimRules(sources.own_namespace), Lookups(CdiTable()))
    answer = PodResourcesList(frozenset(), (), tuple(each for each in LISTED if each in listed))
    allocations = allocation_facts(answer, (COLLECTOR,), claims)
    return replace(HEALTHY, kubelet=replace(HEALTHY.kubelet, allocations=allocations, claim_sources=sources))


def section(facts: NodeFacts, title: str) -> list[str]:
    lines = report_text.render(facts, all_findings(facts)).splitlines()
    return lines[lines.index(title) + 1 :][: lines[lines.index(title) :].index("") - 1]


def test_the_report_shows_what_is_looked_at_in_order_and_what_was_found() -> None:
    facts = node(*LISTED)
    assert section(facts, "RESOURCE CLAIMS") == [
        "  LOOKED UP IN                  HERE                                      DEVICES",
        "  1. names of devices           always                                    1",
        "  2. CDI files                  /var/run/cdi (found), /etc/cdi (missing)  0",
        "  not counted: monitors         the namespace monitors                    1",
        "  not counted: no accelerators  by driver                                 1",
    ]
    assert section(facts, "DEVICES OF CLAIMS THAT ARE NOT RESOLVED") == [
        "  DRIVER            DEVICE  CLAIM     POD    WHY",
        "  gpu.acme.example  gpu-7   ml/seven  train  not_found",
    ]


API = (
    ApiFacts("resource slices", "list and watch resourceslices", ApiState.UP),
    ApiFacts("resource claims", "get resourceclaims", ApiState.FORBIDDEN, "403 refused"),
    ApiFacts("pods with claims", "get pods", ApiState.UNKNOWN),
)


def test_the_api_server_is_shown_where_it_is_read() -> None:
    facts = node(*LISTED, sources=replace(FOUND, api=API))
    assert "  3. resource slices            up                                        0" in section(
        facts, "RESOURCE CLAIMS"
    )
    rights = {each.name: each.state for each in permissions(facts)}
    assert [rights[f"to {each.right}"] for each in API] == [
        PermissionState.GIVEN,
        PermissionState.MISSING,
        PermissionState.UNKNOWN,
    ]
    assert [(each.text, each.do) for each in all_findings(facts) if each.code is FindingCode.API_NOT_READ] == [
        (
            "resource claims are not read: 403 refused",
            "see docs/kubernetes-api.md, also for the right to get resourceclaims",
        )
    ]


def test_without_claims_nothing_is_shown_about_them() -> None:
    report = report_text.render(node(), all_findings(node()))
    assert "RESOURCE CLAIMS" not in report
    assert not {"CDI directories", "POD_NAMESPACE"} & {each.name for each in permissions(node())}


def test_what_is_not_resolved_is_a_warning_with_the_reason() -> None:
    [found] = [each for each in all_findings(node(*LISTED)) if each.code is FindingCode.CLAIMS_UNRESOLVED]
    assert found.text == (
        "gpu.acme.example: 1 device of a claim is not resolved: no device has this name, and no CDI file "
        "describes it (not_found)"
    )
    assert "--attribution.cdi-dirs" in found.do


@pytest.mark.parametrize("reason", [*UnresolvedReason, *CdiMissing])
def test_every_reason_is_explained(reason: str) -> None:
    text, what_to_do = REASONS[reason]
    assert text
    assert what_to_do


@pytest.mark.parametrize(
    ("listed", "sources", "states"),
    [
        (LISTED, FOUND, (PermissionState.GIVEN, PermissionState.GIVEN)),
        (LISTED, NOT_FOUND, (PermissionState.MISSING, PermissionState.MISSING)),
        (LISTED[:1], NOT_FOUND, (PermissionState.NOT_NEEDED, PermissionState.MISSING)),
    ],
    ids=["given", "missing", "not needed"],
)
def test_mount_and_namespace_are_rights_that_claims_need(
    listed: tuple[object, ...], sources: ClaimSources, states: tuple[PermissionState, ...]
) -> None:
    found = {each.name: each.state for each in permissions(node(*listed, sources=sources))}
    assert (found["CDI directories"], found["POD_NAMESPACE"]) == states
