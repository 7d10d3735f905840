"""Asks queries and remembers which ones a device can't answer, so that an unsupported reading costs one call ever."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.contract import (
    CollectorError,
    DeviceLostError,
    Fault,
    Reason,
    Sample,
    UnavailableError,
    Unsupported,
    UnsupportedError,
)
from collectors.metric import Cadence, Unit
from collectors.nvidia.errors import NothingError, SessionError
from collectors.nvidia.nvml import Handle, Nvml
from collectors.nvidia.query import Answer, Batch, Part, Query, Questions, flat

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

    questions: tuple[Query | Part, ...] = ()
    gaps: dict[str, str] = field(default_factory=dict)

    def wants(self, question: Query | Part, due: frozenset[Cadence]) -> bool:
        """Whether it is due, not known to be unsupported, and no stand-in for what is supported."""
        wanted = not question.instead_of or question.instead_of in self.gaps
        return question.cadence in due and wanted and question.name not in self.gaps


class Asker:
    """Asks the devices of one session.

    Args:
        nvml: The open library.
    """

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._asked: dict[Subject, _Asked] = {}

    def ask(self, subject: Subject, handle: Handle, questions: Questions, due: frozenset[Cadence]) -> Findings:
        """Ask what is due, without what this subject was found unable to answer.

        Args:
            subject: Who is asked.
            handle: By which handle.
            questions: All it may be asked, in order: a stand-in after what it stands in for.
            due: The cadences to read.

        Raises:
            DeviceLostError: It does not answer any more.
            SessionError: The session is over.
        """
        asked = self._asked.setdefault(subject, _Asked())
        asked.questions = tuple(flat(questions))
        findings = Findings()
        for question in questions:
            if isinstance(question, Batch):
                self._ask_batch(subject, handle, question, due, findings)
            elif asked.wants(question, due):
                self._ask_query(subject, handle, question, findings)
        return findings

    def unsupported(self) -> Iterator[Unsupported]:
        """Every row that was asked for and that no query can give."""
        for subject, asked in self._asked.items():
            had = {row for question in asked.questions if question.name not in asked.gaps for row in question.rows}
            missing = {
                row: asked.gaps[question.name]
                for question in asked.questions
                if question.name in asked.gaps
                for row in question.rows
                if row not in had
            }
            for row, detail in missing.items():
                yield Unsupported(row, subject.device_uuid, detail, subject.partition_uuid)

    def forget(self, device_uuid: str) -> None:
        """Ask a device and its partitions everything again, as after a change of its partitioning."""
        for subject in [subject for subject in self._asked if subject.device_uuid == device_uuid]:
            del self._asked[subject]

    def _ask_query(self, subject: Subject, handle: Handle, query: Query, findings: Findings) -> None:
        try:
            answers = tuple(query.ask(self._nvml, handle))
        except (NothingError, UnsupportedError, UnavailableError) as error:
            self._note(subject, query, error, findings)
        else:
            _accept(subject, query, answers, findings)

    def _ask_batch(
        self, subject: Subject, handle: Handle, batch: Batch, due: frozenset[Cadence], findings: Findings
    ) -> None:
        parts = [part for part in batch.parts if self._asked[subject].wants(part, due)]
        if not parts:
            return
        results: Sequence[float | CollectorError]
        try:
            results = batch.ask(self._nvml, handle, [part.key for part in parts])
        except (NothingError, UnsupportedError) as error:
            results = [error] * len(parts)
        except UnavailableError as error:  # one fault, not one for each part
            for part in parts:
                self._refuse(subject, part, error)
            findings.refused += 1
            findings.faults.append(Fault(error.reason, subject.where, str(error)))
            return
        for part, result in zip(parts, results, strict=True):
            self._take(subject, part, result, findings)

    def _take(self, subject: Subject, part: Part, result: float | CollectorError, findings: Findings) -> None:
        if isinstance(result, DeviceLostError | SessionError):
            raise result
        try:
            answers = () if isinstance(result, CollectorError) else tuple(part.read(result))
        except (NothingError, UnsupportedError, UnavailableError) as error:
            result = error
        if isinstance(result, CollectorError):
            self._note(subject, part, result, findings)
        else:
            _accept(subject, part, answers, findings)

    def _note(self, subject: Subject, question: Query | Part, error: CollectorError, findings: Findings) -> None:
        if isinstance(error, UnsupportedError):
            self._asked[subject].gaps[question.name] = str(error)
        if isinstance(error, UnavailableError):
            self._refuse(subject, question, error)
            findings.refused += 1
            findings.faults.append(Fault(error.reason, subject.where, str(error)))
        else:
            findings.answered += 1

    def _refuse(self, subject: Subject, question: Query | Part, error: UnavailableError) -> None:
        """Remember a missing permission: it will not be granted while the process runs."""
        if error.reason is Reason.PERMISSION_DENIED:
            self._asked[subject].gaps[question.name] = str(error)


def _accept(subject: Subject, question: Query | Part, answers: Iterable[Answer], findings: Findings) -> None:
    findings.answered += 1
    for answer in answers:
        value = answer.convert(answer.raw)
        if _is_possible(answer, value):
            findings.samples.append(
                Sample(answer.metric, subject.device_uuid, value, subject.partition_uuid, answer.labels)
            )
        else:
            findings.faults.append(Fault(Reason.INVALID_VALUE, subject.where, f"{question.name}: {answer.raw}"))


def _is_possible(answer: Answer, value: float) -> bool:
    """Whether a value can be true: no mark of absence, finite, a ratio within 0 and 1, below zero only in celsius."""
    if answer.raw in _NOT_AVAILABLE or not math.isfinite(value):
        return False
    if answer.metric.unit is Unit.RATIO:
        return 0 <= value <= 1
    return value >= 0 or answer.metric.unit is Unit.CELSIUS
