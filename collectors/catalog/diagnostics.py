"""Families for diagnosis, off by default: `collect.diagnostics`.

They say why a device is in its state, what predicts a failure, and what the next reset changes.
"""

from collectors import labels as own
from collectors.catalog.bounds import FLAG
from collectors.catalog.row import diagnostic

FABRIC_CONDITION = diagnostic(
    "fabric_condition",
    "1 while the fabric reports a condition for the device, else 0. A condition on which it reports nothing is absent.",
    (own.FABRIC, own.FABRIC_CONDITION),
    bounds=FLAG,
)
