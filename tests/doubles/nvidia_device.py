"""Cards of the loaded NVML double with short names, and one that is queried as a session queries it."""

from collectors.contract import SubjectKey
from collectors.metric import Cadence, Metric
from collectors.nvidia.nvml import Queries, QueryRunner
from collectors.query_runner import QueryResult
from tests.doubles.nvml import Device, MigDevice, NvmlState, h100, h100_mig
from tests.doubles.nvml_loaded import open_nvml

ALL = frozenset(Cadence)
_GPU = SubjectKey("GPU-0")


def gpus(count: int) -> list[Device]:
    """Cards named by their number, `GPU-0` at `0000:10:00.0` and so on. Without events and activity counters."""
    cards = [h100(index) for index in range(count)]
    for index, card in enumerate(cards):
        card.uuid, card.pci_address = f"GPU-{index}", f"0000:{0x10 + index:02x}:00.0"
        card.supported_event_types, card.gpm_supported = None, 0
    return cards


def mig_device(gpu_instance: int, compute_instance: int = 0, uuid: str = "", profile: str = "1g.10gb") -> MigDevice:
    """A MIG device of one slice that uses its whole GPU instance, `MIG-1-0` by default."""
    mig = h100_mig(0, 0)
    mig.uuid = uuid or f"MIG-{gpu_instance}-{compute_instance}"
    mig.name = f"NVIDIA H100 80GB HBM3 MIG {profile}"
    mig.gpu_instance, mig.compute_instance = gpu_instance, compute_instance
    return mig


class AskedDevice:
    """The first card, in a separate session.

    Args:
        state: The state of the loaded double.
        questions: The queries.
        subject: Its subject key.
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
        """The unsupported rows, and why."""
        return {gap.metric: gap.detail for gap in self._runner.unsupported()}

    def forget(self, device_uuid: str) -> None:
        """Reset what is known to be unsupported."""
        self._runner.forget(device_uuid)


def series(findings: QueryResult) -> dict[tuple[str, ...], float]:
    """The value of each series, by the family's stem and the labels."""
    return {(sample.metric.stem, *sample.labels): sample.value for sample in findings.samples}


def values(findings: QueryResult, metric: Metric) -> dict[tuple[str, ...], float]:
    """The values of one family, by the labels."""
    return {sample.labels: sample.value for sample in findings.samples if sample.metric is metric}


def reasons(findings: QueryResult) -> list[str]:
    """The reason of each fault."""
    return [fault.reason for fault in findings.faults]
