"""The exposition of one simulated card of each profile: as that of the same card, read by the real collector.

`pytest tests/golden --update-golden` rewrites the files.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from collectors import catalog
from collectors.metric import ALL_SETS, DEFAULT_SETS, MetricSet
from collectors.simulated.parse import parse_scenario
from collectors.simulated.profiles import NPU, PROFILES
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
_MIG = "    partitions: [{{ profile: {}, count: {}, memory: {}GiB, compute: {} }}]"
_PREFIXES = ("accelerator_device_", "accelerator_partition_")
# The labels of the subject, which name the card.
_SUBJECT = frozenset({"uuid", "device", "vendor", "model", "partition_uuid", "profile"})
# The label of every simulated card, and the one that captures of real cards leave out.
_OWN_PROPERTIES = frozenset({"simulated", "serial"})
_INFOS = frozenset(catalog.INFO.name(subject) for subject in catalog.INFO.subjects)


class Scene(NamedTuple):
    """A card, its partitions, and the golden files of the same card, as the real collector reads it from its double.

    A card has several with drivers that write different tables.
    """

    profile: str
    partitions: str
    real: str
    newer: str = ""

    @property
    def reals(self) -> list[str]:
        """The expositions of the same card."""
        names = [name for name in (self.real, self.newer) if name]
        return [(_FOLDER / f"{name}.prom").read_text() for name in names]


SCENES = {
    "a100": Scene("a100", "", "nvidia/a100"),
    "a100-mig": Scene("a100", _MIG.format("3g.40gb", 2, 39, "3/7"), "nvidia/a100-mig"),
    "h100": Scene("h100", "", "nvidia/h100"),
    "h100-mig": Scene("h100", _MIG.format("1g.10gb", 7, 9, "1/7"), "nvidia/h100-mig"),
    "l40s": Scene("l40s", "", "nvidia/l40s"),
    "rtx6000ada": Scene("rtx6000ada", "", "nvidia/rtx6000ada"),
    "mi210": Scene("mi210", "", "amd/mi210"),
    "mi250x": Scene("mi250x", "", "amd/mi250x"),
    "mi250x-second-die": Scene("mi250x_second_die", "", "amd/mi250x-second-die"),
    "mi300x": Scene("mi300x", "", "amd/mi300x", "amd/mi300x-gpu-metrics-1.9"),
    "mi300x-cpx-nps4": Scene("mi300x", _CPX, "amd/mi300x-cpx-nps4", "amd/mi300x-gpu-metrics-1.9-cpx-nps4"),
    "mi355x": Scene("mi355x", "", "amd/mi355x"),
    "rx7900xtx": Scene("rx7900xtx", "", "amd/rx7900xtx"),
}


def _played(scene: Scene, sets: frozenset[MetricSet] = DEFAULT_SETS) -> str:
    held = "partitions" if scene.partitions else "devices"
    text = _SCENARIO.format(profile=scene.profile, partitions=scene.partitions, held=held)
    return play(parse_scenario(text, "one card", _FOLDER), _SECOND, sets)


def _series(text: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Every series of devices and partitions, without the labels of the subject and the values of fixed properties.

    The families of allocations are excluded: the exporter adds them, not the card.
    """
    found = set()
    of_holders = {f"{prefix}{row.stem}" for prefix in _PREFIXES for row in (catalog.ALLOCATED, catalog.ALLOCATIONS)}
    for series in parse(text):
        if series.name.startswith(_PREFIXES) and series.name not in of_holders:
            own = {name: value for name, value in series.labels.items() if name not in _SUBJECT}
            if series.name.endswith("_info"):
                own = dict.fromkeys(own.keys() - _OWN_PROPERTIES, "")
            found.add((series.name, frozenset(own.items())))
    return found


@pytest.mark.parametrize("name", SCENES)
def test_exposition(name: str, request: pytest.FixtureRequest) -> None:
    found = _played(SCENES[name])
    golden = _FOLDER / "profiles" / f"{name}.prom"
    if request.config.getoption("--update-golden"):
        golden.write_text(found)
    assert found == golden.read_text()
    assert promtool_check(found) == ""


@pytest.mark.parametrize("name", SCENES)
def test_profile_exports_the_same_families_labels_codes_and_states_as_the_real_collector(name: str) -> None:
    """With all sets, as the golden files of the real cards."""
    simulated = _played(SCENES[name], ALL_SETS)
    for real in SCENES[name].reals:
        assert _series(simulated) == _series(real)


@pytest.mark.parametrize("name", SCENES)
def test_every_device_and_partition_says_that_it_is_simulated(name: str) -> None:
    infos = [series for series in parse((_FOLDER / "profiles" / f"{name}.prom").read_text()) if series.name in _INFOS]
    assert {series.labels["simulated"] for series in infos} == {"true"}


def test_no_real_device_says_that_it_is_simulated() -> None:
    texts = [text for scene in SCENES.values() for text in scene.reals]
    assert not [text for text in texts if "simulated=" in text]


def test_every_profile_has_a_scene_and_a_golden_file() -> None:
    """A generic card has no real one to compare it with."""
    assert {scene.profile for scene in SCENES.values()} == {profile.name for profile in PROFILES} - {NPU.name}
    assert {file.stem for file in (_FOLDER / "profiles").glob("*.prom")} == set(SCENES)
