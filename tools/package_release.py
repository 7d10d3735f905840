"""The parts of a release that no other tool makes: one version everywhere, the changes in it, and the packaged chart.

`python tools/package_release.py check v1.2.3` names what contradicts a tag, `notes` prints the changes of the version,
and `charts FOLDER --image NAME` packages each chart of deploy/helm with that image as its default.
"""

import argparse
import fnmatch
import io
import re
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

_ROOT = Path(__file__).resolve().parent.parent
_CHARTS = Path("deploy") / "helm"
_IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*((:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+)?")
# Versions of packages and of charts are spelled differently if they have more than three numbers.
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_REPOSITORY = re.compile(r"(?m)^(image:\n(?:[ ]+.*\n|\n)*?[ ]+repository: )\S+$")
_MANIFEST_IMAGE = re.compile(r"(?m)^\s+image: \S+:(\S+)$")
# With 0 as the time of every file, the same tree always gives the same package.
_TIME = 0


class ReleaseError(Exception):
    """Something contradicts the release. The text is for people."""


def version_of(root: Path) -> str:
    """The version in pyproject.toml, from which every other is derived or to which it is compared."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def notes(root: Path, version: str) -> str:
    """The changes of a version, as the changelog has them.

    Raises:
        ReleaseError: The changelog has no dated section of this version, or nothing in it.
    """
    heading = re.compile(rf"(?m)^## \[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}$")
    text = (root / "CHANGELOG.md").read_text()
    found = heading.search(text)
    if found is None:
        raise ReleaseError(f"CHANGELOG.md: no section '## [{version}] - YYYY-MM-DD'")
    changes = re.split(r"(?m)^## ", text[found.end() :])[0].strip()
    if not changes:
        raise ReleaseError(f"CHANGELOG.md: the section of {version} is empty")
    return f"{changes}\n"


def versions(root: Path) -> Iterator[tuple[str, str]]:
    """Every other place that names the version of the exporter, and the version there."""
    for chart in charts(root):
        content = yaml.safe_load((chart / "Chart.yaml").read_text())
        for key in ("version", "appVersion"):
            yield f"{chart.relative_to(root)}/Chart.yaml: {key}", str(content[key])
    for manifest in sorted((root / "deploy" / "kubernetes").rglob("*.yaml")):
        for tag in _MANIFEST_IMAGE.findall(manifest.read_text()):
            yield f"{manifest.relative_to(root)}: image", tag


def contradictions(root: Path, tag: str) -> Iterator[str]:
    """What contradicts a tag, in words."""
    version = version_of(root)
    if _VERSION.fullmatch(version) is None:
        yield f"pyproject.toml: found the version {version}, expected three numbers such as 1.2.3"
    if tag != f"v{version}":
        yield f"the tag is {tag!r}, and the version in pyproject.toml is {version}: expected the tag v{version}"
    for place, other in versions(root):
        if other != version:
            yield f"{place}: found {other}, expected {version}"
    try:
        notes(root, version)
    except ReleaseError as error:
        yield str(error)


def charts(root: Path) -> list[Path]:
    """The folders of the charts."""
    return sorted(path.parent for path in (root / _CHARTS).glob("*/Chart.yaml"))


def package(chart: Path, image: str, folder: Path) -> Path:
    """Package a chart as Helm does; returns the file.

    Args:
        chart: Its folder.
        image: The image that it uses by default, without a tag: the tag is the version of the chart's application.
        folder: Receives the package.

    Raises:
        ReleaseError: The image is no name, there is no such folder, or the chart has no default image in the expected
            form.
    """
    if not folder.is_dir():
        raise ReleaseError(f"{folder}: no such folder")
    if _IMAGE_NAME.fullmatch(image) is None:
        raise ReleaseError(f"found {image!r}, expected the name of an image without a tag, in lower case")
    version = yaml.safe_load((chart / "Chart.yaml").read_text())["version"]
    target = folder / f"{chart.name}-{version}.tgz"
    with tarfile.open(target, "w:gz", compresslevel=9, format=tarfile.PAX_FORMAT) as archive:
        for path in _files(chart):
            content = path.read_bytes()
            if path == chart / "values.yaml":
                content = _with_image(content.decode(), image).encode()
            member = tarfile.TarInfo(f"{chart.name}/{path.relative_to(chart)}")
            member.size, member.mode, member.mtime = len(content), 0o644, _TIME
            archive.addfile(member, io.BytesIO(content))
    return target


def _with_image(values: str, image: str) -> str:
    changed, count = _REPOSITORY.subn(rf"\g<1>{image}", values)
    if count != 1:
        raise ReleaseError("values.yaml: expected one key image.repository")
    return changed


def _files(chart: Path) -> Iterator[Path]:
    """The files of a chart that are not excluded by its .helmignore, in order."""
    ignored = chart / ".helmignore"
    lines = ignored.read_text().splitlines() if ignored.exists() else []
    patterns = [line.strip().strip("/") for line in lines if line.strip() and not line.startswith("#")]
    for path in sorted(path for path in chart.rglob("*") if path.is_file()):
        parts = path.relative_to(chart).parts
        names = [*parts, *("/".join(parts[: count + 1]) for count in range(len(parts)))]
        if not any(fnmatch.fnmatch(name, pattern) for name in names for pattern in patterns):
            yield path


def main(arguments: Sequence[str], root: Path = _ROOT) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version", help="print the version")
    commands.add_parser("check", help="name what contradicts a tag").add_argument("tag")
    commands.add_parser("notes", help="print the changes of the version")
    packaging = commands.add_parser("charts", help="package the charts")
    packaging.add_argument("folder", type=Path)
    packaging.add_argument("--image", required=True, help="the default image, without a tag")
    given = parser.parse_args(arguments)
    try:
        return _run(given, root)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1


def _run(given: argparse.Namespace, root: Path) -> int:
    if given.command == "check":
        found = list(contradictions(root, given.tag))
        print("\n".join(found) or f"{given.tag}: nothing contradicts it")
        return 1 if found else 0
    if given.command == "version":
        print(version_of(root))
    elif given.command == "notes":
        print(notes(root, version_of(root)), end="")
    else:
        for chart in charts(root):
            print(package(chart, given.image, given.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
