"""The committed dashboards and their queries, for tests that run them."""

from pathlib import Path

from tools.dashboard_queries import Json, Target, panels, read, targets, window_values

FOLDER = Path(__file__).parents[2] / "dashboards"
DASHBOARDS: dict[str, Json] = {path.stem: read(path) for path in sorted(FOLDER.glob("*.json"))}
FLEET = "accelerators-fleet"
NODE_AND_DEVICE = "accelerators-node-and-pods"
WORKLOADS = "accelerators-workloads"
EXPORTERS = "accelerators-exporters"

# A range short enough for a test; the window of rates is longer, to include an event of the first seconds.
WINDOWS = window_values(range_seconds=30, rate_seconds=120, step_seconds=5)


def panel(dashboard: str, title: str) -> Json:
    """The only panel with this title."""
    (found,) = (each for each in panels(DASHBOARDS[dashboard]) if each["title"] == title)
    return found


def queries(*dashboards: str) -> dict[str, Target]:
    """All queries of some dashboards, or of all, by dashboard, title of the panel and letter."""
    return {
        f"{dashboard}: {target.title}-{target.letter}": target
        for dashboard in dashboards or DASHBOARDS
        for each in panels(DASHBOARDS[dashboard])
        for target in targets(each)
    }


def query(dashboard: str, title: str, letter: str = "A") -> Target:
    """One query of a panel."""
    return queries(dashboard)[f"{dashboard}: {title}-{letter}"]


def column(dashboard: str, title: str, heading: str) -> Target:
    """The query of the column of a table that shows a value."""
    names = panel(dashboard, title)["transformations"][1]["options"]["renameByName"]
    (letter,) = (name.removeprefix("Value #") for name, shown in names.items() if shown == heading)
    return query(dashboard, title, letter)


def over_time(expression: str) -> str:
    """What a graph shows of an event at any of its points: the query at each second of the last two minutes."""
    return f"last_over_time(({expression})[2m:1s])"
