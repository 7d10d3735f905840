"""Asks queries and remembers which ones a device can't answer, so that an unsupported reading costs one call ever."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.contract import Fault, Reason, Sample, UnavailableError, Unsupported, UnsupportedError
from collectors.metric import Cadence, Unit
from collectors.nvidia.errors import NothingError
from collectors.nvidia.nvml import Handle, Nvml
from collectors.nvidia.readings import Answer, Query

# NVML's marks for "not available", 32 and 64 bits wide.
_NOT_AVAILABLE = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})


class Subject(NamedTuple):
    """What is asked.

    Attributes:
        device_uuid: The device, or the parent of the MIG device.
        partition_uuid: The MIG device; empty for the whole device.
    """

    device_uuid: str
    partition_uuid: str = ""

    @property
    def where(self) -> str:
        """For people."""
        return self.partition_uuid or self.device_uuid


@dataclass(slots=True)
class Findings:
    """What a subject answered.

    Attributes:
        samples: Valid values.
        faults: What failed.
        refused: How many queries failed.
        answered: How many were answered, an unsupported one included.
    """

    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    refused: int = 0
    answered: int = 0


@dataclass(slots=True)
class _Asked:
    """What one subject is asked, and why some of it is not asked again."""

    queries: tuple[Query, ...]
    gaps: dict[str, str] = field(default_factory=dict)


class Asker:
    """Asks the devices of one session.

    Args:
        nvml: The open library.
    """

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._asked: dict[Subject, _Asked] = {}

    def ask(self, subject: Subject, handle: Handle, queries: tuple[Query, ...], due: frozenset[Cadence]) -> Findings:
        """Ask the queries whose cadence is due, without those that this subject was found unable to answer.

        Args:
            subject: Who is asked.
            handle: By which handle.
            queries: All it may be asked, in order: a stand-in after what it stands in for.
            due: The cadences to read.

        Raises:
            DeviceLostError: It does not answer any more.
            SessionError: The session is over.
        """
        asked = self._asked.setdefault(subject, _Asked(queries))
        asked.queries = queries
        findings = Findings()
        for query in queries:
            wanted = not query.instead_of or query.instead_of in asked.gaps
            if query.cadence in due and wanted and query.name not in asked.gaps:
                self._ask_one(subject, handle, query, findings)
        return findings

    def unsupported(self) -> Iterator[Unsupported]:
        """Every row that was asked for and that no query can give."""
        for subject, asked in self._asked.items():
            had = {row for query in asked.queries if query.name not in asked.gaps for row in query.rows}
            missing = {
                row: asked.gaps[query.name]
                for query in asked.queries
                if query.name in asked.gaps
                for row in query.rows
                if row not in had
            }
            for row, detail in missing.items():
                yield Unsupported(row, subject.device_uuid, detail, subject.partition_uuid)

    def forget(self, device_uuid: str) -> None:
        """Ask a device and its partitions everything again, as after a change of its partitioning."""
        for subject in [subject for subject in self._asked if subject.device_uuid == device_uuid]:
            del self._asked[subject]

    def _ask_one(self, subject: Subject, handle: Handle, query: Query, findings: Findings) -> None:
        try:
            answers = tuple(query.ask(self._nvml, handle))
        except NothingError:
            findings.answered += 1
        except UnsupportedError as error:
            self._asked[subject].gaps[query.name] = str(error)
            findings.answered += 1
        except UnavailableError as error:
            if error.reason is Reason.PERMISSION_DENIED:  # it will not be granted while the process runs
                self._asked[subject].gaps[query.name] = str(error)
            findings.refused += 1
            findings.faults.append(Fault(error.reason, subject.where, str(error)))
        else:
            findings.answered += 1
            for answer in answers:
                _accept(subject, query, answer, findings)


def _accept(subject: Subject, query: Query, answer: Answer, findings: Findings) -> None:
    value = answer.convert(answer.raw)
    if _is_possible(answer, value):
        findings.samples.append(
            Sample(answer.metric, subject.device_uuid, value, subject.partition_uuid, answer.labels)
        )
    else:
        findings.faults.append(Fault(Reason.INVALID_VALUE, subject.where, f"{query.name}: {answer.raw}"))


def _is_possible(answer: Answer, value: float) -> bool:
    """Whether a value can be true: no mark of absence, finite, a ratio within 0 and 1, below zero only in celsius."""
    if answer.raw in _NOT_AVAILABLE or not math.isfinite(value):
        return False
    if answer.metric.unit is Unit.RATIO:
        return 0 <= value <= 1
    return value >= 0 or answer.metric.unit is Unit.CELSIUS
