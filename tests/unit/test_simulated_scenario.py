import os
import re
from pathlib import Path

import pytest

from collectors.simulated import (
    DEFAULT_SCENARIO,
    ScenarioError,
    load_scenario,
    shipped_scenarios,
)
from collectors.simulated.load import Constant, Load, Square, Trace
from collectors.simulated.parse import parse_scenario
from collectors.simulated.profiles import PROFILES
from collectors.simulated.scenario import Scenario, Slot, Trouble, Work

DOCS = Path(__file__).parents[2] / "docs" / "simulation.md"
DEVICE = "description: x\ndevices: [{profile: h100}]\n"
MIG = (
    "description: x\ndevices:\n- profile: h100\n  partitions:\n"
    "  - {profile: 1g.10gb, count: 7, memory: 9GiB, compute: 1/7}\n- profile: l40s\n"
)


def parsed(text: str, folder: Path = Path()) -> Scenario:
    return parse_scenario(text, "s.yaml", folder)


def complaint(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parsed(text)
    assert str(caught.value).isprintable()
    return str(caught.value)


def pod(rest: str, container: str = "devices: [0]") -> str:
    """A scenario with a pod in line 4."""
    return f"{DEVICE}pods:\n- {{namespace: a, name: b{rest}, containers: [{{name: c, {container}}}]}}\n"


def fault(text: str) -> str:
    return f"{DEVICE}faults:\n- {{{text}}}\n"


def test_the_list_of_shipped_scenarios() -> None:
    assert shipped_scenarios() == ("claims", "failing", "inference", "load", "mi300x", "mig", "training")
    assert DEFAULT_SCENARIO in shipped_scenarios()


def test_every_shipped_scenario_can_be_loaded_and_is_documented() -> None:
    loaded = {name: load_scenario(name) for name in shipped_scenarios()}
    assert {name: (len(scenario.devices), len(scenario.pods)) for name, scenario in loaded.items()} == {
        "claims": (6, 8),
        "failing": (4, 4),
        "inference": (4, 9),
        "load": (16, 112),
        "mi300x": (3, 8),
        "mig": (3, 13),
        "training": (8, 1),
    }
    assert [name for name in loaded if name not in DOCS.read_text()] == []


def test_shipped_scenarios_have_the_documented_sizes() -> None:
    load, training = load_scenario("load"), load_scenario("training")
    assert [len(device.partitions) for device in load.devices] == [7] * 16
    assert len(load.pods) == 112
    assert [device.profile.name for device in training.devices] == ["h100"] * 8
    assert len(training.pods[0].containers[0].slots) == 8


def test_for_a_misspelt_name_the_right_one_is_suggested() -> None:
    with pytest.raises(ScenarioError, match=r'^scenario "inferense": unknown scenario, did you mean inference'):
        load_scenario("inferense")
    with pytest.raises(ScenarioError, match="expected one of claims, failing, inference, load, mi300x, mig, training"):
        load_scenario("zzz")


def test_a_file_is_loaded_with_the_trace_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("0,0.25\n60,0.75\n")
    file = tmp_path / "mine.yaml"
    file.write_text("description: x\ndevices:\n- {profile: l40s, load: {shape: trace, file: day.csv, stagger: 5}}\n")
    (device,) = load_scenario(str(file)).devices
    assert device.work.load == Load(Trace((0.0, 60.0), (0.25, 0.75)), 5.0)


def test_a_scenario_copied_without_its_trace_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("description: x\ndevices:\n- {profile: l40s, load: {shape: trace, file: day.csv}}\n")
    with pytest.raises(ScenarioError, match=r"s\.yaml:3: devices\[0\]\.load\.file: day\.csv is not in the folder"):
        load_scenario(str(file))


def test_a_path_that_is_not_a_readable_file_is_refused_with_one_line(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 20) + b"#")
    (tmp_path / "latin.yaml").write_bytes(b"description: x\ndevices: \xe9\n")
    for name, problem in (
        ("absent.yaml", "cannot read a scenario: No such file or directory"),
        ("pipe.yaml", "not a regular file, expected a scenario"),
        ("large.yaml", "larger than 1 MiB, expected a scenario"),
        ("latin.yaml", "byte 0xe9 is not UTF-8"),
    ):
        with pytest.raises(ScenarioError, match=problem):
            load_scenario(str(tmp_path / name))
    with pytest.raises(ScenarioError, match="not a regular file"):
        load_scenario(f"{tmp_path}/")
    with pytest.raises(ScenarioError, match="cannot read a scenario: not a file name"):
        load_scenario("a/\0.yaml")


