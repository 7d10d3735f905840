"""The exposition of one simulated AMD card of each profile; it has the same families as the real collector.

`pytest tests/golden --update-golden` rewrites the files.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from collectors.simulated.amd_profiles import PROFILES
from collectors.simulated.parse import parse_scenario
from tests.doubles.exporter_process import parse
from tests.doubles.prometheus import promtool_check
from tests.golden.test_scenarios import play

_FOLDER = Path(__file__).parent
_SECOND = 60

_SCENARIO = """\
description: "one card, held by one pod"
seed: 1
noise: 0.1
devices:
  - profile: {profile}
{partitions}
pods:
  - namespace: research
    name: trainer
    spread: true
    containers:
      - name: main
        {held}: all
        load: 0.8
        memory_ratio: 0.5
"""
_CPX = "    partitions: [{ profile: cpx_nps4, count: 8, memory: 24GiB, compute: 1/8 }]"


class Scene(NamedTuple):
    """A card, its partition modes, and the same card as the real collector reads it from a tree of files."""

    profile: str
    partitions: str
    real: str


SCENES = {
    "mi210": Scene("mi210", "", "mi210"),
    "mi250x": Scene("mi250x", "", "mi250x"),
    "mi250x-second-die": Scene("mi250x_second_die", "", "mi250x-second-die"),
    "mi300x": Scene("mi300x", "", "mi300x"),
    "mi300x-cpx-nps4": Scene("mi300x", _CPX, "mi300x-cpx-nps4"),
    "mi355x": Scene("mi355x", "", "mi355x"),
    "rx7900xtx": Scene("rx7900xtx", "", "rx7900xtx"),
}


def _played(scene: Scene) -> str:
    held = "partitions" if scene.partitions else "devices"
    text = _SCENARIO.format(profile=scene.profile, partitions=scene.partitions, held=held)
    return play(parse_scenario(text, "one card", _FOLDER), _SECOND)


def _families(text: str, *prefixes: str) -> set[str]:
    return {series.name for series in parse(text) if series.name.startswith(prefixes)}


@pytest.mark.parametrize("name", SCENES)
def test_exposition(name: str, request: pytest.FixtureRequest) -> None:
    found = _played(SCENES[name])
    golden = _FOLDER / "profiles" / f"{name}.prom"
    if request.config.getoption("--update-golden"):
        golden.write_text(found)
    assert found == golden.read_text()
    assert promtool_check(found) == ""


@pytest.mark.parametrize("name", SCENES)
def test_profile_exports_the_same_as_the_real_collector(name: str) -> None:
    """The families of allocations are excluded: the exporter adds them, not the card."""
    real = (_FOLDER / "amd" / f"{SCENES[name].real}.prom").read_text()
    simulated = (_FOLDER / "profiles" / f"{name}.prom").read_text()
    prefixes = ("accelerator_device_", "accelerator_partition_")
    of_holders = {f"{prefix}{stem}" for prefix in prefixes for stem in ("allocated", "allocations")}
    assert _families(simulated, *prefixes) - of_holders == _families(real, *prefixes)


def test_every_profile_has_a_scene_and_a_golden_file() -> None:
    assert {scene.profile for scene in SCENES.values()} == {profile.name for profile in PROFILES}
    assert {file.stem for file in (_FOLDER / "profiles").glob("*.prom")} == set(SCENES)
