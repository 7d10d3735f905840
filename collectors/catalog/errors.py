"""Families about errors: memory errors and critical events."""

from collectors import labels as own
from collectors.catalog.bounds import FLAG
from collectors.catalog.row import DEVICE, counter, gauge
from collectors.metric import Cadence, Kind, Metric, MetricSet, Stability, Unit

MEMORY_ERRORS = counter(
    "memory_errors_total",
    Unit.NONE,
    "Errors of the device memory since the driver was loaded. A deferred error was not corrected, but no program has "
    "used the data yet.",
    DEVICE,
    (own.MEMORY_ERROR_OUTCOME,),
    Cadence.SLOW,
    metric_set=MetricSet.HEALTH,
    stability=Stability.STABLE,
)
MEMORY_LIFETIME_ERRORS = counter(
    "memory_lifetime_errors_total",
    Unit.NONE,
    "Memory errors over the lifetime of the device, as the device stores them.",
    DEVICE,
    (own.MEMORY_ERROR,),
    Cadence.SLOW,
    metric_set=MetricSet.DIAGNOSTICS,
)
MEMORY_RETIRED_PAGES = gauge(
    "memory_retired_pages",
    Unit.NONE,
    "Memory pages that are no longer used because of errors.",
    DEVICE,
    (own.MEMORY_ERROR,),
    Cadence.SLOW,
    metric_set=MetricSet.HEALTH,
)
MEMORY_REMAPPED_ROWS = gauge(
    "memory_remapped_rows",
    Unit.NONE,
    "Memory rows replaced by spare rows because of errors.",
    DEVICE,
    (own.MEMORY_ERROR,),
    Cadence.SLOW,
    metric_set=MetricSet.HEALTH,
)
MEMORY_REPAIR_PENDING = gauge(
    "memory_repair_pending",
    Unit.NONE,
    "1 while a retired page or remapped row needs a reset to take effect, else 0.",
    DEVICE,
    cadence=Cadence.SLOW,
    bounds=FLAG,
    metric_set=MetricSet.HEALTH,
)
MEMORY_REPAIR_FAILED = gauge(
    "memory_repair_failed",
    Unit.NONE,
    "1 if a repair of the memory, such as the remapping of a row, has ever failed, else 0.",
    DEVICE,
    cadence=Cadence.SLOW,
    bounds=FLAG,
    metric_set=MetricSet.HEALTH,
)
# Persistent: after the most severe events the device no longer answers, and its other readings end.
ERRORS = Metric(
    "errors_total",
    Kind.COUNTER,
    Unit.NONE,
    "Critical events that the driver reported since the exporter started. class is application if a program is "
    "usually the cause, else hardware. A new code is at 0 for 75 seconds first.",
    DEVICE,
    (own.ERROR_SOURCE, own.ERROR_CODE, own.ERROR_CLASS),
    persistent=True,
    metric_set=MetricSet.HEALTH,
    stability=Stability.STABLE,
)
ERROR_LAST_TIMESTAMP = Metric(
    "error_last_timestamp_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Unix time of the last critical event that the driver reported, by source and code.",
    DEVICE,
    (own.ERROR_SOURCE, own.ERROR_CODE, own.ERROR_CLASS),
    persistent=True,
    metric_set=MetricSet.HEALTH,
    stability=Stability.STABLE,
)
