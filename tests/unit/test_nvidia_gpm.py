"""Pairs of GPM samples, and what is asked of them: the border over a binding that answers as it is told to."""

import ctypes
import math
from collections.abc import Callable, Sequence

import pynvml
import pytest

from collectors import catalog
from collectors.contract import CollectorError, SubjectKey, UnavailableError, UnsupportedError
from collectors.metric import Cadence
from collectors.nvidia.activity import CYCLE_ITEMS, DEVICE_ITEMS, Activity
from collectors.nvidia.errors import InvalidArgumentError, NoDataError
from collectors.nvidia.gpm import Gpm
from collectors.nvidia.nvml import Handle, Nvml, QueryRunner
from collectors.query_runner import QueryResult
from tests.doubles.nvml_binding import FakeBinding

INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, GPU_IS_LOST, UNKNOWN = 2, 3, 4, 15, 999
UUID = "GPU-0"
HANDLE = Handle("the device")
CYCLES = frozenset(part.key for part in CYCLE_ITEMS)
EVERY_CADENCE = frozenset(Cadence)


class Clock:
    """Monotonic seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class GpmBinding(FakeBinding):
    """A binding with GPM, whose samples are numbered in the order in which they were allocated."""

    def __init__(self, clock: Clock) -> None:
        super().__init__([])
        self.clock = clock
        self.values: dict[int, float] = {}
        self.unknown: dict[int, int] = {}  # metric to the code of its own with which it is refused
        self.untouched: set[int] = set()  # metrics whose entries are left as they are
        self.refusing: dict[int, int] = {}  # metric to the code with which a call that has it is refused
        self.take_seconds = 0.0
        self.allocated: list[int] = []
        self.taken: list[tuple[object, ...]] = []
        self.pairs: list[tuple[int, int]] = []

    def nvmlGpmQueryDeviceSupport(self, _: object) -> pynvml.c_nvmlGpmSupport_t:  # noqa: N802 - the binding's name
        self._enter("nvmlGpmQueryDeviceSupport")
        return pynvml.c_nvmlGpmSupport_t(1, 1)

    def nvmlGpmSampleAlloc(self) -> object:  # noqa: N802 - the binding's name
        self._enter("nvmlGpmSampleAlloc")
        self.allocated.append(self.calls["nvmlGpmSampleAlloc"])
        return ctypes.cast(self.allocated[-1], pynvml.c_nvmlGpmSample_t)

    def nvmlGpmSampleFree(self, sample: object) -> None:  # noqa: N802 - the binding's name
        self._enter("nvmlGpmSampleFree")
        self.allocated.remove(_number(sample))

    def nvmlGpmSampleGet(self, *subject_and_sample: object) -> None:  # noqa: N802 - the binding's name
        self._take("nvmlGpmSampleGet", *subject_and_sample)

    def nvmlGpmMigSampleGet(self, *subject_and_sample: object) -> None:  # noqa: N802 - the binding's name
        self._take("nvmlGpmMigSampleGet", *subject_and_sample)

    def nvmlGpmMetricsGet(self, question: pynvml.c_nvmlGpmMetricsGet_t) -> None:  # noqa: N802 - the binding's name
        self._enter("nvmlGpmMetricsGet")
        asked = [question.metrics[place] for place in range(question.numMetrics)]
        for metric in asked:
            if metric.metricId in self.refusing:
                raise pynvml.NVMLError(self.refusing[metric.metricId])
        self.pairs.append((_number(question.sample1), _number(question.sample2)))
        for metric in asked:
            if metric.metricId not in self.untouched:
                metric.nvmlReturn = self.unknown.get(metric.metricId, 0)
                metric.value = self.values.get(metric.metricId, 0.0)

    def _take(self, call: str, *subject_and_sample: object) -> None:
        self._enter(call)
        *subject, sample = subject_and_sample
        self.taken.append((*subject, _number(sample)))
        self.clock.now += self.take_seconds

    def _enter(self, call: str) -> None:
        self.calls[call] += 1
        error = self.errors.get(call)
        if error is not None:
            raise error if isinstance(error, Exception) else pynvml.NVMLError(error)


def _number(sample: object) -> int:
    return ctypes.cast(sample, ctypes.c_void_p).value or 0  # type: ignore[arg-type]  # the binding's pointers are untyped


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def binding(clock: Clock) -> GpmBinding:
    return GpmBinding(clock)


@pytest.fixture
def gpm(binding: GpmBinding, clock: Clock) -> Gpm:
    return Gpm(Nvml(binding), clock)


@pytest.fixture
def ask(binding: GpmBinding, gpm: Gpm) -> Callable[..., QueryResult]:
    """Asks a device for its activity, as a session does."""
    runner, activity = QueryRunner(Nvml(binding)), Activity(gpm)

    def asked(*due: Cadence) -> QueryResult:
        return runner.run(SubjectKey(UUID), HANDLE, activity.of_device(UUID), frozenset(due) or EVERY_CADENCE)

    return asked


def sample_twice(gpm: Gpm, clock: Clock, apart: float = 1.0) -> None:
    take = gpm.of_device(HANDLE)
    with pytest.raises(NoDataError):
        gpm.sample(UUID, take)
    clock.now += apart
    gpm.sample(UUID, take)


def stems(findings: QueryResult) -> set[str]:
    return {sample.metric.stem for sample in findings.samples}


def values(results: Sequence[float | CollectorError]) -> list[float | type[CollectorError]]:
    return [type(each) if isinstance(each, CollectorError) else each for each in results]


# Pairs


def test_a_pair_is_older_then_newer_and_its_two_buffers_take_turns(gpm: Gpm, binding: GpmBinding, clock: Clock) -> None:
    sample_twice(gpm, clock)
    for _ in range(3):
        gpm.metrics(UUID, [1])
        clock.now += 1
        gpm.sample(UUID, gpm.of_device(HANDLE))
    assert binding.pairs == [(1, 2), (2, 1), (1, 2)]
    assert binding.allocated == [1, 2]


@pytest.mark.parametrize(("apart", "taken"), [(0.0999, 1), (0.1001, 2)])
def test_samples_are_taken_a_tenth_of_a_second_apart_or_not_at_all(
    gpm: Gpm, binding: GpmBinding, clock: Clock, apart: float, taken: int
) -> None:
    take = gpm.of_device(HANDLE)
    with pytest.raises(NoDataError):
        gpm.sample(UUID, take)
    clock.now += apart
    if taken == 1:
        with pytest.raises(NoDataError):
            gpm.sample(UUID, take)
    else:
        gpm.sample(UUID, take)
    assert len(binding.taken) == taken


def test_the_tenth_of_a_second_begins_when_a_sample_is_there(gpm: Gpm, binding: GpmBinding, clock: Clock) -> None:
    binding.take_seconds = 0.08
    take = gpm.of_device(HANDLE)
    with pytest.raises(NoDataError):
        gpm.sample(UUID, take)
    clock.now += 0.05  # 0.13 s after the call began, 0.05 s after the library looked at the device
    with pytest.raises(NoDataError):
        gpm.sample(UUID, take)
    assert len(binding.taken) == 1


def test_a_poll_that_comes_too_soon_tells_the_last_pair_again(gpm: Gpm, binding: GpmBinding, clock: Clock) -> None:
    binding.values = {1: 42.0}
    sample_twice(gpm, clock)
    clock.now += 0.05
    gpm.sample(UUID, gpm.of_device(HANDLE))
    assert gpm.metrics(UUID, [1]) == [42.0]
    assert len(binding.taken) == 2


def test_a_gap_seeds_anew(gpm: Gpm, binding: GpmBinding, clock: Clock) -> None:
    sample_twice(gpm, clock)
    clock.now += 60
    with pytest.raises(NoDataError):
        gpm.sample(UUID, gpm.of_device(HANDLE))
    with pytest.raises(NoDataError):
        gpm.metrics(UUID, [1])
    clock.now += 1
    gpm.sample(UUID, gpm.of_device(HANDLE))
    gpm.metrics(UUID, [1])
    assert binding.allocated == [1, 2]


def test_polls_that_are_a_minute_apart_tell_of_that_minute(gpm: Gpm, clock: Clock) -> None:
    """The longest interval that can be configured."""
    with pytest.raises(NoDataError):
        sample_twice(gpm, clock, apart=60)
    for _ in range(2):
        clock.now += 60
        gpm.sample(UUID, gpm.of_device(HANDLE))
        assert gpm.metrics(UUID, [1]) == [0.0]


def test_a_sample_that_fails_ends_the_pair_and_leaks_nothing(gpm: Gpm, binding: GpmBinding, clock: Clock) -> None:
    sample_twice(gpm, clock)
    binding.errors["nvmlGpmSampleGet"] = UNKNOWN
    clock.now += 1
    with pytest.raises(UnavailableError):
        gpm.sample(UUID, gpm.of_device(HANDLE))
    with pytest.raises(NoDataError):
        gpm.metrics(UUID, [1])
    binding.errors.clear()
    clock.now += 1
    gpm.sample(UUID, gpm.of_device(HANDLE))
    gpm.metrics(UUID, [1])
    assert binding.pairs == [(2, 1)]
    assert binding.allocated == [1, 2]


def test_mig_samples_name_the_parent_and_the_gpu_instance(gpm: Gpm, binding: GpmBinding) -> None:
    with pytest.raises(NoDataError):
        gpm.sample("MIG-0", gpm.of_gpu_instance(HANDLE, 5))
    assert binding.taken == [(HANDLE, 5, 1)]


# Buffers


def test_subjects_that_are_gone_give_their_buffers_back(gpm: Gpm, binding: GpmBinding, clock: Clock) -> None:
    sample_twice(gpm, clock)
    with pytest.raises(NoDataError):
        gpm.sample("MIG-0", gpm.of_gpu_instance(HANDLE, 5))
    gpm.keep(["MIG-0"])
    assert binding.allocated == [3]
    gpm.close()
    gpm.close()
    assert binding.allocated == []
    assert binding.calls["nvmlGpmSampleFree"] == 3


@pytest.mark.parametrize("code", [1, 9, GPU_IS_LOST])
def test_closing_after_the_driver_or_the_device_is_gone_tries_every_buffer(
    gpm: Gpm, binding: GpmBinding, clock: Clock, code: int
) -> None:
    sample_twice(gpm, clock)
    binding.errors["nvmlGpmSampleFree"] = code
    gpm.close()
    assert binding.calls["nvmlGpmSampleFree"] == 2


# Metrics


def test_a_metric_that_the_library_leaves_alone_is_not_the_one_asked_before(
    gpm: Gpm, binding: GpmBinding, clock: Clock
) -> None:
    binding.values = {1: 95.0}
    sample_twice(gpm, clock)
    assert gpm.metrics(UUID, [1]) == [95.0]
    binding.untouched = {248}
    assert values(gpm.metrics(UUID, [248])) == [UnsupportedError]


def test_a_metric_refused_as_a_wrong_argument_is_one_the_driver_does_not_know(
    gpm: Gpm, binding: GpmBinding, clock: Clock
) -> None:
    binding.unknown = {248: INVALID_ARGUMENT}
    sample_twice(gpm, clock)
    assert values(gpm.metrics(UUID, [1, 248])) == [0.0, UnsupportedError]


def test_a_call_refused_though_the_same_samples_served_another_is_about_its_metrics(
    gpm: Gpm, binding: GpmBinding, clock: Clock
) -> None:
    binding.refusing = {248: INVALID_ARGUMENT}
    sample_twice(gpm, clock)
    gpm.metrics(UUID, [1])
    with pytest.raises(UnsupportedError):
        gpm.metrics(UUID, [248])


def test_a_call_refused_at_first_may_be_about_its_samples(gpm: Gpm, binding: GpmBinding, clock: Clock) -> None:
    sample_twice(gpm, clock)
    gpm.metrics(UUID, [1])
    clock.now += 1
    gpm.sample(UUID, gpm.of_device(HANDLE))
    binding.errors["nvmlGpmMetricsGet"] = INVALID_ARGUMENT
    with pytest.raises(InvalidArgumentError):
        gpm.metrics(UUID, [1])


def test_a_value_that_is_no_number_is_refused(gpm: Gpm, binding: GpmBinding, clock: Clock) -> None:
    binding.values = {1: math.nan, 2: 0.0}
    sample_twice(gpm, clock)
    first, second = gpm.metrics(UUID, [1, 2])
    assert isinstance(first, UnavailableError)
    assert (first.reason, second) == ("invalid_value", 0.0)


# What is asked of a device


def test_a_poll_costs_one_sample_and_one_question_and_a_slower_one_another(
    ask: Callable[..., QueryResult], binding: GpmBinding, clock: Clock
) -> None:
    ask()
    before = binding.calls.copy()
    clock.now += 1
    ask(Cadence.FAST)
    assert binding.calls - before == {"nvmlGpmSampleAlloc": 1, "nvmlGpmSampleGet": 1, "nvmlGpmMetricsGet": 1}
    before = binding.calls.copy()
    clock.now += 1
    ask(Cadence.FAST, Cadence.MEDIUM)
    assert binding.calls - before == {"nvmlGpmSampleGet": 1, "nvmlGpmMetricsGet": 2}


@pytest.mark.parametrize("code", [INVALID_ARGUMENT, NOT_SUPPORTED])
@pytest.mark.parametrize("manner", ["unknown", "refusing"])
def test_a_driver_without_the_cycles_is_asked_for_them_once_and_tells_all_else(
    ask: Callable[..., QueryResult], binding: GpmBinding, clock: Clock, manner: str, code: int
) -> None:
    setattr(binding, manner, dict.fromkeys(CYCLES, code))
    ask()
    clock.now += 1
    findings = ask()
    assert stems(findings) == {row.stem for part in DEVICE_ITEMS[1:] for row in part.rows}
    assert findings.faults == []
    asked = binding.calls["nvmlGpmMetricsGet"]
    clock.now += 1
    assert ask().faults == []
    assert binding.calls["nvmlGpmMetricsGet"] == asked + 1


def test_a_passing_failure_to_tell_whether_there_is_gpm_costs_nothing_later(
    ask: Callable[..., QueryResult], binding: GpmBinding, clock: Clock
) -> None:
    binding.errors["nvmlGpmQueryDeviceSupport"] = UNKNOWN
    assert len(ask().faults) == 1
    binding.errors.clear()
    for _ in range(2):
        clock.now += 1
        findings = ask()
    assert {catalog.PIPE_ACTIVITY.stem, catalog.PIPE_ACTIVE_CYCLES.stem} <= stems(findings)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("nvmlGpmQueryDeviceSupport", NO_PERMISSION),
        ("nvmlGpmQueryDeviceSupport", NOT_SUPPORTED),
        ("nvmlGpmSampleGet", NOT_SUPPORTED),
    ],
)
def test_whatever_rules_gpm_out_rules_the_cycles_out_and_is_asked_once(
    binding: GpmBinding, gpm: Gpm, clock: Clock, call: str, code: int
) -> None:
    binding.errors[call] = code
    runner, activity = QueryRunner(Nvml(binding)), Activity(gpm)
    for _ in range(3):
        runner.run(SubjectKey(UUID), HANDLE, activity.of_device(UUID), EVERY_CADENCE)
        clock.now += 1
    assert binding.calls[call] == 1
    reasons = {gap.metric: gap.detail for gap in runner.unsupported()}
    assert reasons[catalog.PIPE_ACTIVE_CYCLES] == reasons[catalog.PIPE_ACTIVITY]
    assert call in reasons[catalog.PIPE_ACTIVE_CYCLES]


def test_what_was_ruled_out_is_tried_again_once_it_is_forgotten(binding: GpmBinding, gpm: Gpm, clock: Clock) -> None:
    """As when a device leaves MIG mode."""
    binding.errors["nvmlGpmSampleGet"] = NOT_SUPPORTED
    runner, activity = QueryRunner(Nvml(binding)), Activity(gpm)
    for _ in range(3):
        findings = runner.run(SubjectKey(UUID), HANDLE, activity.of_device(UUID), EVERY_CADENCE)
        runner.forget(UUID)
        binding.errors.clear()
        clock.now += 1
    assert {catalog.PIPE_ACTIVITY.stem, catalog.PIPE_ACTIVE_CYCLES.stem} <= stems(findings)


def test_no_pair_spans_the_time_in_which_a_gpu_instance_was_shared(binding: GpmBinding, gpm: Gpm, clock: Clock) -> None:
    activity, subject = Activity(gpm), SubjectKey(UUID, "MIG-0")
    told = []
    for whole in (True, True, False, True, True):
        questions = activity.of_partition("MIG-0", HANDLE, 5, whole=whole)
        findings = QueryRunner(Nvml(binding)).run(subject, HANDLE, questions, EVERY_CADENCE)
        told.append(catalog.PIPE_ACTIVITY.stem in stems(findings))
        clock.now += 1
    assert told == [False, True, False, False, True]
