"""A simulated node for the check: its devices, and its pods instead of a kubelet's answer."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from collectors.contract import CollectorSpec, Node
from exporter.attribution.holding import PodResourcesList
from exporter.check.facts import KubeletState
from exporter.check.kubelet import KubeletReply
from exporter.check.running_facts import RunningExporter

if TYPE_CHECKING:
    from collectors.simulated import Scenario

# How many seconds of how many devices are played at most to reach the present second of the scenario: some 4 s.
_MOST_DEVICE_SECONDS = 200_000


def second_of(scenario: "Scenario", running: RunningExporter | None) -> float:
    """The second of the scenario to look at: that of the exporter that plays one here, else the first.

    Args:
        scenario: The scenario.
        running: What serves on the exporter's address.
    """
    if running is None or not running.simulated or running.running_seconds is None:
        return 0.0
    present = running.running_seconds
    affordable = present * len(scenario.devices) <= _MOST_DEVICE_SECONDS
    return present if affordable else scenario.in_cycle(int(present)) % (_MOST_DEVICE_SECONDS // len(scenario.devices))


def play(scenario: "Scenario", node: Node, second: float) -> tuple[CollectorSpec, Callable[[], KubeletReply]]:
    """The collector of a scenario, and what lists its pods.

    Args:
        scenario: The scenario.
        node: The machine that it is played on.
        second: Where it begins.
    """
    from collectors.simulated import ScenarioClock, inventory, simulated_spec  # noqa: PLC0415 - only if simulated
    from exporter.attribution.simulated import allocations_at  # noqa: PLC0415 - same

    clock = ScenarioClock(time.monotonic, time.time, second)

    def pods() -> KubeletReply:
        state = allocations_at(scenario, inventory(scenario, node.identity), clock.seconds())
        holdings = state.holdings or ()
        named = {(each.namespace, each.pod) for each in holdings}
        named |= {(each.namespace, each.pod) for each in state.claim_devices}
        answer = PodResourcesList(frozenset(named), holdings, state.claim_devices)
        return KubeletReply(KubeletState.ANSWERS, answer=answer)

    return simulated_spec(scenario, clock), pods
