"""Claims that need the API server, from the kubelet and a real server over TLS to /metrics, in the real process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.exporter_process import ExporterProcess, Scrape, clean_environment, exporter, wait_until
from tests.doubles.kubelet import claiming, pod
from tests.doubles.kubernetes_api import ApiServerDouble, Refusal
from tests.doubles.kubernetes_objects import NODE, claim, container, device, resource_slice, result
from tests.doubles.kubernetes_objects import pod as pod_object
from tests.doubles.mounted import namespaces
from tests.doubles.node import QUICK, Node
from tests.doubles.proto.podresources_pb2 import CDIDevice, ClaimResource, DynamicResource

DRIVER = "gpu.invented.example.com"
# A pod has its token in this directory; /var/run is a link to /run. $0 is the directory; the other arguments run in it.
_SCRIPT = (
    "mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io"
    ' && ln -s "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"'
)
# Runs the exporter, and writes which modules it has loaded.
_MODULES = """
import atexit, sys
atexit.register(lambda: print("loaded:", *sorted(sys.modules), file=sys.stderr))
from exporter.cli import main
main()
"""


def listed(name: str, *devices: str) -> DynamicResource:
    """A claim as the kubelet lists it for a container."""
    resources = [
        ClaimResource(
            cdi_devices=[CDIDevice(name=f"invented/claim={each}")],
            driver_name=DRIVER,
            pool_name=NODE,
            device_name=each,
        )
        for each in devices
    ]
    return DynamicResource(claim_name=name, claim_namespace="ml", claim_resources=resources)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServerDouble]:
    folder = tmp_path / "account"
    folder.mkdir()
    with ApiServerDouble(folder) as server:
        yield server


def variables(api: ApiServerDouble) -> dict[str, str]:
    """The environment of a pod."""
    port = str(api.server.port)
    return {"NODE_NAME": NODE, "KUBERNETES_SERVICE_HOST": api.server.host, "KUBERNETES_SERVICE_PORT": port}


def in_pod(api: ApiServerDouble) -> tuple[str, ...]:
    """A command that runs another one with the token where a pod has it."""
    return ("unshare", *namespaces(), "sh", "-c", _SCRIPT, str(api.service_account))


@pytest.fixture
def running(node: Node, api: ApiServerDouble, tmp_path: Path) -> Iterator[ExporterProcess]:
    node.add_h100s(4)
    api.put(resource_slice("a", *(device(f"card-{n}", uuid=uuid) for n, uuid in enumerate(node.uuids)), driver=DRIVER))
    environment = {**node.environment, **variables(api)}
    within = in_pod(api)
    flags = (*node.flags, *QUICK, "--attribution.resource-slices=true")
    with node.kubelet, exporter(tmp_path, *flags, environment=environment, within=within) as process:
        yield process


def holders(scrape: Scrape) -> set[tuple[str, str, str]]:
    """(pod, container, uuid) of every allocation."""
    return {
        (each.labels["pod"], each.labels["container"], each.labels["uuid"])
        for each in scrape.find("accelerator_allocation_info", source="dra")
    }


def wait_for(running: ExporterProcess, *expected: tuple[str, str, str]) -> Scrape:
    """Wait until exactly these containers have devices."""

    def read() -> Scrape | None:
        scrape = running.scrape()
        return scrape if holders(scrape) == set(expected) else None

    return wait_until(read)


def test_claims_are_resolved_by_slices_and_monitors_and_requests_are_told_apart(
    node: Node, api: ApiServerDouble, running: ExporterProcess
) -> None:
    u = node.uuids
    api.claims["ml", "own"] = claim(result("card-0", driver=DRIVER))
    api.claims["ml", "all"] = claim(*(result(f"card-{n}", driver=DRIVER, admin=True) for n in range(4)))
    api.claims["ml", "two"] = claim(*(result(f"card-{n}", driver=DRIVER, request=f"r{n}") for n in (1, 2)))
    api.pods["ml", "pair"] = pod_object(
        container("left", ("mine", "r1")), container("right", ("mine", "r2")), claims={"mine": "two"}
    )
    node.kubelet.pods = [
        pod("ml", "train", claiming("main", listed("own", "card-0"))),
        pod("ml", "monitor", claiming("main", listed("all", "card-0", "card-1", "card-2", "card-3"))),
        pod("ml", "pair", *(claiming(name, listed("two", "card-1", "card-2")) for name in ("left", "right"))),
    ]
    held = (("train", "main", u[0]), ("pair", "left", u[1]), ("pair", "right", u[2]))
    scrape = wait_for(running, *held)
    assert [scrape.value("accelerator_device_allocations", uuid=uuid) for uuid in u] == [1, 1, 1, 0]

    api.delete("a")  # as the kubelet does when it restarts
    wait_until(lambda: api.events[-1][1]["type"] == "DELETED")
    calls = node.kubelet.calls
    wait_until(lambda: node.kubelet.calls > calls + 3)
    wait_for(running, *held)

    node.kubelet.pods = node.kubelet.pods[1:]
    wait_for(running, *held[1:])
    assert running.terminate(10) == 0
    assert "unavailable" not in running.log.read_text()


def test_check_reads_the_api_server_as_well(node: Node, api: ApiServerDouble) -> None:
    node.add_h100s(1)
    api.put(resource_slice("a", device("card-0", uuid=node.uuids[0]), driver=DRIVER))
    api.refused["claim"] = Refusal(403)
    node.kubelet.pods = [pod("ml", "train", claiming("main", listed("own", "card-0")))]
    command = [sys.executable, "-m", "exporter", *node.flags, "--attribution.resource-slices=true", "check", "--json"]
    with node.kubelet:
        ended = subprocess.run(
            [*in_pod(api), *command],
            env={**clean_environment(), **node.environment, **variables(api)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    kubelet = json.loads(ended.stdout)["kubelet"]
    states = [(each["what"], each["state"]) for each in kubelet["api_server"]]
    assert states == [("resource slices", "up"), ("resource claims", "forbidden"), ("pods with claims", "unknown")]
    assert kubelet["answer"]["claims_found_by"] == {"resource_slice": 1}


def ended_with(*arguments: str) -> tuple[set[str], str]:
    """Run the exporter once. Returns the modules that it has loaded when it exits, and its log."""
    ended = subprocess.run(
        [sys.executable, "-c", _MODULES, "--once", *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    log, _, modules = ended.stderr.partition("loaded:")
    return set(modules.split()), log


def test_nothing_of_it_is_loaded_without_the_option_and_outside_kubernetes_it_is_a_line_in_the_log() -> None:
    names = {f"exporter.attribution.{name}" for name in ("kubernetes_api", "resource_slices", "claim_reader")}
    modules, _ = ended_with()
    assert not names & modules
    modules, log = ended_with("--attribution.resource-slices=true")
    assert names < modules
    assert log.count("KUBERNETES_SERVICE_HOST is not set") == 1
