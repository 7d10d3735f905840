"""The thread that queries the kubelet: what it publishes and logs, with a scripted client."""

import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterator

import pytest

from exporter.attribution.holding import ClaimDevice, Holding, PodResourcesList
from exporter.attribution.podresources import KubeletError, SocketAbsentError
from exporter.attribution.watcher import AttributionState, KubeletWatcher

PATIENT_SECONDS = 15.0
LONG = 3600.0

HOLDING = Holding("ml", "a", "main", "nvidia.com/gpu", "GPU-1", "device_plugin")
ANSWER = PodResourcesList(frozenset({("ml", "a")}), (HOLDING,))
NOTHING = PodResourcesList(frozenset(), ())


class ScriptedKubelet:
    """Returns the next of the given results at each call; if there is none, blocks until it is closed."""

    def __init__(self) -> None:
        self.connections = 1
        self.results: queue.SimpleQueue[PodResourcesList | Exception] = queue.SimpleQueue()
        self.called = threading.Event()
        self.closed = False

    def list(self) -> PodResourcesList:
        self.called.set()
        result = self.results.get(timeout=PATIENT_SECONDS)
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        self.closed = True
        self.results.put(KubeletError("closed"))


class States:
    """Every state published, in order."""

    def __init__(self) -> None:
        self._states: queue.SimpleQueue[AttributionState] = queue.SimpleQueue()
        self.publish = self._states.put

    def next(self) -> AttributionState:
        return self._states.get(timeout=PATIENT_SECONDS)

    def until(self, condition: Callable[[AttributionState], bool]) -> AttributionState:
        while not condition(state := self.next()):
            pass
        return state

    @property
    def empty(self) -> bool:
        return self._states.empty()


@pytest.fixture
def kubelet() -> ScriptedKubelet:
    return ScriptedKubelet()


@pytest.fixture
def states() -> States:
    return States()


Watch = Callable[..., KubeletWatcher]


@pytest.fixture
def watch(kubelet: ScriptedKubelet, states: States) -> Iterator[Watch]:
    watchers: list[KubeletWatcher] = []

    def make(interval_seconds: float = 0.01, hold_seconds: float = LONG) -> KubeletWatcher:
        watcher = KubeletWatcher(
            kubelet,
            interval_seconds=interval_seconds,
            hold_seconds=hold_seconds,
            publish=states.publish,
            wall=lambda: 1_700_000_000.0,
        )
        watchers.append(watcher)
        watcher.start()
        return watcher

    yield make
    for watcher in watchers:
        watcher.stop()