def test_the_example_of_the_documentation_is_parsed_as_described(tmp_path: Path) -> None:
    example = re.search(r"^```yaml\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert example
    (tmp_path / "day.csv").write_text("0,0.1\n300,0.9\n")
    scenario = parsed(example[1], tmp_path)
    assert (scenario.seed, scenario.noise_ratio, scenario.repeat) == (7, 0.1, 600)
    assert [(d.profile.vendor, len(d.partitions)) for d in scenario.devices] == [
        ("nvidia", 0),
        ("nvidia", 0),
        ("nvidia", 5),
        ("acme", 0),
        ("nvidia", 0),
    ]
    assert [part.dynamic for part in scenario.devices[2].partitions] == [False] * 4 + [True]
    assert [device.passthrough for device in scenario.devices] == [False] * 4 + [True]
    assert scenario.devices[0].work == Work(Load(Constant(0.05)), 0.1, 1)
    acme = scenario.devices[3].profile
    assert (acme.model, acme.memory_bytes, acme.limit_watts) == ("Acme N1", 24 << 30, 90)
    assert [pod.name for pod in scenario.pods] == [
        "training-0",
        "embedder-0",
        "embedder-1",
        "embedder-2",
        "ana",
        "boris",
        "claimed",
        "half",
    ]
    assert [(pod.containers[0].claim, pod.containers[0].share) for pod in scenario.pods[-3:]] == [
        ("", None),
        ("pair", None),
        ("half", 0),
    ]
    assert scenario.pods[0].containers[0].work.load == Load(Square(0.1, 0.98, 120, 0.9))
    assert scenario.pods[0].containers[1].work == Work(Load(Constant(0.5)), 0.5, 1)
    assert [incident.trouble for incident in scenario.incidents] == [Trouble.DEVICE_LOST, Trouble.HANG]


def test_the_documentation_lists_every_profile_and_fault() -> None:
    text = DOCS.read_text()
    assert not [profile.name for profile in PROFILES if profile.name not in text]
    assert not [trouble.value for trouble in Trouble if f"| `{trouble.value}` |" not in text]


def test_partitions_are_selected_by_number_by_device_or_all() -> None:
    def slots(partitions: str) -> tuple[Slot, ...]:
        text = f"{MIG}pods:\n- {{namespace: a, name: b, containers: [{{name: c, partitions: {partitions}}}]}}"
        return parsed(text).pods[0].containers[0].slots

    assert slots('["0/3", "0/1", "0/3"]') == (Slot(0, 1), Slot(0, 3))
    assert slots('["0/*"]') == slots("all") == tuple(Slot(0, part) for part in range(7))


def test_all_devices_are_those_without_partitions() -> None:
    text = f"{MIG}pods:\n- {{namespace: a, name: b, containers: [{{name: c, devices: all}}]}}"
    assert parsed(text).pods[0].containers[0].slots == (Slot(1),)


def test_a_pod_can_start_again_with_its_name() -> None:
    text = (
        DEVICE
        + "pods:\n"
        + "".join(
            f"- {{namespace: a, name: b, {times}, containers: [{{name: c, devices: [0]}}]}}\n"
            for times in ("from: 60", "until: 60")
        )
    )
    assert [pod.runs_at(second) for second in (59, 60) for pod in parsed(text).pods] == [False, True, True, False]


BAD = {
    "": "s.yaml: found nothing, expected a mapping: a scenario",
    "- a": "s.yaml:1: found a list, expected a mapping: a scenario",
    "description: x": "s.yaml:1: devices is missing",
    "description: x\ndevice: []": "s.yaml:2: device: unknown key, did you mean devices?",
    "description: x\nqqqq: []": "s.yaml:2: qqqq: unknown key, expected one of description, seed, repeat, noise, "
    "devices, pods, faults",
    "description:\ndevices: []": "s.yaml:1: description: found nothing, expected one line of text",
    f"description: {'x' * 201}\ndevices: []": "s.yaml:1: description: found "
    f'"{"x" * 80}...", expected at most 200 characters',
    "description: x\ndevices: []": "s.yaml:2: devices: found a list, expected a list of 1 to 64 groups of devices",
    "description: x\ndevices: [h100]": 's.yaml:2: devices[0]: found "h100", expected a mapping: a group of equal '
    "devices",
    "description: x\ndevices: [{profile: h10}]": 's.yaml:2: devices[0].profile: "h10": unknown profile, did you mean '
    "h100?",
    "description: x\ndevices: [{count: 2}]": "s.yaml:2: devices[0]: profile is missing",
    "description: x\ndevices: [{profile: h100, count: 65}]": 's.yaml:2: devices[0].count: found "65", expected a whole '
    "number from 1 to 64",
    "description: x\ndevices:\n- {profile: h100, count: 64}\n- profile: a100": "s.yaml:3: devices: found a list, "
    "expected at most 64 devices in total, not 65",
    "description: x\ndevices: [{profile: h100, memory: 80}]": 's.yaml:2: devices[0].memory: found "80", expected a '
    "size above 0 with its unit, such as 80GiB or 9856MiB",
    "description: x\ndevices: [{profile: h100, memory: 1MiB}]": "s.yaml:2: devices[0].memory: expected more than the "
    "reserved 600 MiB",
    "description: x\ndevices: [{profile: h100, idle_watts: 700}]": "s.yaml:2: devices[0].idle_watts: idle power "
    "700 W, expected less than the limit, which is 700 W",
    "description: x\ndevices: [{profile: h100, limit_watts: 60}]": "s.yaml:2: devices[0].limit_watts: idle power "
    "70 W, expected less than the limit, which is 60 W",
    "description: x\ndevices: [{profile: h100, class: cpu}]": 's.yaml:2: devices[0].class: "cpu": unknown class, did '
    "you mean tpu?",
    "description: x\ndevices: [{profile: h100, vendor: Acme Inc}]": 's.yaml:2: devices[0].vendor: found "Acme Inc", '
    "expected one word in lower case",
    "description: x\ndevices: [{profile: h100, load: 1.2}]": 's.yaml:2: devices[0].load: found "1.2", expected a '
    "number from 0 to 1",
    "description: x\ndevices: [{profile: h100, load: .nan}]": 's.yaml:2: devices[0].load: found ".nan", expected a '
    "number from 0 to 1",
    "description: x\ndevices: [{profile: h100, load: {shape: sinus}}]": 's.yaml:2: devices[0].load.shape: "sinus": '
    "unknown shape, did you mean sine?",
    "description: x\ndevices: [{profile: h100, load: {shape: sine, low: 0.5, high: 0.4, period: 9}}]": "s.yaml:2: "
    "devices[0].load.low: found 0.5, expected at most high, which is 0.4",
    "description: x\ndevices: [{profile: h100, load: {shape: sine, low: 0, high: 1, duty: 1, period: 9}}]": "s.yaml:2: "
    "devices[0].load.duty: not a key of sine, expected one of low, high, period",
    "description: x\ndevices: [{profile: h100, load: {shape: sine, low: 0, high: 1, period: 0}}]": "s.yaml:2: "
    'devices[0].load.period: found "0", expected a number from 1 to 604800',
    "description: x\ndevices: [{profile: h100, load: {shape: trace, file: ../a.csv}}]": "s.yaml:2: "
    'devices[0].load.file: found "../a.csv", expected the name of a CSV file in the scenario\'s own folder',
    MIG.replace("1/7", "1/6"): "s.yaml:4: devices[0].partitions: compute adds up to 7/6, expected at most 1",
    MIG.replace("1/7", "1/0"): 's.yaml:5: devices[0].partitions[0].compute: found "1/0", expected a fraction above 0 '
    "and up to 1, such as 1/7 or 0.125",
    MIG.replace("9GiB", "12GiB"): "s.yaml:4: devices[0].partitions: memory adds up to 86016 MiB, expected at most "
    "81920 MiB",
    MIG.replace("  partitions", "  load: 1\n  partitions"): "s.yaml:4: devices[0].load: a partitioned device has no "
    "work of its own, expected load on its partitions",
    f"{MIG}pods: [{{namespace: a, name: b, containers: [{{name: c, devices: [0]}}]}}]": "s.yaml:7: "
    "pods[0].containers[0].devices[0]: device 0 is partitioned, expected its partitions instead",
    f"{MIG}pods: [{{namespace: a, name: b, containers: [{{name: c, partitions: [0/7]}}]}}]": "s.yaml:7: "
    'pods[0].containers[0].partitions[0]: no partition "0/7" in this scenario; numbers start at 0',
    pod("", "devices: [1]"): 's.yaml:4: pods[0].containers[0].devices[0]: found "1", expected a whole number from 0 to '
    "0",
    pod("", "replica: 1"): "s.yaml:4: pods[0].containers[0]: nothing is allocated, expected devices or partitions",
    pod(
        "", "devices: [0], resource: gpu"
    ): 's.yaml:4: pods[0].containers[0].resource: found "gpu", expected a resource such as nvidia.com/gpu',
    pod(", until: 30, from: 30"): "s.yaml:4: pods[0].until: ends at 30, expected a time after 30",
    f"repeat: 60\n{pod(', until: 61')}": "s.yaml:5: pods[0].until: ends at 61, expected at most repeat, which is 60",
    f"repeat: 60\n{pod(', from: 60')}": "s.yaml:5: pods[0].from: ends at 61, expected at most repeat, which is 60",
    pod(", spread: yes"): 's.yaml:4: pods[0].spread: "yes": unknown value, expected one of true, false',
    pod("", "devices: [0]}, {name: c, devices: [0]"): "s.yaml:4: pods[0].containers: two containers have the same name",
    pod(", spread: true", "devices: [0]}, {name: d, devices: [0]"): "s.yaml:4: pods[0].spread: found 2 containers, "
    "expected one in a pod with spread",
    pod("") + pod("").splitlines()[-1]: "s.yaml:4: pods: two pods a/b at second 0, expected one",
    pod("").replace(
        "name: b", "name: B_"
    ): 's.yaml:4: pods[0].name: found "B_", expected a name of lower-case letters, digits, dashes and dots',
    "description: x\ndevices:\n- profile: l40s\n  partitions: [{profile: half, memory: 9GiB, compute: 0.5}]": (
        "s.yaml:4: devices[0].partitions: a card of the profile l40s cannot be partitioned"
    ),
    fault("kind: hangs, at: 1"): 's.yaml:4: faults[0].kind: "hangs": unknown kind, did you mean hang?',
    fault("kind: hang, at: 1"): "s.yaml:4: faults[0].kind: hang needs for",
    fault("kind: hang, for: 1"): "s.yaml:4: faults[0]: at is missing",
    fault(
        "kind: hang, at: 1, for: 1, devices: [0]"
    ): "s.yaml:4: faults[0].devices: not a key of hang, expected one of at, for",
    fault(
        "kind: device_lost, at: 1, for: 1, devices: []"
    ): "s.yaml:4: faults[0].devices: found a list, expected a list of 1 to 1 devices",
    fault("kind: critical_error, at: 1, devices: [0], code: '1'"): "s.yaml:4: faults[0].code: profile h100 has no code "
    "1, expected one of 62, 64, 79, 95, 119, 120, 140, 143, 158, 48, 74, 94, gpu_unavailable, 63, 13, 31, 43, 45",
    f"repeat: 9\n{fault('kind: hang, at: 5, for: 5')}": "s.yaml:5: faults[0].for: ends at 10, expected at most repeat, "
    "which is 9",
    fault("kind: throttle, at: 1, for: 1, devices: [0], reason: heat"): 's.yaml:4: faults[0].reason: "heat": unknown '
    "reason, expected one of power, thermal, reliability, external, hardware",
    "description: x\nseed: 1\nseed: 2": 's.yaml:3: key "seed" given twice',
    "description: &a x\ndevices: *a": "s.yaml:1: description: found an anchor or alias, expected the value itself",
    "description: !!str x": "s.yaml:1: description: found a tag, expected a plain value, list or mapping",
    "? [a]\n: b": "s.yaml:1: found a list or mapping as a key, expected a name",
    "a: b: c": "s.yaml:1: not YAML: mapping values are not allowed here",
    "description: x\n---\nb: 1": "s.yaml:2: a second document, expected one",
    "description: x\x00": "s.yaml:1: not YAML: control character 0x00",
    "description: " + "[" * 40: f"s.yaml:1: description{'[0]' * 12}: nested more than 12 levels deep",
}


@pytest.mark.parametrize(("text", "expected"), BAD.items(), ids=BAD.values())
def test_an_invalid_scenario_is_refused_with_one_line(text: str, expected: str) -> None:
    assert complaint(text) == expected


def test_the_number_of_pods_is_bounded() -> None:
    one = "- {namespace: a, name: b%d, spread: true, containers: [{name: c, devices: all}]}\n"
    text = "description: x\ndevices: [{profile: h100, count: 64}]\npods:\n"
    assert len(parsed(text + "".join(one % n for n in range(31))).pods) == 31 * 64
    assert complaint(text + "".join(one % n for n in range(32))).endswith(
        "expected at most 2000 pods in total, not 2048"
    )
