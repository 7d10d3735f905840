"""The presets of the Helm chart, and what a node group changes of them."""

import json

import pytest

from tests.doubles.chart import leaves, pod_of, with_group
from tests.doubles.kustomize import read
from tools.chart import CHART, manifests

PRESETS = ("nvidia", "nvidia-gke", "amd", "amd-partitions", "simulated")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_also_a_file_of_values(preset: str) -> None:
    (values,) = read(CHART / "presets" / f"{preset}.yaml")
    (group,) = values["nodeGroups"]
    assert manifests(values) == manifests({"nodeGroups": [{"name": group["name"], "preset": preset}]})


def test_the_schema_knows_every_preset() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["properties"]["nodeGroups"]["items"]["properties"]["preset"]["enum"] == list(PRESETS)
    assert {path.stem for path in (CHART / "presets").iterdir()} == set(PRESETS)


def test_partitions_change_only_the_privilege_of_the_preset_amd() -> None:
    amd, partitions = (pod_of(with_group(preset=preset)) for preset in ("amd", "amd-partitions"))
    changed = {path for path, _ in set(leaves(amd)) ^ set(leaves(partitions))}
    assert {path.removeprefix("/containers/exporter/securityContext/").partition("/")[0] for path in changed} == {
        "privileged",
        "allowPrivilegeEscalation",
        "capabilities",
    }


def test_what_a_group_says_takes_precedence_also_if_it_is_false_or_empty() -> None:
    own = with_group(preset="nvidia-gke", privileged=False, env=[], nodeExclusions=[], tolerations=[], volumes=[])
    pod = pod_of({**own, "nodeGroups": [{**own["nodeGroups"][0], "volumeMounts": []}]})
    (container,) = pod["containers"]
    assert container["securityContext"]["privileged"] is False
    assert [each["name"] for each in container["env"]] == ["NODE_NAME", "POD_NAMESPACE"]
    assert "tolerations" not in pod
    assert len(pod["volumes"]) == 1
    off = {"features": {"amdPartitions": {"enabled": False}}}
    assert pod_of(with_group(preset="amd-partitions", **off))["containers"][0]["securityContext"]["privileged"] is False
