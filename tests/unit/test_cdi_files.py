"""The files of the CDI directories: which are read, when, how much, and what is said of those that cannot be."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.attribution.cdi_files import CdiMissing, list_specs, read_spec
from exporter.attribution.cdi_spec import CdiSpec
from exporter.attribution.cdi_specs import CdiAnswer, CdiSpecs

UID = "7d9f3c1a-0b52-4c7e-9a51-2f6f1f0f4a11"
CDI_DEVICES = [f"v.example/c={UID}-x"]
GOOD = json.dumps(
    {
        "kind": "v.example/c",
        "devices": [{"name": f"{UID}-x", "containerEdits": {"deviceNodes": [{"path": "/dev/x"}]}}],
    }
)
YAML = f"""\
kind: v.example/c
devices:
- {{name: {UID}-x, containerEdits: {{deviceNodes: [{{path: /dev/x}}]}}}}
"""
FOUND = CdiAnswer(("/dev/x",), UID)
LARGEST = 512 << 10


class Reader:
    """Reads files, and remembers which."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.failing = False

    def __call__(self, path: Path) -> CdiSpec | CdiMissing:
        self.names.append(path.name)
        return CdiMissing.UNREADABLE if self.failing else read_spec(path)

    def drain(self) -> list[str]:
        names, self.names = self.names, []
        return names


def answer(directory: Path) -> CdiAnswer:
    specs = CdiSpecs([directory])
    specs.refresh()
    return specs.nodes(CDI_DEVICES, "x")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (link_to_itself, CdiMissing.UNREADABLE),
        (lambda path: path.symlink_to("gone"), CdiMissing.UNREADABLE),
        (lambda path: path.symlink_to("/proc/self/mem"), CdiMissing.UNREADABLE),
        (lambda path: path.symlink_to("/dev/zero"), CdiMissing.NOT_REGULAR),
        (os.mkfifo, CdiMissing.NOT_REGULAR),
        (make_huge, CdiMissing.TOO_LARGE),
        (lambda path: path.write_text(YAML + " " * LARGEST), CdiMissing.TOO_LARGE),
        (lambda path: path.write_text(YAML[:-3]), CdiMissing.NOT_UNDERSTOOD),
        (lambda path: path.write_text(""), CdiMissing.NOT_UNDERSTOOD),
        (lambda path: path.write_bytes(b"\xff"), CdiMissing.NOT_UNDERSTOOD),
    ],
)
def test_a_file_that_is_no_spec_has_one_reason_and_hides_no_other_spec(
    tmp_path: Path, make: Callable[[Path], object], missing: CdiMissing
) -> None:
    path = tmp_path / f"v.example-c_{UID}.yaml"
    make(path)
    assert answer(tmp_path) == CdiAnswer(claim_uid=UID, missing=missing, file=str(path))
    (tmp_path / "good.json").write_text(GOOD)
    assert answer(tmp_path) == FOUND


def test_the_reason_is_that_of_the_file_with_the_usual_name(tmp_path: Path) -> None:
    (tmp_path / "v.example-c_another-claim.yaml").write_text("")
    (tmp_path / "other.example-c.yaml").write_text("")
    assert answer(tmp_path) == CdiAnswer(claim_uid=UID, missing=CdiMissing.NOT_FOUND)
    (tmp_path / "v.example-c.json").write_text("")
    assert answer(tmp_path).file == str(tmp_path / "v.example-c.json")


def test_only_json_and_yaml_files_of_the_directory_itself_are_read(tmp_path: Path) -> None:
    for name in ("a.yml", "a.json.tmp", "a", "spec.123"):
        (tmp_path / name).write_text(GOOD)
    (tmp_path / "v.example-c.json").mkdir()
    (tmp_path / "v.example-c.json" / "a.json").write_text(GOOD)
    assert answer(tmp_path) == CdiAnswer(claim_uid=UID, missing=CdiMissing.NOT_FOUND)


@pytest.mark.parametrize(("name", "text"), [("a.json", GOOD), (".json", GOOD), ("a.yaml", YAML), ("b.yaml", GOOD)])
def test_a_link_is_followed_to_its_spec(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "cdi").mkdir()
    (tmp_path / "target").write_text(text)
    (tmp_path / "cdi" / name).symlink_to("../target")
    assert answer(tmp_path / "cdi") == FOUND


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
def test_a_directory_that_is_something_else_does_not_exist(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "cdi")
    assert answer(tmp_path / "cdi") == CdiAnswer(claim_uid=UID, missing=CdiMissing.NO_DIRECTORY)


def test_a_directory_without_specs_is_known(tmp_path: Path) -> None:
    assert answer(tmp_path) == CdiAnswer(claim_uid=UID, missing=CdiMissing.NOT_FOUND)


def test_a_directory_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    link_to_itself(tmp_path / "cdi")
    expected = CdiAnswer(claim_uid=UID, missing=CdiMissing.UNREADABLE, file=str(tmp_path / "cdi"))
    assert answer(tmp_path / "cdi") == expected
    assert list_specs(Path("a\0")).problem is CdiMissing.UNREADABLE


