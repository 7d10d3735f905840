"""Any text is a scenario or is refused in one line; any accepted scenario runs."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import catalog
from collectors.contract import UnavailableError
from collectors.simulated import Scenario, ScenarioError, inventory, load_scenario
from collectors.simulated.activity import ActivitySchedule
from collectors.simulated.machine import Machine
from collectors.simulated.parse import parse_scenario
from collectors.simulated.parse_load import read_trace
from collectors.simulated.profiles import PROFILES
from collectors.simulated.scenario import Trouble
from tests.doubles.simulated_node import SimulatedNode, values

UNHURRIED = settings(deadline=None)
KEYS = (
    "description",
    "seed",
    "repeat",
    "noise",
    "devices",
    "pods",
    "faults",
    "profile",
    "count",
    "partitions",
    "memory",
)
MORE_KEYS = (
    "load",
    "shape",
    "sine",
    "trace",
    "file",
    "namespace",
    "containers",
    "spread",
    "kind",
    "at",
    "for",
    "until",
    "claim",
    "share",
    "dynamic",
    "passthrough",
)
# Pieces of YAML that exercise more of the parser than random characters.
PIECES = st.one_of(
    st.sampled_from(KEYS + MORE_KEYS),
    st.sampled_from([profile.name for profile in PROFILES] + [trouble.value for trouble in Trouble]),
    st.sampled_from(["\n", "\n  ", "\n- ", "\n\t", ": ", "- ", "? ", "{", "}", "[", "]", ", ", "&a ", "*a", "!!int "]),
    st.sampled_from(
        ["'", '"', "|", "#", "---\n", "...", "%YAML 1.1\n", "<<", "~", '"\\U', "1/7", "9GiB", "0", "1.5", "60"]
    ),
    st.text(max_size=4),
)
START = "description: x\ndevices: [{profile: h100, count: 2}]\n"


def assert_one_line(error: ScenarioError, start: str) -> None:
    assert str(error).startswith(start)
    assert str(error).isprintable()
    assert len(str(error)) < 2_000


def parsed(text: str) -> Scenario | None:
    try:
        return parse_scenario(text, "s.yaml", Path())
    except ScenarioError as error:
        assert_one_line(error, "s.yaml")
        return None


@UNHURRIED
@given(
    st.lists(PIECES, max_size=40).map("".join), st.sampled_from(["", START, f"{START}pods:\n- ", f"{START}faults:\n- "])
)
def test_text_like_a_scenario_is_accepted_or_refused_in_one_line(text: str, start: str) -> None:
    parsed(start + text)


@UNHURRIED
@given(st.binary(max_size=200), st.sampled_from(["s.yaml", "s.csv"]))
def test_any_bytes_in_a_file_are_accepted_or_refused_in_one_line(content: bytes, name: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        try:
            if name == "s.csv":
                read_trace(file)
            else:
                load_scenario(str(file))
        except ScenarioError as error:
            assert_one_line(error, str(file))


@UNHURRIED
@given(st.text(max_size=40))
def test_any_name_is_found_or_refused_in_one_line(name: str) -> None:
    try:
        load_scenario(name)
    except ScenarioError as error:
        assert_one_line(error, "")


RATIOS = st.integers(0, 100).map(lambda percent: f"{percent / 100}")
LOADS = st.one_of(
    RATIOS,
    st.integers(1, 90).map(lambda period: f"{{shape: sine, low: 0, high: 1, period: {period}, stagger: 3}}"),
    st.integers(1, 90).map(lambda period: f"{{shape: square, low: 0.1, high: 0.9, period: {period}, duty: 0.3}}"),
)
POD = "- {{namespace: a, name: p{0}, from: {1}, until: {2}, containers: [{{name: c, devices: [{3}], load: {4}}}]}}\n"
KINDS = st.sampled_from(
    [
        "kind: device_lost, for: 7, devices: [0]",
        "kind: driver_reload",
        "kind: garbage, for: 7, devices: [1]",
        "kind: raise, for: 2",
        "kind: throttle, for: 9, devices: [0, 1], reason: thermal",
        "kind: memory_errors, for: 9, devices: [1], corrected_per_second: 0.7",
    ]
)


@st.composite
def scenarios(draw: st.DrawFn) -> str:
    profile = draw(st.sampled_from([one.name for one in PROFILES if catalog.ENERGY in one.whole]))
    pods = "".join(
        POD.format(number, since, since + lasting, device, load)
        for number, (since, lasting, device, load) in enumerate(
            draw(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.integers(0, 1), LOADS), max_size=4))
        )
    )
    faults = "".join(
        f"- {{{fault}, at: {at}}}\n" for fault, at in draw(st.lists(st.tuples(KINDS, st.integers(0, 50)), max_size=3))
    )
    return (
        f"description: x\nseed: {draw(st.integers(0, 99))}\nnoise: {draw(RATIOS)}\nrepeat: 60\n"
        f"devices: [{{profile: {profile}, count: 2, load: {draw(LOADS)}}}]\n"
        f"pods:{' []' if not pods else ''}\n{pods}faults:{' []' if not faults else ''}\n{faults}"
    )


@UNHURRIED
@given(scenarios(), st.lists(st.integers(1, 40), min_size=2, max_size=12))
def test_scenario_is_deterministic_and_energy_rises_within_the_power_limits(text: str, quarters: list[int]) -> None:
    scenario = parsed(text)
    assert scenario is not None
    one, other = SimulatedNode(scenario), SimulatedNode(scenario)
    profile = scenario.devices[0].profile
    now, last = 0.0, 0.0
    for step in quarters:
        now += step / 4
        try:
            reading = one.read(now)
        except UnavailableError:
            continue
        assert other.read(now) == reading
        if not reading.devices[0].lost:
            (energy,) = values(reading, catalog.ENERGY)
            reset = any(incident.trouble is Trouble.DRIVER_RELOAD for incident in scenario.incidents)
            assert reset or last <= energy
            assert energy <= profile.limit_watts * now * 1.000001
            last = energy


@UNHURRIED
@given(scenarios(), st.integers(1, 8 * 90))
def test_energy_is_the_integral_of_power_since_the_driver_was_loaded(text: str, eighths: int) -> None:
    scenario = parsed(text)
    assert scenario is not None
    machine = Machine(inventory(scenario, "node-1")[0], scenario, ActivitySchedule(scenario))
    reloads = {incident.since for incident in scenario.incidents if incident.trouble is Trouble.DRIVER_RELOAD}
    joules = 0.0
    for eighth in range(eighths):
        machine.advance(eighth / 8)
        if eighth % 8 == 0 and scenario.in_cycle(eighth // 8) in reloads:
            joules = 0.0
        ((_, energy),) = machine.totals(catalog.ENERGY)
        assert energy == pytest.approx(joules)
        joules += machine.now.watts / 8
