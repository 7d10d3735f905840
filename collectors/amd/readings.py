"""What a GPU is asked: the files behind each row of the catalogue."""

from collectors.amd import hwmon, load, ras, table
from collectors.amd.query import Questions
from collectors.metric import Metric
from collectors.query import rows_of

DEVICE_QUESTIONS: Questions = (*load.QUERIES, *hwmon.QUERIES, *ras.QUERIES, table.BATCH)

# Every row that a device can be asked for.
DEVICE_ROWS: frozenset[Metric] = rows_of(DEVICE_QUESTIONS)
