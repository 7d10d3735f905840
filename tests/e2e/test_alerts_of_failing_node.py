"""The scenario `failing` and the alerts in a real Prometheus, both in a time that runs thirty times as fast."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.doubles.compressed_time import compressed_rules, compressed_scenario
from tests.doubles.exporter_process import exporter, wait_until
from tests.doubles.prometheus import FiringAlert, Prometheus
from tests.doubles.scraping import often, scraping
from tools.gen_alerts import RULES

SCENARIO = Path(__file__).parents[2] / "collectors" / "simulated" / "scenarios" / "failing.yaml"
FACTOR = 30
# Each second of the scenario lasts 33 ms, so readings and scrapes must be frequent.
EAGER = ("--poll.fast-interval=200ms", "--poll.medium-interval=200ms", "--poll.slow-interval=200ms")
# XID 48 and 79, memory errors that are not corrected, and the loss. The other faults are too short for an alert.
EXPECTED = {"AcceleratorHardwareError", "AcceleratorUncorrectedMemoryErrors", "AcceleratorDeviceLost"}
LOST_DEVICE = "0000:0a:00.0"
# Prometheus scrapes its first target up to five seconds after its start.
START_SECONDS = 7


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("failing")
    scenario, rules = folder / "failing.yaml", folder / "alerts.yaml"
    scenario.write_text(compressed_scenario(SCENARIO, FACTOR, START_SECONDS))
    rules.write_text(compressed_rules((RULES / "alerts.yaml").read_text(), FACTOR))
    with ExitStack() as running:
        process = running.enter_context(exporter(folder, f"--simulate={scenario}", *EAGER))
        job = often([{"targets": [process.address], "labels": {"instance": "node-1"}}])
        job["scrape_interval"] = "500ms"
        job["scrape_timeout"] = "500ms"
        yield running.enter_context(scraping(folder, job, rules=[rules]))


def test_failing_node_fires_exactly_the_expected_alerts_which_name_the_pod_and_end(server: Prometheus) -> None:
    seen: dict[str, FiringAlert] = {}

    def all_seen() -> bool:
        for alert in server.firing():
            seen.setdefault(alert.labels["alertname"], alert)
        return seen.keys() >= EXPECTED

    wait_until(all_seen)
    wait_until(lambda: all_seen() and not server.firing(), 60)

    fired = server.query('count by (alertname, device) (max_over_time(ALERTS{alertstate="firing"}[10m]))')
    assert sorted((found.labels["alertname"], found.labels["device"], found.value) for found in fired) == sorted(
        (name, LOST_DEVICE, 1) for name in EXPECTED
    )
    for alert in seen.values():
        assert "research/finetune-2." in alert.annotations["description"]
    assert "Hardware errors: xid 48" in seen["AcceleratorHardwareError"].annotations["description"]
    assert "last hour: xid 48, xid 79." in seen["AcceleratorDeviceLost"].annotations["description"]
    assert seen["AcceleratorDeviceLost"].annotations["summary"] == (
        f"NVIDIA H100 80GB HBM3 {LOST_DEVICE} on node-1 no longer answers"
    )
