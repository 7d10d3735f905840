"""The text of a CDI spec: which device nodes it adds, and which texts are no spec."""

import json

import pytest

from collectors.text_file import TextError
from exporter.attribution.cdi_spec import CdiSpec, parse_spec

UID = "7d9f3c1a-0b52-4c7e-9a51-2f6f1f0f4a11"
# Keys in the order in which the Go library writes them.
YAML = f"""\
cdiVersion: 0.5.0
containerEdits:
  deviceNodes:
  - path: /dev/accel-ctl
  env:
  - ACCEL_VISIBLE=void
  mounts:
  - containerPath: /usr/lib/libaccel.so.1
    hostPath: /usr/lib/libaccel.so.1
    options: [ro, nosuid, rbind]
devices:
- containerEdits:
    deviceNodes:
    - hostPath: /dev/accel7
      path: /dev/accel0
      permissions: rw
  name: {UID}-part-1
- containerEdits:
    env: ["ONLY=1"]
  name: "7"
kind: k8s.accel.example/claim
"""
DOCUMENT = {
    "cdiVersion": "0.5.0",
    "kind": "k8s.accel.example/claim",
    "containerEdits": {"deviceNodes": [{"path": "/dev/accel-ctl"}], "hooks": [{"timeout": 3}]},
    "devices": [
        {
            "name": f"{UID}-part-1",
            "containerEdits": {"deviceNodes": [{"path": "/dev/accel0", "hostPath": "/dev/accel7", "major": 195}]},
        },
        {"name": "7", "containerEdits": {"env": ["ONLY=1"]}},
    ],
}
SPEC = CdiSpec("k8s.accel.example/claim", ("/dev/accel-ctl",), {f"{UID}-part-1": ("/dev/accel7",), "7": ()})


def node_name(**node: object) -> str:
    """The name on the host of the only device node of a device."""
    edits = {"deviceNodes": [node]}
    document = {"kind": "v.example/c", "devices": [{"name": "a", "containerEdits": edits}]}
    [name] = parse_spec(json.dumps(document), is_json=True).devices["a"]
    return name


def is_refused(text: str, *, is_json: bool) -> bool:
    try:
        parse_spec(text, is_json=is_json)
    except TextError:
        return True
    return False


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        (YAML, False),
        (json.dumps(DOCUMENT), True),
        (json.dumps(DOCUMENT, indent=2), False),
        (f"# a comment\n---\n{YAML}...\n", False),
    ],
)
def test_json_and_yaml_give_the_same_spec(text: str, *, is_json: bool) -> None:
    assert parse_spec(text, is_json=is_json) == SPEC


def test_a_device_has_its_own_nodes_and_the_common_ones_each_once() -> None:
    assert SPEC.nodes(f"{UID}-part-1") == ("/dev/accel7", "/dev/accel-ctl")
    assert SPEC.nodes("7") == ("/dev/accel-ctl",)
    assert CdiSpec("v/c", ("/dev/a", "/dev/b"), {"x": ("/dev/b",)}).nodes("x") == ("/dev/b", "/dev/a")


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ({"path": "/dev/a"}, "/dev/a"),
        ({"path": "/dev/a", "hostPath": ""}, "/dev/a"),
        ({"path": "/dev/a", "hostPath": None}, "/dev/a"),
        ({"path": "/dev/a", "hostPath": "/dev/a"}, "/dev/a"),
        ({"path": "/dev/a0", "hostPath": "/dev/a3"}, "/dev/a3"),
        # NVIDIA's driver in a container.
        ({"path": "/dev/nvidia0", "hostPath": "/run/nvidia/driver/dev/nvidia0"}, "/dev/nvidia0"),
        ({"path": "/dev/nvidia0", "hostPath": "/run/nvidia/driver/dev/nvidia10"}, "/run/nvidia/driver/dev/nvidia10"),
        ({"path": "0", "hostPath": "/dev/nvidia0"}, "/dev/nvidia0"),
    ],
)
def test_a_node_has_its_name_on_the_host(node: dict[str, object], name: str) -> None:
    assert node_name(**node) == name


