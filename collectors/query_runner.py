"""Asks queries and remembers which ones a device can't answer, so that an unsupported reading costs one call ever."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple

from collectors.contract import (
    CollectorError,
    Fault,
    Reason,
    Sample,
    UnavailableError,
    Unsupported,
    UnsupportedError,
)
from collectors.metric import Cadence, Metric, Unit
from collectors.query import Answer, Batch, H, L, NothingError, Part, Query, Questions, flat

# Errors that leave the other questions alone.
_OF_ONE_QUESTION = (NothingError, UnsupportedError, UnavailableError)


class Subject(NamedTuple):
    """What is asked.

    Attributes:
        device_uuid: The device, or the parent of the partition.
        partition_uuid: The partition; empty for the whole device.
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
class _Asked(Generic[L, H]):
    """What one subject is asked, and why some of it is not asked again.

    Attributes:
        source: The questions as they were given last.
        questions: Each of them by itself.
        gaps: Why a question is not asked any more, by its name.
        missing: The rows that none of them can give; None until somebody wants to know.
    """

    source: Questions[L, H] = ()
    questions: tuple[Query[L, H] | Part, ...] = ()
    gaps: dict[str, str] = field(default_factory=dict)
    missing: dict[Metric, str] | None = None

    def take(self, questions: Questions[L, H]) -> None:
        """Note what is asked; cheap where it is what was asked before."""
        if questions is not self.source:
            self.source, self.questions, self.missing = questions, tuple(flat(questions)), None

    def give_up(self, question: Query[L, H] | Part, why: str) -> None:
        """Do not ask it again."""
        self.gaps[question.name] = why
        self.missing = None

    def missing_rows(self) -> dict[Metric, str]:
        """The rows that were asked for and that no question can give, and why."""
        if self.missing is None:
            had = {row for question in self.questions if question.name not in self.gaps for row in question.rows}
            self.missing = {
                row: self.gaps[question.name]
                for question in self.questions
                if question.name in self.gaps
                for row in question.rows
                if row not in had
            }
        return self.missing

    def wants(self, question: Query[L, H] | Part, due: frozenset[Cadence]) -> bool:
        """Whether it is due, not known to be unsupported, and no stand-in for what is supported."""
        wanted = not question.instead_of or question.instead_of in self.gaps
        return question.cadence in due and wanted and question.name not in self.gaps


class Asker(Generic[L, H]):
    """Asks the devices of one session, or of one tree of files.

    Args:
        library: What the calls go through.
        absent_marks: Raw values by which it says that there is none.
    """

    def __init__(self, library: L, absent_marks: Collection[float] = ()) -> None:
        self._library = library
        self._absent_marks = absent_marks
        self._asked: dict[Subject, _Asked[L, H]] = {}

    def ask(self, subject: Subject, handle: H, questions: Questions[L, H], due: frozenset[Cadence]) -> Findings:
        """Ask what is due, without what this subject was found unable to answer.

        Args:
            subject: Who is asked.
            handle: By which handle.
            questions: All it may be asked, in order: a stand-in after what it stands in for.
            due: The cadences to read.

        Raises:
            CollectorError: It does not answer any more, or none does.
        """
        asked = self._asked.setdefault(subject, _Asked())
        asked.take(questions)
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
            for row, detail in asked.missing_rows().items():
                yield Unsupported(row, subject.device_uuid, detail, subject.partition_uuid)

    def forget(self, device_uuid: str) -> None:
        """Ask a device and its partitions everything again, as after a change of its partitioning."""
        for subject in [subject for subject in self._asked if subject.device_uuid == device_uuid]:
            del self._asked[subject]

    def _ask_query(self, subject: Subject, handle: H, query: Query[L, H], findings: Findings) -> None:
        try:
            answers = tuple(query.ask(self._library, handle))
        except _OF_ONE_QUESTION as error:
            self._note(subject, query, error, findings)
        else:
            self._accept(subject, query, answers, findings)

    def _ask_batch(
        self, subject: Subject, handle: H, batch: Batch[L, H], due: frozenset[Cadence], findings: Findings
    ) -> None:
        parts = [part for part in batch.parts if self._asked[subject].wants(part, due)]
        if not parts:
            return
        results: Sequence[float | CollectorError]
        try:
            results = batch.ask(self._library, handle, [part.key for part in parts])
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
        if isinstance(result, CollectorError) and not isinstance(result, _OF_ONE_QUESTION):
            raise result
        try:
            answers = () if isinstance(result, CollectorError) else tuple(part.read(result))
        except _OF_ONE_QUESTION as error:
            result = error
        if isinstance(result, CollectorError):
            self._note(subject, part, result, findings)
        else:
            self._accept(subject, part, answers, findings)

    def _note(self, subject: Subject, question: Query[L, H] | Part, error: CollectorError, findings: Findings) -> None:
        if isinstance(error, UnsupportedError):
            self._asked[subject].give_up(question, str(error))
        if isinstance(error, UnavailableError):
            self._refuse(subject, question, error)
            findings.refused += 1
            findings.faults.append(Fault(error.reason, subject.where, str(error)))
        else:
            findings.answered += 1

    def _refuse(self, subject: Subject, question: Query[L, H] | Part, error: UnavailableError) -> None:
        """Remember a missing permission: it will not be granted while the process runs."""
        if error.reason is Reason.PERMISSION_DENIED:
            self._asked[subject].give_up(question, str(error))

    def _accept(
        self, subject: Subject, question: Query[L, H] | Part, answers: Iterable[Answer], findings: Findings
    ) -> None:
        findings.answered += 1
        for answer in answers:
            value = answer.convert(answer.raw)
            if answer.raw not in self._absent_marks and _is_possible(answer.metric.unit, value):
                findings.samples.append(
                    Sample(answer.metric, subject.device_uuid, value, subject.partition_uuid, answer.labels)
                )
            else:
                findings.faults.append(Fault(Reason.INVALID_VALUE, subject.where, f"{question.name}: {answer.raw}"))


def _is_possible(unit: Unit, value: float) -> bool:
    """Whether a value can be true: finite, a ratio within 0 and 1, below zero only in celsius."""
    if not math.isfinite(value):
        return False
    if unit is Unit.RATIO:
        return 0 <= value <= 1
    return value >= 0 or unit is Unit.CELSIUS
