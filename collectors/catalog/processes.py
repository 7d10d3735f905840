"""Families about single processes."""

from collectors.metric import Cadence, Kind, Label, Metric, Origin, Subject, Unit

_MOST_COPY_ENGINES = 64.0

PROCESS_MEMORY_USAGE = Metric(
    "memory_usage_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Device memory used by one process. name is its command, absent if the process id belongs to another PID "
    "namespace.",
    (Subject.PROCESS,),
    (Label("pid"), Label("name", optional=True)),
    Cadence.MEDIUM,
    Origin.EXPORTER,
    option="collect.processes",
)
PROCESS_UTILIZATION = Metric(
    "utilization_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Fraction of the last sampling period in which one process was executing.",
    (Subject.PROCESS,),
    (Label("pid"), Label("name", optional=True)),
    Cadence.MEDIUM,
    Origin.EXPORTER,
    option="collect.processes",
)
PROCESS_OCCUPANCY = Metric(
    "occupancy_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Fraction of the compute units on which one process had work at the time of the reading.",
    (Subject.PROCESS,),
    (Label("pid"), Label("name", optional=True)),
    Cadence.MEDIUM,
    Origin.EXPORTER,
    option="collect.processes",
)
PROCESS_COPY_SECONDS = Metric(
    "copy_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time in which copy engines worked for one process.",
    (Subject.PROCESS,),
    (Label("pid"), Label("name", optional=True)),
    Cadence.MEDIUM,
    Origin.EXPORTER,
    option="collect.processes",
    most_per_second=_MOST_COPY_ENGINES,
)