@pytest.mark.parametrize(
    "change",
    [
        {"kind": None},
        {"kind": "v.example"},
        {"kind": "v.example/c=x"},
        {"kind": ["v.example/c"]},
        {"devices": None},
        {"devices": []},
        {"devices": {}},
        {"devices": ["a"]},
        {"devices": [{"containerEdits": {}}]},
        {"devices": [{"name": ""}]},
        {"devices": [{"name": 7}]},
        {"devices": [{"name": "x" * 256}]},
        {"devices": [{"name": "a\nb"}]},
        {"devices": [{"name": "a"}, {"name": "a"}]},
        {"containerEdits": []},
        {"containerEdits": {"deviceNodes": {}}},
        {"containerEdits": {"deviceNodes": [None]}},
        {"containerEdits": {"deviceNodes": [{}]}},
        {"containerEdits": {"deviceNodes": [{"hostPath": "/dev/a"}]}},
        {"containerEdits": {"deviceNodes": [{"path": "/dev/a", "hostPath": 1}]}},
        {"containerEdits": {"deviceNodes": [{"path": "/dev/\ud800"}]}},
    ],
)
def test_what_no_runtime_accepts_is_no_spec(change: dict[str, object]) -> None:
    assert is_refused(json.dumps(DOCUMENT | change), is_json=True)


def test_a_torn_spec_is_refused_or_is_of_another_kind() -> None:
    """The Go library writes `kind` last: a spec without its end has none, or not the one that is looked up."""
    for end in range(len(YAML) - len("k8s.accel.example/claim\n")):
        assert is_refused(YAML[:end], is_json=False)
    for end in range(len(json.dumps(DOCUMENT))):
        assert is_refused(json.dumps(DOCUMENT)[:end], is_json=True)


@pytest.mark.parametrize("end", [len("/dev/accel"), len("/dev/accel1")])
def test_yaml_that_ends_within_a_line_is_refused(end: int) -> None:
    """Other writers may write the kind first: then a torn path would be the name of another device."""
    text = "kind: v.example/c\ndevices:\n- name: a\n  containerEdits: {}\ncontainerEdits:\n  deviceNodes:\n  - path: "
    assert parse_spec(f"{text}/dev/accel12\n", is_json=False).common == ("/dev/accel12",)
    assert is_refused(text + "/dev/accel12"[:end], is_json=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "~",
        "[]",
        "a: &x b\nc: *x\n",
        "a: !!binary eA==\n",
        "!x {}",
        "a: 1\na: 2\n",
        "<<: {a: b}\n",
        "? [a]\n: b\n",
        "--- {}\n--- {}\n",
        "[" * 100_000,
        "- " * 1000,
        "\x00",
    ],
)
def test_yaml_beyond_plain_mappings_lists_and_texts_is_refused(text: str) -> None:
    assert is_refused(f"{text}\n", is_json=False)


@pytest.mark.parametrize("end", ["more: *x", "more: !x {}", "<<: {}", "[a]: b", "cdiVersion: 1", "more: " + "[" * 17])
def test_what_is_refused_is_refused_everywhere_in_a_spec(end: str) -> None:
    assert parse_spec(f"{YAML}more: [{{a: [&x b]}}]\n", is_json=False) == SPEC
    assert is_refused(f"{YAML}{end}\n", is_json=False)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", '{"a":1,"a":1}', "[" * 100_000, f'{{"a":{"9" * 5000}}}', '{"a":"\t"}']
)
def test_other_json_is_refused(text: str) -> None:
    assert is_refused(text, is_json=True)


def test_json_with_a_key_given_twice_is_refused_as_yaml_too() -> None:
    assert is_refused(json.dumps(DOCUMENT)[:-1] + ', "kind": "v.example/c"}', is_json=False)
