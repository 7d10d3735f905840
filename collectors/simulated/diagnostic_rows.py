"""The same for the families of `collect.diagnostics`."""

from collections.abc import Callable, Mapping

from collectors import catalog, labels
from collectors.metric import Metric
from collectors.simulated.device_rows import Values, View, one_of


def _fabric_condition(view: View) -> Values:
    """No scenario disturbs a fabric."""
    fabric = view.profile.fabric
    if fabric is None or not fabric.registers:
        return ()
    return (((fabric.name, *condition), value) for condition, value in one_of(labels.FABRIC_CONDITION))


FABRIC_ROWS: Mapping[Metric, Callable[[View], Values]] = {catalog.FABRIC_CONDITION: _fabric_condition}

ROWS: Mapping[Metric, Callable[[View], Values]] = {**FABRIC_ROWS}
