"""Any file is a CDI spec or is refused, in JSON and in YAML alike, and no answer has a node of another device."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.text_file import TextError
from exporter.attribution.cdi_files import CdiMissing, read_spec
from exporter.attribution.cdi_spec import CdiSpec, parse_spec
from exporter.attribution.cdi_specs import CdiAnswer, CdiSpecs

UNHURRIED = settings(deadline=None)
UIDS = ("7d9f3c1a-0b52-4c7e-9a51-2f6f1f0f4a11", "0a0a0a0a-0b52-4c7e-9a51-2f6f1f0f4a11")
KINDS = ("v.example/gpu", "w.example/gpu")
DEVICES = ("gpu-0", "0")
NAMES = [f"{uid}-{device}" for uid in UIDS for device in DEVICES] + list(DEVICES)
PATHS = ("/dev/accel0", "/dev/accel1", "/dev/accel10")

KEYS = ("kind", "devices", "name", "containerEdits", "deviceNodes", "path", "hostPath", "cdiVersion")
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(KINDS + PATHS)
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=20,
)
PIECES = st.one_of(
    st.sampled_from([f"{key}: " for key in KEYS]),
    st.sampled_from(["\n", "\n  ", "\n- ", ": ", "- ", "? ", "{", "}", "[", "]", ", ", "&a ", "*a", "!!int ", "<<: "]),
    st.sampled_from(["'", '"', "|\n", "#", "---\n", "...\n", "%YAML 1.1\n", "~", '"\\U', '{"', '":']),
    st.sampled_from(KINDS + PATHS),
    st.text(max_size=4),
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A spec of a few devices, with names and paths of a small choice."""
    edits = st.none() | st.fixed_dictionaries(
        {"deviceNodes": st.lists(st.fixed_dictionaries({"path": st.sampled_from(PATHS)}), max_size=2)}
    )
    devices = draw(st.lists(st.tuples(st.sampled_from(NAMES), edits), min_size=1, max_size=3, unique_by=lambda d: d[0]))
    return {
        "kind": draw(st.sampled_from(KINDS)),
        "devices": [{"name": name, "containerEdits": edit} for name, edit in devices],
        "containerEdits": draw(edits),
    }


def nodes(edits: dict[str, Any] | None) -> list[str]:
    return [node["path"] for node in (edits or {}).get("deviceNodes", [])]


def parsed(text: str, *, is_json: bool) -> CdiSpec | None:
    """The spec in a text; None if it is refused."""
    try:
        return parse_spec(text, is_json=is_json)
    except TextError:
        return None


@UNHURRIED
@given(st.binary(max_size=200) | st.lists(PIECES, max_size=40).map(lambda pieces: "".join(pieces).encode("utf-8")))
def test_any_file_is_a_spec_or_has_a_reason(content: bytes) -> None:
    with TemporaryDirectory() as directory:
        for name in ("a.json", "a.yaml"):
            path = Path(directory, name)
            path.write_bytes(content)
            assert isinstance(read_spec(path), CdiSpec | CdiMissing)


@UNHURRIED
@given(DOCUMENTS)
def test_any_document_is_a_spec_or_is_refused(document: object) -> None:
    for is_json in (True, False):
        assert isinstance(parsed(json.dumps(document) + "\n", is_json=is_json), CdiSpec | None)
    assert isinstance(parsed(yaml.safe_dump(document), is_json=False), CdiSpec | None)


@UNHURRIED
@given(specs())
def test_json_and_yaml_are_the_same_spec(document: dict[str, Any]) -> None:
    devices = {device["name"]: tuple(nodes(device["containerEdits"])) for device in document["devices"]}
    expected = CdiSpec(document["kind"], tuple(nodes(document["containerEdits"])), devices)
    for flow in (True, False):
        assert parsed(yaml.dump(document, Dumper=Unshared, default_flow_style=flow), is_json=False) == expected
    assert parsed(json.dumps(document), is_json=True) == expected


class Unshared(yaml.SafeDumper):
    """Writes no aliases, like the Go library."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


@UNHURRIED
@given(
    st.lists(st.lists(specs(), max_size=3), min_size=2, max_size=2),
    st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(NAMES)), max_size=4),
    st.sampled_from(DEVICES),
)
def test_an_answer_is_that_of_the_only_spec_that_can_be_meant(
    directories: list[list[dict[str, Any]]], listed: list[tuple[str, str]], device: str
) -> None:
    with TemporaryDirectory() as root:
        paths = [Path(root, name) for name in ("run", "etc")]
        for path, documents in zip(paths, directories, strict=True):
            path.mkdir()
            for number, document in enumerate(documents):
                (path / f"{number}.json").write_text(json.dumps(document))
        cdi = CdiSpecs(paths)
        cdi.refresh()
        answer = cdi.nodes([f"{kind}={name}" for kind, name in listed], device)
    assert answer.paths == expected_paths(directories, set(listed), device)
    assert bool(answer.paths) != bool(answer.missing)
    assert answer == CdiAnswer() or answer.claim_uid in ("", *UIDS)


def expected_paths(
    directories: list[list[dict[str, Any]]], listed: set[tuple[str, str]], device: str
) -> tuple[str, ...]:
    """What the Go library would add for the CDI device, by the words of its documentation."""
    meant = [(kind, name) for kind, name in listed if name in (device, *(f"{uid}-{device}" for uid in UIDS))]
    if len(meant) != 1:
        return ()
    [(kind, name)] = meant
    having = [
        [(spec, each) for spec in documents if spec["kind"] == kind for each in spec["devices"] if each["name"] == name]
        for documents in directories
    ]
    first = next((each for each in having if each), [])
    if len(first) != 1 or any(len(each) > 1 for each in having):
        return ()
    spec, found = first[0]
    return tuple(dict.fromkeys(nodes(found["containerEdits"]) + nodes(spec["containerEdits"])))
