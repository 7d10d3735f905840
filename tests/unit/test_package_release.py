"""Everything of a release has one version, the changelog is in order, and the workflow does what its page says."""

import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.chart import manifests
from tools.package_release import ReleaseError, charts, contradictions, main, notes, package, version_of, versions

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.2.3] - 2027-01-31

### Added

- A thing.

## [1.2.2] - 2026-12-01

### Fixed

- Another.
"""
VALUES = """\
nameOverride: ""
image:
  # The name.
  repository: accelerator-exporter
  tag: ""
other:
  repository: elsewhere
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that can be released as 1.2.3."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    manifest = tmp_path / "deploy" / "kubernetes" / "base" / "daemonset.yaml"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("      containers:\n        - image: x\n          image: accelerator-exporter:1.2.3\n")
    chart = tmp_path / "deploy" / "helm" / "acme"
    (chart / "templates").mkdir(parents=True)
    (chart / "ci").mkdir()
    (chart / "Chart.yaml").write_text("name: acme\nversion: 1.2.3\nappVersion: 1.2.3\n")
    (chart / "values.yaml").write_text(VALUES)
    (chart / "templates" / "pod.yaml").write_text("kind: Pod\n")
    (chart / "ci" / "case.yaml").write_text("{}\n")
    (chart / ".helmignore").write_text("# cases\nci/\n")
    return tmp_path


def test_every_place_of_this_project_names_its_version() -> None:
    found = dict(versions(ROOT))
    assert found
    assert set(found.values()) == {version_of(ROOT)}


def test_the_packaged_chart_of_this_project_uses_the_image_of_the_release(tmp_path: Path) -> None:
    image = "registry.example/platform/accelerator-exporter"
    (chart,) = charts(ROOT)
    objects = manifests({}, package(chart, image, tmp_path))
    pods = [each["spec"]["template"]["spec"] for each in objects if each["kind"] == "DaemonSet"]
    assert {container["image"] for pod in pods for container in pod["containers"]} == {f"{image}:{version_of(ROOT)}"}


def test_a_project_that_can_be_released(project: Path) -> None:
    assert list(contradictions(project, "v1.2.3")) == []
    assert notes(project, "1.2.3") == "### Added\n\n- A thing.\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("pyproject.toml", "1.2.3", "1.2.4", "the tag is 'v1.2.3', and the version in pyproject.toml is 1.2.4"),
        ("deploy/helm/acme/Chart.yaml", "appVersion: 1.2.3", "appVersion: 1.2", "Chart.yaml: appVersion: found 1.2,"),
        ("deploy/kubernetes/base/daemonset.yaml", ":1.2.3", ":latest", "daemonset.yaml: image: found latest,"),
        ("pyproject.toml", "1.2.3", "1.2.3rc1", "found the version 1.2.3rc1, expected three numbers"),
        ("CHANGELOG.md", "[1.2.3] - 2027-01-31", "[1.2.3]", "no section '## [1.2.3] - YYYY-MM-DD'"),
        ("CHANGELOG.md", "### Added\n\n- A thing.\n", "", "the section of 1.2.3 is empty"),
    ],
)
def test_what_contradicts_a_tag_is_named(project: Path, file: str, old: str, new: str, found: str) -> None:
    path = project / file
    path.write_text(path.read_text().replace(old, new))
    assert any(found in line for line in contradictions(project, "v1.2.3"))
    assert main(["check", "v1.2.3"], project) == 1


def test_a_packaged_chart_has_the_image_as_its_default_and_nothing_ignored(project: Path, tmp_path: Path) -> None:
    chart = project / "deploy" / "helm" / "acme"
    image = "registry.example/platform/exporter"
    made = package(chart, image, tmp_path)
    assert made.name == "acme-1.2.3.tgz"
    content = made.read_bytes()
    with tarfile.open(made) as archive:
        names = archive.getnames()
        values = archive.extractfile("acme/values.yaml")
        assert values is not None
        assert values.read().decode() == VALUES.replace("repository: accelerator-exporter", f"repository: {image}")
    assert set(names) == {f"acme/{name}" for name in (".helmignore", "Chart.yaml", "templates/pod.yaml", "values.yaml")}
    assert package(chart, image, tmp_path).read_bytes() == content


@pytest.mark.parametrize(
    ("image", "values"),
    [
        ("a:Tag", VALUES),
        ("a:5000", VALUES),
        ("registry.example:5000/a:1", VALUES),
        ("https://registry.example/a", VALUES),
        ("a/", VALUES),
        ("a b", VALUES),
        ("", VALUES),
        ("a", "image: {}\n"),
    ],
)
def test_a_chart_without_a_clear_image_is_not_packaged(project: Path, image: str, values: str) -> None:
    (project / "deploy" / "helm" / "acme" / "values.yaml").write_text(values)
    assert main(["charts", str(project), f"--image={image}"], project) == 1
    with pytest.raises(ReleaseError):
        package(project / "deploy" / "helm" / "acme", image, project)


def test_a_folder_that_does_not_exist_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["charts", str(project / "dist"), "--image=a"], project) == 1
    assert capsys.readouterr().err == f"{project / 'dist'}: no such folder\n"


def test_the_changelog_is_in_order() -> None:
    headings = re.findall(r"(?m)^## (.*)$", (ROOT / "CHANGELOG.md").read_text())
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:])
    assert set(re.findall(r"(?m)^### (.*)$", (ROOT / "CHANGELOG.md").read_text())) <= set(KINDS)


def test_another_platform_is_refused_before_anything_is_built() -> None:
    command = [str(ROOT / "tools" / "build-image"), "false"]
    done = subprocess.run(
        command,
        env={"PATH": "/usr/bin:/bin", "PLATFORM": "linux/riscv64"},
        check=False,
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "PLATFORM: found linux/riscv64, expected linux/amd64 or linux/arm64\n")


def test_the_workflow_runs_what_maintainers_run_and_needs_only_what_the_page_lists() -> None:
    text = WORKFLOW.read_text()
    jobs: dict[str, Any] = yaml.safe_load(text)["jobs"]
    commands = [step["run"] for step in jobs["build"]["steps"] if "run" in step]
    assert any(command.startswith("make release") for command in commands)
    assert any("package_release.py check" in command for command in commands)
    named = set(re.findall(r"(?:vars|secrets)\.([A-Z_]+)", text))
    page = (ROOT / "docs" / "releasing.md").read_text()
    assert named == set(re.findall(r"(?m)^\| `(RELEASE_[A-Z_]+)` \|", page))
    assert all("RELEASE_" in job["if"] for name, job in jobs.items() if name != "build")
