"""Pairs of GPM samples and their metrics. The library refuses pairs in the wrong order or too close together."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from collectors import catalog
from collectors.contract import CollectorError, SubjectKey, UnavailableError, UnsupportedError
from collectors.metric import Cadence
from collectors.nvidia.activity import CYCLE_ITEMS, DEVICE_ITEMS, Activity
from collectors.nvidia.errors import InvalidArgumentError, NoDataError
from collectors.nvidia.gpm import Gpm, GpmSample, Sampler
from collectors.nvidia.nvml import Handle, Nvml, QueryRunner
from collectors.query_runner import QueryResult
from tests.doubles.nvidia_device import mig_device
from tests.doubles.nvml import NvmlState, h100
from tests.doubles.nvml_loaded import open_nvml
from tests.native.nvml_calls import CALLS
from tests.native.nvml_state import GpmManner

INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, GPU_IS_LOST, UNKNOWN = 2, 3, 4, 15, 999
UUID = "GPU-0"
CYCLES = [int(str(item.key)) for item in CYCLE_ITEMS]
EVERY_CADENCE = frozenset(Cadence)
SUPPORT, SAMPLE, METRICS = "nvmlGpmQueryDeviceSupport", "nvmlGpmSampleGet", "nvmlGpmMetricsGet"


class Bench:
    """A card with activity counters and cycles, and a clock that the test controls."""

    def __init__(self, state: NvmlState) -> None:
        state.devices = [h100(0)]
        self.state = state
        self.card = state.devices[0]
        self.card.set_gpm(dict.fromkeys(CYCLES, 0.0))
        self.now = 1000.0
        self.library: Nvml = open_nvml()
        self.handle: Handle = self.library.device(0)
        self.gpm = Gpm(self.library, lambda: self.now)
        self.activity = Activity(self.gpm)
        self.runner = QueryRunner(self.library)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.state.pass_time(seconds)

    def sample(self, take: Sampler | None = None, uuid: str = UUID) -> bool:
        """Take a sample; returns whether there are two samples to compare."""
        try:
            self.gpm.sample(uuid, take or self.gpm.of_device(self.handle))
        except NoDataError:
            return False
        return True

    def sample_twice(self, apart: float = 1.0) -> bool:
        assert not self.sample()
        self.pass_time(apart)
        return self.sample()

    def metrics(self, *ids: int) -> list[float | type[CollectorError]]:
        return [type(each) if isinstance(each, CollectorError) else each for each in self.gpm.metrics(UUID, ids)]

    def query(self, *due: Cadence) -> QueryResult:
        """The activity of the device, queried as in a session."""
        queries = self.activity.of_device(UUID)
        return self.runner.run(SubjectKey(UUID), self.handle, queries, frozenset(due) or EVERY_CADENCE)

    def calls(self) -> Counter[str]:
        return Counter({call: self.state.calls(call) for call in CALLS if "Gpm" in call})

    @property
    def allocated(self) -> int:
        return self.state.calls("nvmlGpmSampleAlloc") - self.state.calls("nvmlGpmSampleFree")


@pytest.fixture
def bench(nvml: NvmlState) -> Bench:
    return Bench(nvml)


def stems(result: QueryResult) -> set[str]:
    return {sample.metric.stem for sample in result.samples}


# Pairs


def test_the_two_buffers_of_a_pair_alternate(bench: Bench) -> None:
    assert bench.sample_twice()
    for percent in (10.0, 20.0, 30.0):
        bench.card.set_gpm({1: percent})
        bench.pass_time(1)
        assert bench.sample()
        assert bench.metrics(1) == [percent]
    assert bench.allocated == 2


@pytest.mark.parametrize(("apart", "taken"), [(0.0999, 1), (0.1001, 2)])
def test_samples_are_at_least_a_tenth_of_a_second_apart(bench: Bench, apart: float, taken: int) -> None:
    assert bench.sample_twice(apart) is (taken == 2)
    assert bench.state.calls(SAMPLE) == taken


def test_the_tenth_of_a_second_begins_when_the_sample_is_complete(bench: Bench) -> None:
    def slow(sample: GpmSample) -> None:
        bench.gpm.of_device(bench.handle)(sample)
        bench.pass_time(0.08)

    assert not bench.sample(slow)
    bench.pass_time(0.05)  # 0.13 s after the call began, 0.05 s after the library sampled the device
    assert not bench.sample(slow)
    assert bench.state.calls(SAMPLE) == 1


def test_a_poll_that_is_too_early_reports_the_last_pair_again(bench: Bench) -> None:
    bench.card.set_gpm({1: 42.0})
    assert bench.sample_twice()
    bench.pass_time(0.05)
    assert bench.sample()
    assert bench.metrics(1) == [42.0]
    assert bench.state.calls(SAMPLE) == 2


def test_a_new_pair_begins_after_a_gap(bench: Bench) -> None:
    assert bench.sample_twice()
    bench.pass_time(60)
    assert not bench.sample()
    with pytest.raises(NoDataError):
        bench.metrics(1)
    bench.pass_time(1)
    assert bench.sample()
    assert bench.metrics(1) == [0.0]
    assert bench.allocated == 2


def test_polls_a_minute_apart_report_activity(bench: Bench) -> None:
    """A minute is the longest interval that can be configured."""
    assert not bench.sample_twice(apart=60)
    for _ in range(2):
        bench.pass_time(60)
        assert bench.sample()
        assert bench.metrics(1) == [0.0]


def test_a_failed_sample_ends_the_pair_without_a_leak(bench: Bench) -> None:
    assert bench.sample_twice()
    bench.state.fail(SAMPLE, UNKNOWN)
    bench.pass_time(1)
    with pytest.raises(UnavailableError):
        bench.sample()
    with pytest.raises(NoDataError):
        bench.metrics(1)
    bench.state.heal()
    bench.pass_time(1)
    assert bench.sample()
    assert bench.metrics(1) == [0.0]
    assert bench.allocated == 2


def test_mig_samples_are_of_one_gpu_instance(bench: Bench) -> None:
    bench.card.set_gpm({1: 10.0})
    bench.card.partition([mig_device(5), mig_device(6)])
    bench.card.mig[0].set_gpm({1: 50.0})
    bench.card.mig[1].set_gpm({1: 60.0})
    take = bench.gpm.of_gpu_instance(bench.handle, 5)
    assert not bench.sample(take)
    bench.pass_time(1)
    assert bench.sample(take)
    assert bench.metrics(1) == [50.0]


# Buffers


def test_buffers_of_removed_subjects_are_freed(bench: Bench) -> None:
    bench.card.partition([mig_device(5)])
    assert bench.sample_twice()
    assert not bench.sample(bench.gpm.of_gpu_instance(bench.handle, 5), "MIG-0")
    assert bench.allocated == 3
    bench.gpm.keep(["MIG-0"])
    assert bench.allocated == 1
    bench.gpm.close()
    bench.gpm.close()
    assert bench.allocated == 0
    assert bench.state.calls("nvmlGpmSampleFree") == 3


@pytest.mark.parametrize("code", [1, 9, GPU_IS_LOST])
def test_closing_tries_to_free_every_buffer_after_an_error(bench: Bench, code: int) -> None:
    bench.sample_twice()
    bench.state.fail("nvmlGpmSampleFree", code)
    bench.gpm.close()
    assert bench.state.calls("nvmlGpmSampleFree") == 2


# Metrics


def test_an_unwritten_metric_does_not_get_the_value_of_an_earlier_one(bench: Bench) -> None:
    bench.card.set_gpm({1: 95.0})
    bench.card.set_gpm({248: 0.0}, manner=GpmManner.LEAVE_ALONE)
    bench.sample_twice()
    assert bench.metrics(1) == [95.0]
    assert bench.metrics(248) == [UnsupportedError]


def test_a_metric_refused_as_invalid_argument_is_unsupported(bench: Bench) -> None:
    bench.card.set_gpm({248: 0.0}, code=INVALID_ARGUMENT)
    bench.sample_twice()
    assert bench.metrics(1, 248) == [0.0, UnsupportedError]


def test_a_refused_call_is_unsupported_if_its_samples_worked_before(bench: Bench) -> None:
    bench.card.set_gpm({248: 0.0}, INVALID_ARGUMENT, GpmManner.REFUSE_CALL)
    bench.sample_twice()
    assert bench.metrics(1) == [0.0]
    with pytest.raises(UnsupportedError):
        bench.metrics(248)


def test_a_refused_first_call_may_be_an_error_of_its_samples(bench: Bench) -> None:
    bench.sample_twice()
    assert bench.metrics(1) == [0.0]
    bench.pass_time(1)
    bench.sample()
    bench.state.fail(METRICS, INVALID_ARGUMENT)
    with pytest.raises(InvalidArgumentError):
        bench.metrics(1)


def test_nan_is_an_invalid_value(bench: Bench) -> None:
    bench.card.set_gpm({1: math.nan, 2: 0.0})
    bench.sample_twice()
    first, second = bench.gpm.metrics(UUID, [1, 2])
    assert isinstance(first, UnavailableError)
    assert (first.reason, second) == ("invalid_value", 0.0)


# Queries of a device


def test_a_fast_poll_takes_one_sample_and_one_query_and_a_slower_one_two_queries(bench: Bench) -> None:
    bench.query()
    before = bench.calls()
    bench.pass_time(1)
    bench.query(Cadence.FAST)
    assert bench.calls() - before == {"nvmlGpmSampleAlloc": 1, SAMPLE: 1, METRICS: 1}
    before = bench.calls()
    bench.pass_time(1)
    bench.query(Cadence.FAST, Cadence.MEDIUM)
    assert bench.calls() - before == {SAMPLE: 1, METRICS: 2}


@pytest.mark.parametrize("code", [INVALID_ARGUMENT, NOT_SUPPORTED])
@pytest.mark.parametrize("manner", [GpmManner.ANSWER, GpmManner.REFUSE_CALL])
def test_a_driver_without_cycles_is_queried_for_them_once_and_reports_the_rest(
    bench: Bench, manner: GpmManner, code: int
) -> None:
    bench.card.set_gpm(dict.fromkeys(CYCLES, 0.0), code, manner)
    bench.query()
    bench.pass_time(1)
    result = bench.query()
    assert stems(result) == {row.stem for item in DEVICE_ITEMS[1:] for row in item.rows}
    assert result.faults == []
    calls = bench.state.calls(METRICS)
    bench.pass_time(1)
    assert bench.query().faults == []
    assert bench.state.calls(METRICS) == calls + 1


def has_activity(results: Sequence[QueryResult]) -> list[bool]:
    """Whether each result has activity and cycles."""
    return [{catalog.PIPE_ACTIVITY.stem, catalog.PIPE_ACTIVE_CYCLES.stem} <= stems(each) for each in results]


def polls(bench: Bench, after: Callable[[], None]) -> list[QueryResult]:
    """The results of three polls, a second apart, with an action after each."""
    results = []
    for _ in range(3):
        results.append(bench.query())
        after()
        bench.pass_time(1)
    return results


def test_a_temporary_failure_of_the_support_query_has_no_lasting_effect(bench: Bench) -> None:
    bench.state.fail(SUPPORT, UNKNOWN)
    results = polls(bench, bench.state.heal)
    assert [len(each.faults) for each in results] == [1, 0, 0]
    assert has_activity(results) == [False, False, True]


@pytest.mark.parametrize(
    ("call", "code"), [(SUPPORT, NO_PERMISSION), (SUPPORT, NOT_SUPPORTED), (SAMPLE, NOT_SUPPORTED)]
)
def test_without_gpm_cycles_are_unsupported_too_and_the_call_is_made_once(bench: Bench, call: str, code: int) -> None:
    bench.state.fail(call, code)
    polls(bench, lambda: None)
    assert bench.state.calls(call) == 1
    gaps = {gap.metric: gap.detail for gap in bench.runner.unsupported()}
    assert gaps[catalog.PIPE_ACTIVE_CYCLES] == gaps[catalog.PIPE_ACTIVITY]
    assert call in gaps[catalog.PIPE_ACTIVE_CYCLES]


def test_unsupported_activity_is_queried_again_after_forget(bench: Bench) -> None:
    """A device is forgotten, for example, when it leaves MIG mode."""
    bench.state.fail(SAMPLE, NOT_SUPPORTED)

    def forget() -> None:
        bench.runner.forget(UUID)
        bench.state.heal()

    assert has_activity(polls(bench, forget)) == [False, False, True]


def test_no_pair_spans_a_time_when_a_gpu_instance_was_shared(bench: Bench) -> None:
    bench.card.partition([mig_device(5)])
    bench.card.mig[0].set_gpm({2: 10.0})
    reported = []
    for whole in (True, True, False, True, True):
        queries = bench.activity.of_partition("MIG-0", bench.handle, 5, whole=whole)
        result = QueryRunner(bench.library).run(SubjectKey(UUID, "MIG-0"), bench.handle, queries, EVERY_CADENCE)
        reported.append(catalog.PIPE_ACTIVITY.stem in stems(result))
        bench.pass_time(1)
    assert reported == [False, True, False, False, True]
