"""A card of the loaded NVML double that is asked questions as a session asks them."""

from collectors.contract import SubjectKey
from collectors.metric import Cadence, Metric
from collectors.nvidia.nvml import Queries, QueryRunner
from collectors.query_runner import QueryResult
from tests.doubles.nvml import NvmlState
from tests.doubles.nvml_loaded import open_nvml

ALL = frozenset(Cadence)
_GPU = SubjectKey("GPU-0")


class AskedDevice:
    """The first card, in a session of its own.

    Args:
        state: Of the loaded double.
        questions: What it is asked.
        subject: What it is called.
    """

    def __init__(self, state: NvmlState, questions: Queries, subject: SubjectKey = _GPU) -> None:
        self.card = state.devices[0]
        self._nvml = open_nvml()
        self._handle = self._nvml.device(0)
        self._runner = QueryRunner(self._nvml)
        self._questions = questions
        self._subject = subject

    def ask(self, due: frozenset[Cadence] = ALL, times: int = 1) -> QueryResult:
        """What the last asking of so many brought."""
        for _ in range(times):
            findings = self._runner.run(self._subject, self._handle, self._questions, due)
        return findings

    def gaps(self) -> dict[Metric, str]:
        """The rows that can't be had, and why."""
        return {gap.metric: gap.detail for gap in self._runner.unsupported()}

    def forget(self, device_uuid: str) -> None:
        """Forget what a device was found unable to answer."""
        self._runner.forget(device_uuid)


def series(findings: QueryResult) -> dict[tuple[str, ...], float]:
    """The value of each series, by the family's stem and the labels."""
    return {(sample.metric.stem, *sample.labels): sample.value for sample in findings.samples}


def values(findings: QueryResult, metric: Metric) -> dict[tuple[str, ...], float]:
    """The values of one family, by the labels."""
    return {sample.labels: sample.value for sample in findings.samples if sample.metric is metric}


def reasons(findings: QueryResult) -> list[str]:
    """Why something failed, once for each fault."""
    return [fault.reason for fault in findings.faults]
