"""PCIe, NVLink, C2C and the fabric, as the QueryRunner gets them."""

import pynvml
import pytest

from collectors import catalog
from collectors.contract import Reason, Sample, SubjectKey, Wishes
from collectors.metric import Cadence
from collectors.nvidia.links import RisingCounters
from collectors.nvidia.nvml import Handle, QueryRunner
from collectors.nvidia.readings import device_queries
from collectors.query_runner import QueryResult
from tests.doubles.nvml_binding import FakeGpu, border

ALL = frozenset(Cadence)
SUBJECT = SubjectKey("GPU-0")
UINT, ULONGLONG = 1, 3
INVALID_ARGUMENT, UNSUPPORTED, ARGUMENT_VERSION_MISMATCH, NOT_READY = 2, 3, 25, 27
ALL_LINKS = 0xFFFFFFFF
NO_WISHES, EACH_LINK = Wishes(), Wishes(each_link=True)

Values = dict[tuple[str, ...], float]


class Bench:
    """One GPU that is asked everything, again and again."""

    def __init__(self, gpu: FakeGpu, wishes: Wishes = NO_WISHES) -> None:
        self.gpu = gpu
        self.runner = QueryRunner(border(gpu))
        self.questions = device_queries(wishes)

    def ask(self) -> QueryResult:
        return self.runner.run(SUBJECT, Handle(self.gpu), self.questions, ALL)

    def values(self, prefix: str) -> Values:
        """The series of the families that begin so, at the second asking, when stand-ins have been found out."""
        self.ask()
        findings = self.ask()
        assert findings.faults == []
        return {(s.metric.stem, *s.labels): s.value for s in findings.samples if s.metric.stem.startswith(prefix)}


def links(count: int, **fields: float) -> FakeGpu:
    """A GPU with so many NVLinks, all up, and these fields on each of them."""
    gpu = FakeGpu()
    gpu.fields[91, 0] = (count, UINT, 0)
    for link in range(count):
        gpu.fields[165, link] = (1, UINT, 0)
        gpu.fields[164, link] = (25_000, UINT, 0)
        for name, value in fields.items():
            gpu.fields[int(name.removeprefix("field_")), link] = (value + link, ULONGLONG, 0)
    return gpu


def blackwell(count: int) -> FakeGpu:
    """A GPU without the older error counters, and with the newer ones on each link and on all."""
    newer = {206: 10, 207: 20, 208: 30, 215: 40, 221: 50}
    gpu = links(count, **{f"field_{field}": value for field, value in newer.items()})
    for field, value in newer.items():
        gpu.fields[field, ALL_LINKS] = (1000 + value, ULONGLONG, 0)
    for field in (38, 45, 52, 59):
        gpu.fields.pop((field, 0), None)
    return gpu


def test_links_are_counted_by_state_and_only_those_that_are_up_have_bandwidth() -> None:
    gpu = links(18)
    gpu.fields[165, 3] = (0, UINT, 0)
    gpu.fields[165, 4] = (2, UINT, 0)  # asleep
    assert Bench(gpu).values("interconnect_links") == {
        ("interconnect_links", "nvlink", "up"): 16,
        ("interconnect_links", "nvlink", "down"): 2,
        ("interconnect_links", "c2c", "up"): 1,
        ("interconnect_links", "c2c", "down"): 0,
    }
    limits = Bench(gpu).values("interconnect_bandwidth")
    assert limits["interconnect_bandwidth_limit_bytes_per_second", "nvlink"] == 16 * 25e9


def test_with_every_link_down_there_is_no_bandwidth() -> None:
    gpu = links(2)
    gpu.fields[165, 0] = gpu.fields[165, 1] = (0, UINT, 0)
    limits = Bench(gpu).values("interconnect_bandwidth")
    assert limits["interconnect_bandwidth_limit_bytes_per_second", "nvlink"] == 0


def test_a_device_without_links_says_nothing_of_them_and_is_not_asked_again() -> None:
    gpu = FakeGpu()
    gpu.fields.clear()
    bench = Bench(gpu)
    assert bench.values("interconnect") == {}
    calls = gpu.calls["nvmlDeviceGetFieldValues"]
    bench.ask()
    # The memory temperature is in the batch; the questions about links are gone.
    assert gpu.calls["nvmlDeviceGetFieldValues"] == calls + 1
    missing = {gap.metric for gap in bench.runner.unsupported()}
    assert {catalog.INTERCONNECT_LINKS, catalog.INTERCONNECT_BYTES, catalog.INTERCONNECT_ERRORS} <= missing