class TestPublished:
    def test_an_answer_is_published_with_its_time(self, watch: Watch, kubelet: ScriptedKubelet, states: States) -> None:
        kubelet.results.put(ANSWER)
        watch()
        assert states.next() == AttributionState(
            (HOLDING,), up=True, last_success_timestamp_seconds=1_700_000_000.0, answers=1
        )

    def test_each_answer_is_published_also_if_it_is_the_same_again(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        watch()
        for number in (1, 2, 3):
            kubelet.results.put(ANSWER)
            assert states.next().answers == number

    def test_nothing_is_published_before_the_first_call_ends(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        watch()
        assert kubelet.called.wait(PATIENT_SECONDS)
        assert states.empty

    def test_a_failure_from_the_start_is_published_as_unknown(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        kubelet.results.put(SocketAbsentError("no socket"))
        watch()
        assert states.next() == AttributionState(None, up=False, last_success_timestamp_seconds=None)

    def test_a_failure_keeps_the_map_and_is_down_until_the_next_success(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        kubelet.results.put(ANSWER)
        kubelet.results.put(KubeletError("down"))
        kubelet.results.put(NOTHING)
        watch()
        assert [(state.holdings, state.up) for state in (states.next(), states.next(), states.next())] == [
            ((HOLDING,), True),
            ((HOLDING,), False),
            ((), True),
        ]

    def test_a_bug_in_the_client_is_a_failure_and_does_not_end_the_watcher(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        kubelet.results.put(ZeroDivisionError("a bug"))
        kubelet.results.put(ANSWER)
        watch()
        assert states.next().up is False
        assert states.next().up is True

    def test_the_map_expires_also_while_a_call_hangs(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        kubelet.results.put(ANSWER)
        watch(hold_seconds=0.2)
        assert states.next().holdings == (HOLDING,)
        ended = states.next()
        assert ended.holdings is None
        assert ended.last_success_timestamp_seconds == 1_700_000_000.0

    def test_a_nearly_empty_answer_over_a_new_connection_keeps_the_map(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        kubelet.results.put(ANSWER)
        watch()
        assert states.next().holdings == (HOLDING,)
        kubelet.connections = 2
        kubelet.results.put(KubeletError("down"))
        kubelet.results.put(NOTHING)
        recovered = states.until(lambda state: not state.up), states.until(lambda state: state.up)
        assert [state.holdings for state in recovered] == [(HOLDING,), (HOLDING,)]

    def test_a_suspect_map_ends_with_time(self, watch: Watch, kubelet: ScriptedKubelet, states: States) -> None:
        kubelet.results.put(ANSWER)
        watch(hold_seconds=1.0)
        assert states.next().holdings == (HOLDING,)
        kubelet.connections = 2
        for _ in range(2000):  # more than fit into the hold time: the suspect state ends while answers continue
            kubelet.results.put(NOTHING)
        assert states.until(lambda state: state.holdings != (HOLDING,)).holdings == ()


class HurriedStop(threading.Event):
    """Records the timeouts, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return super().wait(0)


class TestPauses:
    def test_they_double_up_to_five_seconds_and_restart_after_an_answer(
        self, kubelet: ScriptedKubelet, states: States
    ) -> None:
        failures: list[PodResourcesList | Exception] = [KubeletError("down")] * 7
        for result in (*failures, ANSWER, KubeletError("down"), NOTHING):
            kubelet.results.put(result)
        watcher = KubeletWatcher(kubelet, interval_seconds=7.0, hold_seconds=LONG, publish=states.publish)
        stop = HurriedStop()
        watcher._stop = stop
        watcher.start()
        states.until(lambda state: state.holdings == ())
        watcher.stop()
        assert stop.pauses[:9] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 7.0, 0.2]


class TestStop:
    def test_ends_both_threads_during_a_call_and_publishes_no_more(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        watcher = watch()
        assert kubelet.called.wait(PATIENT_SECONDS)
        watcher.stop()
        watcher.stop()
        assert kubelet.closed
        assert not {"kubelet-calls", "kubelet-map"} & {thread.name for thread in threading.enumerate()}
        assert states.empty

    def test_ends_a_pause(self, watch: Watch, kubelet: ScriptedKubelet, states: States) -> None:
        kubelet.results.put(ANSWER)
        watcher = watch(interval_seconds=LONG)
        states.next()
        watcher.stop()
        assert not {"kubelet-calls", "kubelet-map"} & {thread.name for thread in threading.enumerate()}

    def test_is_safe_before_start(self, kubelet: ScriptedKubelet, states: States) -> None:
        KubeletWatcher(kubelet, interval_seconds=1, hold_seconds=1, publish=states.publish).stop()
        assert kubelet.closed


END = PodResourcesList(
    frozenset({("end", "of"), ("the", "script")}), (Holding("end", "of", "c", "r", "END", "device_plugin"),)
)
UP = ("INFO", "kubelet connected: pods 1, allocated device ids 1")
UP_AT_THE_END = ("INFO", "kubelet connected: pods 2, allocated device ids 1")


class TestLog:
    @pytest.mark.parametrize(
        ("results", "lines"),
        [
            pytest.param([ANSWER, ANSWER], [UP], id="one line for success"),
            pytest.param(
                [SocketAbsentError("no socket at x: mount it")] * 3,
                [("INFO", "no pod information, device metrics only: no socket at x: mount it"), UP_AT_THE_END],
                id="no socket from the start is not a warning",
            ),
            pytest.param(
                [ANSWER, KubeletError("refused: why"), SocketAbsentError("no socket"), KubeletError("late"), ANSWER],
                [UP, ("ERROR", "kubelet unavailable: refused: why"), UP],
                id="one line for each end of an outage",
            ),
            pytest.param(
                [SocketAbsentError("no socket"), KubeletError("permission denied"), SocketAbsentError("no socket")],
                [
                    ("INFO", "no pod information, device metrics only: no socket"),
                    ("ERROR", "kubelet unavailable: permission denied"),
                    UP_AT_THE_END,
                ],
                id="a socket that appears and fails is logged",
            ),
            pytest.param(
                [ANSWER, SocketAbsentError("no socket")],
                [UP, ("ERROR", "kubelet unavailable: no socket"), UP_AT_THE_END],
                id="a socket that disappears is logged",
            ),
        ],
    )
    def test_one_line_for_each_change(
        self,
        watch: Watch,
        kubelet: ScriptedKubelet,
        states: States,
        caplog: pytest.LogCaptureFixture,
        results: list[PodResourcesList | Exception],
        lines: list[tuple[str, str]],
    ) -> None:
        caplog.set_level(logging.INFO)
        for result in (*results, END):
            kubelet.results.put(result)
        watch()
        states.until(lambda state: state.up and state.holdings == END.holdings)
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == lines
        assert all(record.exc_info is None for record in caplog.records)

    def test_only_a_bug_has_a_traceback(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States, caplog: pytest.LogCaptureFixture
    ) -> None:
        kubelet.results.put(ZeroDivisionError("a bug"))
        watch()
        states.next()
        assert [record.getMessage() for record in caplog.records] == ["kubelet unavailable: a bug"]
        assert caplog.records[0].exc_info is not None


CLAIMED = ClaimDevice("ml", "a", "gpu.nvidia.com", "worker-1", "gpu-0")


class TestSuccessor:
    """A watcher with other settings, which replaces one that is stopped."""

    @staticmethod
    def stopped(watch: Watch, kubelet: ScriptedKubelet, states: States) -> KubeletWatcher:
        """A watcher that was stopped after an answer."""
        kubelet.results.put(ANSWER)
        first = watch(interval_seconds=LONG)
        assert states.next().holdings == (HOLDING,)
        first.stop()
        return first

    def test_it_uses_the_map_until_its_first_answer(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        kubelet.results.put(PodResourcesList(ANSWER.pods, ANSWER.holdings, (CLAIMED,)))
        first = watch(interval_seconds=LONG)
        assert states.next().claim_devices == (CLAIMED,)
        first.stop()
        other = ScriptedKubelet()
        for result in (SocketAbsentError("no socket"), KubeletError("down"), PodResourcesList(ANSWER.pods, ())):
            other.results.put(result)
        second = first.successor(other, interval_seconds=0.01, hold_seconds=LONG)
        second.start()
        try:
            failed = states.next()
            assert (failed.holdings, failed.claim_devices, failed.up) == ((HOLDING,), (CLAIMED,), False)
            answered = states.next()
            assert (answered.holdings, answered.claim_devices, answered.up) == ((), (), True)
        finally:
            second.stop()

    def test_its_first_answer_may_be_of_a_kubelet_that_has_just_restarted(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        first = self.stopped(watch, kubelet, states)
        other = ScriptedKubelet()
        for result in (NOTHING, ANSWER, PodResourcesList(ANSWER.pods, ())):
            other.results.put(result)
        second = first.successor(other, interval_seconds=0.01, hold_seconds=LONG)
        second.start()
        try:
            published: list[Collection[Holding] | None] = []
            while not published or published[-1]:
                published.append(states.next().holdings)
            assert set(published[:-1]) <= {(HOLDING,)}  # the empty answer was not used
        finally:
            second.stop()

    def test_its_hold_time_applies_to_the_map_also_while_its_first_call_hangs(
        self, watch: Watch, kubelet: ScriptedKubelet, states: States
    ) -> None:
        first = self.stopped(watch, kubelet, states)
        second = first.successor(ScriptedKubelet(), interval_seconds=1.0, hold_seconds=0.2)
        second.start()
        try:
            assert states.next().holdings is None
        finally:
            second.stop()
