"""Cards of the loaded NVML double with short uuids, and one that is queried as in a session."""

from collectors import catalog
from collectors.contract import SubjectKey
from collectors.metric import Cadence, Metric
from collectors.nvidia.nvml import Queries, QueryRunner
from collectors.query_runner import QueryResult
from tests.doubles.nvml import Device, MigDevice, NvmlState, h100, h100_mig
from tests.doubles.nvml_loaded import open_nvml

ALL = frozenset(Cadence)
_GPU = SubjectKey("GPU-0")


def gpus(count: int) -> list[Device]:
    """Cards with their number in uuid and address: `GPU-0` at `0000:10:00.0`. Without events and activity counters."""
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


class QueriedDevice:
    """The first card, in a separate session.

    Args:
        state: The state of the loaded double.
        queries: The queries.
        subject: Its subject key.
    """

    def __init__(self, state: NvmlState, queries: Queries, subject: SubjectKey = _GPU) -> None:
        self.card = state.devices[0]
        self._nvml = open_nvml().for_one_device()
        self._handle = self._nvml.device(0)
        self._runner = QueryRunner(self._nvml)
        self._queries = queries
        self._subject = subject

    def query(self, due: frozenset[Cadence] = ALL, times: int = 1) -> QueryResult:
        """Run the due queries this many times; returns the last result."""
        for _ in range(times):
            self._nvml.fields.begin(due)
            result = self._runner.run(self._subject, self._handle, self._queries, due)
            self._nvml.fields.end()
        return result

    def gaps(self) -> dict[Metric, str]:
        """The unsupported rows, each with the reason; without one that no card with memory of its own has."""
        gaps = self._runner.unsupported()
        return {gap.metric: gap.detail for gap in gaps if gap.metric is not catalog.HOST_MEMORY_USAGE}

    def forget(self, device_uuid: str) -> None:
        """Forget which queries of a device are unsupported."""
        self._runner.forget(device_uuid)


def series(result: QueryResult) -> dict[tuple[str, ...], float]:
    """The value of each series, by family stem and labels."""
    return {(sample.metric.stem, *sample.labels): sample.value for sample in result.samples}


def values(result: QueryResult, metric: Metric) -> dict[tuple[str, ...], float]:
    """The values of one family, by the labels."""
    return {sample.labels: sample.value for sample in result.samples if sample.metric is metric}


def reasons(result: QueryResult) -> list[str]:
    """The reason of each fault."""
    return [fault.reason for fault in result.faults]