def test_more_entries_than_are_listed_are_reported(tmp_path: Path) -> None:
    for number in range(4097):
        (tmp_path / str(number)).touch()
    expected = CdiAnswer(claim_uid=UID, missing=CdiMissing.TOO_MANY, file=str(tmp_path))
    assert answer(tmp_path) == expected
    (tmp_path / "0").unlink()
    assert answer(tmp_path).missing == CdiMissing.NOT_FOUND


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    reader = Reader()
    specs = CdiSpecs([tmp_path], reader)
    (tmp_path / "a.json").write_text(GOOD)
    (tmp_path / "b.json").write_text("")
    assert specs.refresh()
    assert reader.drain() == ["a.json", "b.json"]
    assert specs.nodes(CDI_DEVICES, "x") == FOUND
    assert specs.nodes(["v.example/c=y"], "y").missing == CdiMissing.NOT_FOUND
    assert not specs.refresh()
    assert reader.drain() == []
    (tmp_path / "new").write_text(GOOD.replace("/dev/x", "/dev/y"))
    (tmp_path / "new").replace(tmp_path / "a.json")
    assert specs.nodes(CDI_DEVICES, "x") == FOUND
    assert specs.refresh()
    assert specs.nodes(CDI_DEVICES, "x").paths == ("/dev/y",)
    assert reader.drain() == ["a.json"]


def test_a_changed_file_with_the_same_content_changes_nothing(tmp_path: Path) -> None:
    specs = CdiSpecs([tmp_path])
    for changed in (True, False):
        (tmp_path / "new").write_text(GOOD)
        (tmp_path / "new").replace(tmp_path / "a.json")
        assert specs.refresh() == changed
        assert specs.nodes(CDI_DEVICES, "x") == FOUND


def test_a_file_that_is_written_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.json"

    def read_and_write(read: Path) -> CdiSpec | CdiMissing:
        content = read_spec(read)
        if content is CdiMissing.NOT_UNDERSTOOD:
            path.write_text(GOOD)
        return content

    path.write_text(GOOD[:-5])
    specs = CdiSpecs([tmp_path], read_and_write)
    assert specs.refresh()
    assert specs.nodes(CDI_DEVICES, "x").missing == CdiMissing.NOT_FOUND
    assert specs.refresh()
    assert specs.nodes(CDI_DEVICES, "x") == FOUND


def test_a_file_that_could_not_be_read_is_tried_at_every_refresh(tmp_path: Path) -> None:
    reader = Reader()
    specs = CdiSpecs([tmp_path], reader)
    (tmp_path / "a.json").write_text(GOOD + " " * (LARGEST - len(GOOD)))
    reader.failing = True
    specs.refresh()
    for _ in range(5):
        assert specs.nodes(CDI_DEVICES, "x").missing == CdiMissing.NOT_FOUND
        assert not specs.refresh()
    assert reader.drain() == ["a.json"] * 6
    reader.failing = False
    assert specs.refresh()
    assert specs.nodes(CDI_DEVICES, "x") == FOUND
    assert not specs.refresh()


def test_large_files_that_cannot_be_read_do_not_keep_the_others_from_being_read(tmp_path: Path) -> None:
    def read(path: Path) -> CdiSpec | CdiMissing:
        return CdiMissing.UNREADABLE if path.name < "9" else read_spec(path)

    for number in range(4):
        (tmp_path / f"{number}.json").write_bytes(bytes(LARGEST))
    (tmp_path / "9.json").write_text(GOOD)
    specs = CdiSpecs([tmp_path], read)
    specs.refresh()
    assert specs.nodes(CDI_DEVICES, "x") == FOUND


def test_a_changed_permission_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(GOOD)
    before = list_specs(tmp_path)
    (tmp_path / "a.json").chmod(0o400)
    assert list_specs(tmp_path) != before


def test_the_rest_of_many_files_is_read_after_the_next_refresh(tmp_path: Path) -> None:
    reader = Reader()
    specs = CdiSpecs([tmp_path], reader)
    for number in range(5):
        (tmp_path / f"{number}.json").write_text("{}" + " " * (LARGEST - 2))
    (tmp_path / "9.json").write_text(GOOD)
    for read in (["0.json", "1.json"], ["2.json", "3.json"]):
        assert specs.refresh()
        assert reader.drain() == read
        assert specs.nodes(CDI_DEVICES, "x") == CdiAnswer(claim_uid=UID, missing=CdiMissing.NOT_YET_READ)
    assert specs.refresh()
    assert specs.nodes(CDI_DEVICES, "x") == FOUND
    assert not specs.refresh()


def test_the_names_that_are_kept_are_limited(tmp_path: Path) -> None:
    many = [{"name": str(number)} for number in range(20_000)]
    for name in ("0.json", "1.json"):
        (tmp_path / name).write_text(json.dumps({"kind": f"v.example/c{name[0]}", "devices": many}))
    (tmp_path / "2.json").write_text(GOOD)
    specs = CdiSpecs([tmp_path])
    for expected in (CdiMissing.NOT_FOUND, CdiMissing.NO_DEVICE_NODES):
        specs.refresh()
        assert specs.nodes(CDI_DEVICES, "x") == FOUND
        assert specs.nodes(["v.example/c1=7"], "7").missing == expected
        (tmp_path / "0.json").unlink(missing_ok=True)


def test_nothing_waits_for_a_pipe_that_takes_the_place_of_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(read_spec(tmp_path / "a.json")), daemon=True)
    thread.start()
    thread.join(30)
    assert found == [CdiMissing.NOT_REGULAR]