def test_a_link_that_does_not_tell_is_left_out() -> None:
    gpu = links(3)
    gpu.fields[165, 1] = (0, UINT, UNSUPPORTED)
    assert Bench(gpu).values("interconnect_links")["interconnect_links", "nvlink", "up"] == 2


def test_links_asked_one_by_one_fail_together_while_one_can_not_tell() -> None:
    gpu = blackwell(3)
    bench = Bench(gpu, EACH_LINK)
    assert bench.values("interconnect_errors")["interconnect_errors_total", "nvlink", "symbol", "2"] == 52
    gpu.fields[221, 1] = (0, ULONGLONG, NOT_READY)
    findings = bench.ask()
    kinds = {s.labels[1] for s in findings.samples if s.metric is catalog.INTERCONNECT_ERRORS}
    assert kinds == {"receive", "recovery"}
    assert [fault.reason for fault in findings.faults] == [Reason.UNAVAILABLE]


def test_a_sum_that_can_not_be_told_costs_no_other() -> None:
    gpu = blackwell(3)
    bench = Bench(gpu)
    bench.ask()
    gpu.fields[221, ALL_LINKS] = (0, ULONGLONG, NOT_READY)
    findings = bench.ask()
    kinds = {s.labels[1] for s in findings.samples if s.metric is catalog.INTERCONNECT_ERRORS}
    assert kinds == {"receive", "recovery"}
    assert [fault.reason for fault in findings.faults] == [Reason.UNAVAILABLE]


def test_an_impossible_number_of_links_is_refused() -> None:
    gpu = links(2)
    gpu.fields[91, 0] = (4_000_000, UINT, 0)
    faults = Bench(gpu).ask().faults
    assert {fault.reason for fault in faults} == {Reason.INVALID_VALUE}
    assert len(faults) == 2  # links and bandwidth


def test_errors_of_the_fifth_generation_stand_in_for_those_before() -> None:
    """As the driver sums them up, and without malformed packets and overruns, which the receive errors include."""
    values = Bench(blackwell(2)).values("interconnect_errors")
    assert values == {
        ("interconnect_errors_total", "nvlink", "receive", ""): 1030,
        ("interconnect_errors_total", "nvlink", "recovery", ""): 1040,
        ("interconnect_errors_total", "nvlink", "symbol", ""): 1050,
    }
    assert {kind for _, _, kind, _ in Bench(FakeGpu()).values("interconnect_errors")} == {
        "crc_flit",
        "crc_data",
        "replay",
        "recovery",
    }


def test_errors_of_the_fifth_generation_come_with_the_first_reading_and_in_one_call() -> None:
    gpu = blackwell(18)
    bench = Bench(gpu)
    findings = bench.ask()
    kinds = {s.labels[1] for s in findings.samples if s.metric is catalog.INTERCONNECT_ERRORS}
    assert kinds == {"receive", "recovery", "symbol"}
    before = gpu.calls["nvmlDeviceGetFieldValues"]
    bench.runner.run(SUBJECT, Handle(gpu), bench.questions, frozenset({Cadence.MEDIUM}))
    of_the_links = 4  # of each fabric how many there are, and their states
    assert gpu.calls["nvmlDeviceGetFieldValues"] - before == of_the_links + 2


def test_a_driver_that_knows_errors_of_neither_generation_has_none() -> None:
    gpu = links(2)
    gpu.fields |= {(field, 0): (0, ULONGLONG, UNSUPPORTED) for field in (38, 45, 52, 59)}
    for field in (208, 209, 210, 211, 212, 215, 221):
        gpu.fields[field, ALL_LINKS] = (0, ULONGLONG, INVALID_ARGUMENT)
    bench = Bench(gpu)
    assert bench.values("interconnect_errors") == {}
    assert catalog.INTERCONNECT_ERRORS in {gap.metric for gap in bench.runner.unsupported()}


