import time

from collectors.contract import Reading
from exporter.poller import CallEnded, Poller, PollerEvent
from tests.doubles.collectors import BOUND_SECONDS, EVERY, INTERVALS, ScriptedCollector, gpu
from tests.doubles.exporter_process import wait_until

RARELY = dict.fromkeys(INTERVALS, 3600.0)


def test_a_call_out_of_turn_reads_everything() -> None:
    collector, reports = ScriptedCollector(Reading((gpu("gpu-a"),))), list[PollerEvent]()
    poller = Poller("acme", collector, RARELY, time.monotonic, reports.append)
    poller.start()
    for calls in (1, 2, 3):
        wait_until(lambda calls=calls: sum(isinstance(each, CallEnded) for each in reports) == calls)  # type: ignore[misc]
        poller.read_now()
    poller.stop()
    assert poller.join(BOUND_SECONDS)
    assert collector.calls[:3] == [EVERY] * 3
