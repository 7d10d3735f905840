"""docs/from-dcgm-exporter.md agrees with the view, the cards, the chart and the manifests."""

import re
from typing import Any

import yaml

from exporter.views.dcgm import LABELS, ROWS
from tools import gen_dcgm
from tools.chart import ROOT, manifests

TEXT = (ROOT / "docs" / "from-dcgm-exporter.md").read_text()
VALUES, EXPORTED, SERVICE, ALIAS = (
    yaml.safe_load(block) for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
)


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in found if each["kind"] == kind]


def test_the_page_is_up_to_date() -> None:
    assert gen_dcgm.main(["--check"]) == 0


def test_the_service_selects_the_pods_of_chart_and_manifests() -> None:
    rendered = of_kind(manifests({}), "DaemonSet")
    plain = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/nvidia/daemonset.yaml").read_text()))
    for daemon_set in (*rendered, *of_kind(plain, "DaemonSet")):
        template = daemon_set["spec"]["template"]
        assert SERVICE["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        [port] = SERVICE["spec"]["ports"]
        assert port["targetPort"] in {each["name"] for each in template["spec"]["containers"][0]["ports"]}


def test_the_service_of_the_chart_is_the_one_of_the_page() -> None:
    found = manifests({**VALUES, "dcgmService": {"enabled": True}})
    [service] = [each for each in of_kind(found, "Service") if each["metadata"]["name"] == SERVICE["metadata"]["name"]]

    assert service["spec"]["ports"][0].items() >= SERVICE["spec"]["ports"][0].items()
    assert service["spec"]["selector"].items() >= SERVICE["spec"]["selector"].items()
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    assert ALIAS["spec"]["externalName"].startswith(f"{name}.{namespace}.svc.")


def test_the_values_are_those_of_the_chart() -> None:
    [monitor] = of_kind(
        manifests({**VALUES, "monitor": {**VALUES["monitor"], **EXPORTED["monitor"]}}), "ServiceMonitor"
    )
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True
    assert endpoint["metricRelabelings"] == EXPORTED["monitor"]["metricRelabelings"]


def test_labels_are_listed_in_their_order() -> None:
    section = TEXT.partition("## Labels")[2].partition(", in this order")[0]
    assert re.findall(r"`(\w+)`", section) == list(LABELS)


def test_cards_without_gpm_have_only_one_family_of_profiling() -> None:
    profiling = {name for name in {row.family.name for row in ROWS} if "_PROF_" in name}
    for card in ("t4", "a100", "l40s"):
        assert gen_dcgm.present_for(card) & profiling == {"DCGM_FI_PROF_GR_ENGINE_ACTIVE"}
    assert gen_dcgm.present_for("a100-mig") & profiling == set()
    assert len(gen_dcgm.present_for("h100") & profiling) > 5
