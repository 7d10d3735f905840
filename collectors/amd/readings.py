"""What a GPU is asked: the files behind each row of the catalogue."""

from collectors.amd import hwmon, links, load, modes, ras, table, throttling
from collectors.amd.query import Questions
from collectors.contract import Wishes
from collectors.metric import Metric
from collectors.query import rows_of


def device_questions(wishes: Wishes) -> Questions:
    """What a GPU is asked.

    Args:
        wishes: What is to be read beyond the usual.
    """
    of_links = links.QUERIES_OF_EACH_LINK if wishes.each_link else links.QUERIES
    return (*modes.QUERIES, *load.QUERIES, *hwmon.QUERIES, *of_links, *ras.QUERIES, table.BATCH, *throttling.QUERIES)


# Every row that a device can be asked for.
DEVICE_ROWS: frozenset[Metric] = rows_of(device_questions(Wishes()))