def test_each_link_on_request_and_then_no_sum() -> None:
    gpu = links(2, field_138=5, field_139=7, field_161=1, field_162=3, field_163=8)
    gpu.fields[138, ALL_LINKS] = gpu.fields[139, ALL_LINKS] = (99, ULONGLONG, 0)
    values = Bench(gpu, EACH_LINK).values("interconnect")
    assert {key: value for key, value in values.items() if key[0] == "interconnect_bytes_total"} == {
        ("interconnect_bytes_total", "nvlink", "transmit", "0"): 5 * 1024,
        ("interconnect_bytes_total", "nvlink", "transmit", "1"): 6 * 1024,
        ("interconnect_bytes_total", "nvlink", "receive", "0"): 7 * 1024,
        ("interconnect_bytes_total", "nvlink", "receive", "1"): 8 * 1024,
    }
    assert {key: value for key, value in values.items() if key[0] == "interconnect_errors_total"} == {
        ("interconnect_errors_total", "nvlink", "replay", "0"): 1,
        ("interconnect_errors_total", "nvlink", "replay", "1"): 2,
        ("interconnect_errors_total", "nvlink", "recovery", "0"): 3,
        ("interconnect_errors_total", "nvlink", "recovery", "1"): 4,
        ("interconnect_errors_total", "nvlink", "crc", "0"): 8,
        ("interconnect_errors_total", "nvlink", "crc", "1"): 9,
    }


@pytest.mark.parametrize(
    ("state", "status", "told"),
    [(1, 0, "not_started"), (2, 0, "in_progress"), (3, 0, "completed"), (3, 999, "failed")],
)
def test_the_fabric_is_in_one_state(state: int, status: int, told: str) -> None:
    values = Bench(fabric(state, status)).values("fabric_status")
    assert [key[2] for key, value in values.items() if value] == [told]
    assert len(values) == 5


def fabric(state: int, status: int = 0, newest: int = 3) -> FakeGpu:
    """A GPU in a fabric, under a driver that knows the structure up to a version."""
    gpu = FakeGpu()

    def answer(reference: object) -> int:
        info = reference._obj  # type: ignore[attr-defined]  # what ctypes.byref points to
        if info.version >> 24 > newest:
            raise pynvml.NVMLError(ARGUMENT_VERSION_MISMATCH)
        info.state, info.status = state, status
        return 0

    gpu.answers["nvmlDeviceGetGpuFabricInfoV"] = answer
    return gpu


def test_a_device_outside_any_fabric_has_no_status() -> None:
    bench = Bench(fabric(0))
    assert bench.values("fabric_status") == {}
    assert catalog.FABRIC_STATUS in {gap.metric for gap in bench.runner.unsupported()}


def test_an_older_driver_is_asked_by_the_older_structure() -> None:
    values = Bench(fabric(3, newest=2)).values("fabric_status")
    assert values["fabric_status", "nvlink", "completed"] == 1


def test_pcie_bytes_of_32_bits_are_refused() -> None:
    gpu = FakeGpu()
    gpu.fields[197, 0] = (5, UINT, 0)
    bench = Bench(gpu)
    assert bench.values("pcie_bytes") == {("pcie_bytes_total", "receive"): 6000}


def test_pcie_throughput_blocks_and_is_asked_only_on_request() -> None:
    gpu = FakeGpu()
    assert Bench(gpu).values("pcie_throughput") == {}
    assert gpu.calls["nvmlDeviceGetPcieThroughput"] == 0
    assert Bench(gpu, Wishes(pcie_throughput=True)).values("pcie_throughput") == {
        ("pcie_throughput_bytes_per_second", "transmit"): 800_000,
        ("pcie_throughput_bytes_per_second", "receive"): 900_000,
    }


def sample(value: float, direction: str = "receive", uuid: str = "GPU-0") -> Sample:
    return Sample(catalog.PCIE_BYTES, uuid, value, labels=(direction,))


def test_a_byte_counter_that_falls_wraps_and_both_directions_are_withdrawn_for_good() -> None:
    rising = RisingCounters()
    assert rising.drop_wrapped([sample(9, "transmit"), sample(5), sample(1, uuid="GPU-1")]) != []
    assert list(rising.unsupported()) == []
    after = rising.drop_wrapped([sample(10, "transmit"), sample(4), sample(2, uuid="GPU-1")])
    assert after == [sample(2, uuid="GPU-1")]
    assert rising.drop_wrapped([sample(100), sample(100, "transmit")]) == []
    assert [(gap.metric, gap.device_uuid) for gap in rising.unsupported()] == [(catalog.PCIE_BYTES, "GPU-0")]


def test_other_samples_may_fall() -> None:
    power = Sample(catalog.POWER, "GPU-0", 1)
    rising = RisingCounters()
    rising.drop_wrapped([Sample(catalog.POWER, "GPU-0", 2)])
    assert rising.drop_wrapped([power]) == [power]
