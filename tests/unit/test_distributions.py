"""The installed distributions, and that they are those of `importlib.metadata`."""

import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.distributions import ListedEntryPoint, NotInstalledError, entry_points, version

GROUP = "acme.group"


def install(folder: Path, name: str, points: str = "", number: str = "1.0", kind: str = "dist-info") -> None:
    info = folder / f"{name}-{number}.{kind}"
    info.mkdir(parents=True)
    file = "METADATA" if kind == "dist-info" else "PKG-INFO"
    (info / file).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n\nVersion: of the text\n")
    (info / "entry_points.txt").write_text(points, encoding="utf-8")


def found(*paths: Path) -> list[tuple[str, str]]:
    return sorted((each.name, each.value) for each in entry_points(GROUP, map(str, paths)))


def reference(*paths: Path) -> list[tuple[str, str]]:
    """What Python's own module finds, with the first of two distributions that have the same name."""
    first: dict[str, metadata.Distribution] = {}
    for each in metadata.distributions(path=list(map(str, paths))):
        first.setdefault(each.name.lower(), each)
    points = (point for each in first.values() for point in each.entry_points if point.group == GROUP)
    return sorted((point.name, point.value) for point in points)


LINES = st.sampled_from(
    [f"[{GROUP}]", "[other]", "# a = b:c", "", "  ", "a=m:SPEC", "  b = m.n:a.b  ", "c = m [x]", "d = e = f", "a = n:A"]
)
FILES = st.lists(LINES, max_size=8).map(lambda lines: "\n".join([f"[{GROUP}]", *lines, ""]))


@given(st.dictionaries(st.sampled_from(["one", "two"]), FILES), st.dictionaries(st.sampled_from(["one", "six"]), FILES))
def test_the_entry_points_are_those_of_importlib(first: dict[str, str], second: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, "first"), Path(folder, "second")]
        for path, distributions in zip(paths, (first, second), strict=True):
            path.mkdir()
            for name, points in distributions.items():
                install(path, name, points)
        assert found(*paths) == reference(*paths)


@pytest.mark.parametrize("kind", ["dist-info", "egg-info"])
def test_a_distribution_of_either_kind_is_found(tmp_path: Path, kind: str) -> None:
    install(tmp_path, "acme_cards", f"[{GROUP}]\nacme = acme:SPEC\n", "3.2", kind)

    assert found(tmp_path) == [("acme", "acme:SPEC")]
    assert version("Acme.Cards", [str(tmp_path)]) == "3.2"


def test_a_distribution_in_an_archive_is_found(tmp_path: Path) -> None:
    install(tmp_path / "content", "acme", f"[{GROUP}]\nacme = acme:SPEC\n", "3.2")
    archive = tmp_path / "acme.whl"
    with zipfile.ZipFile(archive, "w") as written:
        for file in (tmp_path / "content").glob("*/*"):
            written.write(file, file.relative_to(tmp_path / "content"))

    assert found(archive) == [("acme", "acme:SPEC")]
    assert version("acme", [str(archive)]) == "3.2"


def test_what_cannot_be_read_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "empty-1.0.dist-info").mkdir()
    (tmp_path / "file-1.0.dist-info").write_text("")
    install(tmp_path, "bytes")
    (tmp_path / "bytes-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe[")
    install(tmp_path, "acme", f"[{GROUP}]\nacme = acme:SPEC\n")

    assert found(tmp_path / "absent", tmp_path) == [("acme", "acme:SPEC")]


def test_a_version_that_nothing_states_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="acme"):
        version("acme", [str(tmp_path)])


@pytest.mark.parametrize(
    ("value", "loaded"),
    [
        ("os.path:sep", "/"),
        ("os : path.sep", "/"),
        ("os:path.sep [extra]", "/"),
        ("os.path:sep[extra]", "/"),
        ("tempfile", tempfile),
    ],
)
def test_a_reference_is_loaded(value: str, loaded: object) -> None:
    assert ListedEntryPoint("any", value).load() == loaded
    assert metadata.EntryPoint("any", value, GROUP).load() == loaded


@pytest.mark.parametrize("value", ["", ":SPEC", "not a module", "os:absent", "absent_module:SPEC"])
def test_a_reference_to_nothing_is_an_error(value: str) -> None:
    with pytest.raises((ImportError, AttributeError, ValueError)):
        ListedEntryPoint("any", value).load()
