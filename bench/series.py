"""Number of series of a node: every shipped scenario over time, and the nodes that have a budget."""

from collections import Counter
from pathlib import Path

from bench.figures import Table, count
from bench.nodes import SIMULATED, cpx
from bench.played import Played
from collectors.contract import CollectOptions
from collectors.metric import ALL_SETS, DEFAULT_SETS, MetricSet, Origin
from collectors.simulated import Scenario, load_scenario, shipped_scenarios
from collectors.simulated.parse import parse_scenario
from collectors.sysfs import Root
from exporter import series as exposed
from exporter.own_process import OwnProcess
from exporter.selfmetrics import SelfMetrics
from exporter.series import Series, Shown

_COURSE_SECONDS = 900
_STEP_SECONDS = 10
_SHORT_SECONDS = 20
_USUAL = Shown(sets=DEFAULT_SETS)

_ABOUT = """\
All series of a scrape with the default sets, including the exporter's own, counted every {step} simulated seconds in
the first {minutes} minutes of each shipped scenario, and at the start of the other nodes, which do not change."""


def series() -> Table:
    """The table."""
    rows = [_row(f"`{name}`", load_scenario(name), _COURSE_SECONDS) for name in shipped_scenarios()]
    others = {**SIMULATED, "8 x MI300X in 64 partitions, 64 pods": cpx(8)}
    rows += [_row(name, parse_scenario(text, "bench", Path()), _SHORT_SECONDS) for name, text in others.items()]
    about = _ABOUT.format(step=_STEP_SECONDS, minutes=_COURSE_SECONDS // 60)
    return Table("Series of a node", about, ("Scenario", "Least", "Most"), rows)


def course(scenario: Scenario, seconds: int) -> list[int]:
    """The number of series at each step of a scenario."""
    played = Played(scenario)
    own = SelfMetrics(OwnProcess(Root(Path("/proc"))).samples, lambda: True)
    numbers = []
    for second in range(0, seconds, _STEP_SECONDS):
        snapshot = played.at(second)
        numbers.append(len(exposed.ordered(snapshot, own.samples(snapshot), _USUAL)))
    return numbers


def by_set(scenario: Scenario) -> Counter[MetricSet]:
    """The number of series of a scenario in each set, without those of the exporter itself."""
    played = Played(scenario, CollectOptions(ALL_SETS))
    for second in range(0, _SHORT_SECONDS, _STEP_SECONDS):
        snapshot = played.at(second)
    return Counter(_set_of(each) for _, each in exposed.ordered(snapshot, ()) if each.row.origin is not Origin.EXPORTER)


def _set_of(each: Series) -> MetricSet:
    return each.row.set_of(each.subject, each.labels)


def _row(name: str, scenario: Scenario, seconds: int) -> tuple[str, ...]:
    numbers = course(scenario, seconds)
    return name, count(min(numbers)), count(max(numbers))
