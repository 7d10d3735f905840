"""Views: the same samples under the names of other projects, for their dashboards, rules and scripts.

How to write a view NAME:

1. `exporter/views/NAME.py` has the table: `ROWS`, a tuple of `table.Row`. A row says which foreign family it fills, of
   what (a device, a partition, a container's part), from which native metrics with which values of their own labels,
   and with which factor, or as a quotient. Families stand in the exposition in the order of the table. Several rows
   may fill one family; if two of them give the same labels, the first one counts. So the preferred source comes first
   and what replaces it later. A row gives no series if one of its terms has no sample: what is unknown is absent.
2. The same module says what is described, in a function that takes `facts.SnapshotFacts` and yields a `table.Entity`
   for each device, partition or container: what it is, whose samples its rows take, and its labels in the order in
   which they are written. A label without a value is left out. An entity that is not yielded is not in the view. Labels
   of a container that only some families should have stand apart, in `holder`, and those rows say `of_holder`.
3. `READ`: the sets of metrics that collectors read for this view, although the user may not export them. Each set that
   is named here costs readings on every node with the view.
4. `view(options)` returns `arrangement.TableView(ROWS, entities)`.
5. One line in `_MODULES` below. The option `metrics.views`, its documentation and the chart follow from it.

A series has a fixed place among the values of a snapshot, which is determined only when the series change. A factor
that several series share is computed once. So keep to the terms of the table: no value is computed elsewhere.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import NamedTuple

from collectors.metric import MetricSet
from exporter.series import View

NATIVE = "native"
# The module of each view; imported only if the view is used.
_MODULES = {
    "dcgm": "exporter.views.dcgm",
    "otel": "exporter.views.otel",
}
# The names for the option `metrics.views`.
NAMES = (NATIVE, *_MODULES)


class ViewOptions(NamedTuple):
    """What views need of the configuration.

    Attributes:
        node: The name of the node.
        dcgm_vendors: The vendors of the devices in the view `dcgm`; empty for all.
    """

    node: str
    dcgm_vendors: tuple[str, ...] = ()


def load_views(names: Iterable[str], options: ViewOptions) -> tuple[View, ...]:
    """The views of these names, in the order of the names; the native one is none of them."""
    return tuple(import_module(_MODULES[name]).view(options) for name in names if name != NATIVE)


def sets_read_for(names: Iterable[str]) -> frozenset[MetricSet]:
    """The sets of metrics that collectors read for the views of these names."""
    return frozenset[MetricSet]().union(*(import_module(_MODULES[name]).READ for name in names if name != NATIVE))
