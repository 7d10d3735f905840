"""Samples of single processes. They are optional because every process is a series.

The name of a process is its `comm` in the host's procfs. A PID of another namespace has no name there, or the name of
another process; so these series need the host's PID namespace (hostPID).
"""

import logging
from collections.abc import Iterable, Iterator

from collectors import catalog
from collectors.contract import Process, Sample
from collectors.procfs import process_name
from collectors.sysfs import Root

_log = logging.getLogger(__name__)

_MOST_PROCESSES = 1000
_MOST_REMEMBERED = 4096


def no_rows(_: Iterable[Process]) -> tuple[Sample, ...]:
    """No samples: they are disabled."""
    return ()


class ProcessRows:
    """Makes samples of processes. Used by one thread.

    Args:
        procfs: The root of the host's `/proc`.
    """

    def __init__(self, procfs: Root) -> None:
        self._procfs = procfs
        self._names: dict[int, str] = {}
        self._too_many = False

    def samples(self, processes: Iterable[Process]) -> tuple[Sample, ...]:
        """The samples of the first 1,000 processes."""
        every = list(processes)
        if (len(every) > _MOST_PROCESSES) != self._too_many:
            self._too_many = not self._too_many
            if self._too_many:
                fields = {"processes": len(every), "served": _MOST_PROCESSES}
                _log.warning("too many processes: only some are exported", extra={"fields": fields})
        self._drop_names({process.pid for process in every})
        return tuple(sample for process in every[:_MOST_PROCESSES] for sample in self._samples_of(process))

    def _samples_of(self, process: Process) -> Iterator[Sample]:
        labels = (str(process.pid), self._name(process.pid))
        values = (
            (catalog.PROCESS_MEMORY_USAGE, process.memory_usage_bytes),
            (catalog.PROCESS_UTILIZATION, process.utilization_ratio),
            (catalog.PROCESS_OCCUPANCY, process.occupancy_ratio),
            (catalog.PROCESS_COPY_SECONDS, process.copy_seconds),
        )
        for row, value in values:
            if value is not None:
                yield Sample(row, process.device_uuid, value, process.partition_uuid, labels)

    def _name(self, pid: int) -> str:
        """Read once as long as the process is listed: the kernel reuses a PID only after a while."""
        if pid not in self._names:
            self._names[pid] = process_name(self._procfs, pid) or ""
        return self._names[pid]

    def _drop_names(self, listed: set[int]) -> None:
        if len(self._names) > _MOST_REMEMBERED or not self._names.keys() <= listed:
            self._names = {pid: name for pid, name in self._names.items() if pid in listed}
