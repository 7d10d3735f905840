from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from collectors.contract import Collector, CollectorSpec, Node, Reading
from collectors.simulated import load_scenario
from exporter.configuration.settings import PodSource, Settings
from exporter.inputs import Hardware, Inputs
from tests.doubles.collectors import BOUND_SECONDS, Hang, ScriptedCollector
from tests.doubles.exporter_process import wait_until


def inputs_of(folder: Path, *collectors: ScriptedCollector) -> Inputs:
    """Started inputs with these collectors, on a node without a kubelet."""
    specs = [
        CollectorSpec(f"acme{number}", (), (f"acme{number}.example/",), create=partial(_created, made))
        for number, made in enumerate(collectors)
    ]
    settings = Settings()
    without_kubelet = replace(settings, kubelet=replace(settings.kubelet, socket=folder / "kubelet.sock"))
    inputs = Inputs(without_kubelet, Hardware(specs, "machine"), lambda _: None)
    inputs.start()
    return inputs


def _created(collector: ScriptedCollector, _: Node) -> Collector:
    return collector


@pytest.fixture
def hang() -> Iterator[Hang]:
    step = Hang(Reading(()))
    yield step
    step.released.set()


def test_collectors_close_at_the_request_also_while_another_one_hangs(tmp_path: Path, hang: Hang) -> None:
    works, hangs = ScriptedCollector(Reading(())), ScriptedCollector(hang)
    inputs = inputs_of(tmp_path, works, hangs)
    wait_until(lambda: works.calls and hangs.calls)

    inputs.request_stop()

    assert works.closed.wait(BOUND_SECONDS)
    assert not hangs.closed.is_set()
    inputs.stop()
    hang.released.set()
    assert hangs.closed.wait(BOUND_SECONDS)


@pytest.mark.parametrize(("pods", "reads"), [(PodSource.SCENARIO, False), (PodSource.KUBELET, True)])
def test_the_api_server_is_read_for_simulated_devices_only_with_the_pods_of_a_kubelet(
    pods: PodSource, *, reads: bool
) -> None:
    settings = Settings()
    simulated = replace(
        settings,
        simulate=replace(settings.simulate, pods=pods),
        attribution=replace(settings.attribution, resource_slices=True),
    )
    scenario = load_scenario("claims")
    cluster = {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "KUBERNETES_SERVICE_PORT": "443"}
    inputs = Inputs(simulated, Hardware((), "machine", scenario, environ=cluster), lambda _: None)
    assert (inputs.resource_slices is not None) is reads
