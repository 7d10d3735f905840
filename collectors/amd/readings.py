"""What a GPU is asked: the files behind each row of the catalogue, or the library in their place."""

from collections.abc import Iterator
from dataclasses import replace

from collectors import query
from collectors.amd import hwmon, links, load, modes, ras, throttling
from collectors.amd.gpu_files import Questions, Visit
from collectors.amd.gpu_metrics.queries import GPU_METRICS_BATCH
from collectors.amd.rocm_smi.queries import LIBRARY_ROWS, Backend, library_batches
from collectors.contract import Wishes
from collectors.metric import Metric
from collectors.query import rows_of
from collectors.sysfs import Root


def device_questions(wishes: Wishes, library: Backend | None = None) -> Questions:
    """What a GPU is asked.

    Args:
        wishes: What is to be read beyond the usual.
        library: Asked in place of the files what it may know; None for files alone.
    """
    of_links = links.QUERIES_OF_EACH_LINK if wishes.each_link else links.QUERIES
    files: Questions = (
        *modes.QUERIES,
        *load.QUERIES,
        *hwmon.QUERIES,
        *of_links,
        *ras.QUERIES,
        GPU_METRICS_BATCH,
        *throttling.QUERIES,
    )
    return files if library is None else (*_without(files, LIBRARY_ROWS), *library_batches(library))


def _without(
    asked: Questions, rows: frozenset[Metric]
) -> Iterator[query.Query[Root, Visit] | query.Batch[Root, Visit]]:
    """The questions that feed other rows."""
    for question in asked:
        if isinstance(question, query.Batch):
            yield replace(question, parts=tuple(part for part in question.parts if not rows & {*part.rows}))
        elif not rows & {*question.rows}:
            yield question


# Every row that a device can be asked for.
DEVICE_ROWS: frozenset[Metric] = rows_of(device_questions(Wishes()))
