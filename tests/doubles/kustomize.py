"""Builds a kustomization as `kubectl kustomize` does, for the features that the manifests use."""

import copy
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import kubernetes_validate  # type: ignore[import-untyped]  # it has types but no py.typed marker
import yaml
from kubernetes_validate import utils as validation

Manifest = dict[str, Any]

# The library parses all definitions of a version, some megabytes, for each object.
_schema_contents = lru_cache(maxsize=16)(validation.schema_contents)
_KNOWN = {"apiVersion", "kind", "resources", "components", "patches", "images"}


def read(path: Path) -> list[Any]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text()))


def build(folder: Path) -> list[Manifest]:
    """The manifests of a folder, as `kubectl apply -k` sends them."""
    (content,) = read(folder / "kustomization.yaml")
    return apply(content, folder)


def apply(kustomization: Manifest, folder: Path) -> list[Manifest]:
    """The manifests of a kustomization whose paths are relative to a folder."""
    assert set(kustomization) <= _KNOWN, f"not supported here: {set(kustomization) - _KNOWN}"
    manifests: list[Manifest] = []
    for name in kustomization["resources"]:
        path = (folder / name).resolve()
        manifests += build(path) if path.is_dir() else read(path)
    for name in kustomization.get("components", []):
        _add_component(manifests, (folder / name).resolve())
    for patch in kustomization.get("patches", []):
        _patch(manifests, patch, folder)
    for image in kustomization.get("images", []):
        _rename(manifests, image)
    return manifests


def refused(manifests: Sequence[Manifest], versions: Sequence[str]) -> list[str]:
    """The errors of all Kubernetes versions for these manifests; empty where they are valid in all versions."""
    complaints = []
    with mock.patch.object(validation, "schema_contents", _schema_contents):
        for version in versions:
            for manifest in manifests:
                try:
                    kubernetes_validate.validate(manifest, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    complaints.append(f"{manifest['kind']} in {version}: {error.message}")
    return complaints


def _add_component(manifests: list[Manifest], folder: Path) -> None:
    """Add the resources of a component; its patches apply to everything that came before it."""
    (content,) = read(folder / "kustomization.yaml")
    assert content["kind"] == "Component"
    assert set(content) <= {"apiVersion", "kind", "resources", "patches"}
    for name in content.get("resources", []):
        manifests += read(folder / name)
    for patch in content["patches"]:
        _patch(manifests, patch, folder)


def _patch(manifests: list[Manifest], patch: Manifest, folder: Path) -> None:
    operations = read(folder / patch["path"])[0] if "path" in patch else yaml.safe_load(patch["patch"])
    target = patch["target"]
    found = [
        m for m in manifests if m["kind"] == target["kind"] and target.get("name") in (None, m["metadata"]["name"])
    ]
    assert found, f"the patch has no target {target}"
    for manifest in found:
        for operation in operations:
            _operate(manifest, **copy.deepcopy(operation))


def _operate(manifest: Manifest, op: str, path: str, value: object) -> None:
    """One operation of RFC 6902."""
    *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
    place: Any = manifest
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    match op:
        case "add" if isinstance(place, list):
            place.insert(len(place) if last == "-" else int(last), value)
        case "add":
            assert last not in place, f"{path} already exists"
            place[last] = value
        case "replace":
            assert last in place, f"{path} does not exist"
            place[last] = value
        case _:
            raise AssertionError(f"not supported here: {op}")


def _rename(manifests: list[Manifest], image: Manifest) -> None:
    for manifest in manifests:
        for container in manifest["spec"]["template"]["spec"]["containers"] if manifest["kind"] == "DaemonSet" else ():
            name, _, tag = container["image"].partition(":")
            if name == image["name"]:
                container["image"] = f"{image['newName']}:{image.get('newTag', tag)}"
