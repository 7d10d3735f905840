"""The catalogue of device and partition families. Everything else about them is derived from this list.

The order of rows in the modules, and of the modules in `ROWS`, is the order of the exposition. A family is added,
renamed and described only in its module: each row there is available as `catalog.NAME`.
"""

from collectors.catalog import diagnostics, errors, links, load, power, processes, state
from collectors.catalog.diagnostics import *
from collectors.catalog.errors import *
from collectors.catalog.links import *
from collectors.catalog.load import *
from collectors.catalog.power import *
from collectors.catalog.processes import *
from collectors.catalog.state import *
from collectors.metric import Metric

# Every row, in the order of the modules.
ROWS: tuple[Metric, ...] = tuple(
    row
    for module in (state, load, power, links, errors, diagnostics, processes)
    for row in vars(module).values()
    if isinstance(row, Metric)
)
