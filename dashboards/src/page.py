"""One dashboard: its variables, its links to the others, and its rows of panels."""

from collections.abc import Callable
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardCursorSync, DashboardLinkType, Panel

from dashboards.src.links import TAG
from dashboards.src.scope import Choice, Scope

Panels = tuple[Builder[Panel], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A dashboard.

    Attributes:
        uid: The end of its address.
        title: Its title.
        description: What it answers.
        choices: Its variables.
        rows: The title of each row, and what gives its panels.
    """

    uid: str
    title: str
    description: str
    choices: tuple[Choice, ...]
    rows: tuple[tuple[str, Callable[[Scope], Panels]], ...]

    def dashboard(self) -> Dashboard:
        """Grafana's form, the same every time."""
        scope = Scope(self.choices)
        builder = self._frame()
        for variable in scope.variables():
            builder.with_variable(variable)
        for title, panels in self.rows:
            builder.with_row(build.Row(title))
            for panel in panels(scope):
                builder.with_panel(panel)
        built = builder.build()
        for number, placed in enumerate(built.panels or (), start=1):
            placed.id_val = number
        return built

    def _frame(self) -> build.Dashboard:
        return (
            build.Dashboard(self.title)
            .uid(self.uid)
            .description(f"{self.description} Empty means that the value is unknown: unknown is never drawn as 0.")
            .tags([TAG])
            .link(_other_dashboards())
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
        )


def _other_dashboards() -> build.DashboardLink:
    """A link to each dashboard of the exporter, which keeps time range and variables."""
    return (
        build.DashboardLink("Accelerators")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
