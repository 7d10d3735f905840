"""The double of the kubelet answers as a real one does, and the exporter's decoder reads that."""

from pathlib import Path
from tempfile import TemporaryDirectory

from exporter.attribution.podresources import PodResourcesClient
from tests.doubles.kubelet import Kubelet, device
from tests.doubles.kubelet_claims import AMD, NVIDIA, Claim, Kind, Result, claim_pod, using
from tests.doubles.proto.podresources_pb2 import PodResources


def names(pod: PodResources, container: str) -> list[tuple[str, str, list[str]]]:
    """(claim, device, CDI names without the claim's uid) of each entry of a container."""
    [found] = [each for each in pod.containers if each.name == container]
    return [
        (claim.claim_name, entry.device_name, [cdi.name.rpartition("=")[2][37:] for cdi in entry.cdi_devices])
        for claim in found.dynamic_resources
        for entry in claim.claim_resources
    ]


def test_every_container_lists_all_devices_and_cdi_names_accumulate_within_claim_and_driver() -> None:
    pair = Claim("pair", [Result(NVIDIA, "gpu-0", request="left"), Result(NVIDIA, "gpu-1", request="right")])
    other = Claim("other", [Result(NVIDIA, "gpu-2")])
    pod = claim_pod("ml", "train", using("left", pair), using("right", pair, other))
    accumulated = [("pair", "gpu-0", ["gpu-0"]), ("pair", "gpu-1", ["gpu-0", "gpu-1"])]
    assert names(pod, "left") == accumulated
    assert names(pod, "right") == [*accumulated, ("other", "gpu-2", ["gpu-2"])]


def test_one_unprepared_claim_hides_all_claims_of_the_pod_but_no_plugin_devices() -> None:
    ready, waiting = Claim("ready", [Result(NVIDIA, "gpu-0")]), Claim("waiting", [Result(NVIDIA, "gpu-1")])
    waiting.prepared = False
    plugged = device("nvidia.com/gpu", "GPU-1")
    pod = claim_pod("ml", "train", using("one", ready, devices=plugged), using("two", waiting))
    assert names(pod, "one") == names(pod, "two") == []
    assert [each.device_ids for each in pod.containers[0].devices] == [["GPU-1"]]


def test_init_containers_are_not_listed_and_sidecars_come_first() -> None:
    claim = Claim("own", [Result(NVIDIA, "gpu-0")])
    containers = (using("main", claim), using("warm", claim, kind=Kind.INIT), using("proxy", kind=Kind.SIDECAR))
    assert [each.name for each in claim_pod("ml", "train", *containers).containers] == ["proxy", "main"]


def test_shares_and_repetitions_arrive_over_the_real_socket() -> None:
    shares = [Result(AMD, "gpu-0-cpx-nps4", share) for share in ("first", "second")]
    claim = Claim("parts", shares, twice=True)
    with TemporaryDirectory(prefix="kubelet-") as folder, Kubelet(Path(folder) / "kubelet.sock") as kubelet:
        kubelet.pods = [claim_pod("ml", name, using("main", claim)) for name in ("a", "b")]
        client = PodResourcesClient(kubelet.socket_path, 30)
        listed = client.list().claim_devices
        client.close()
    assert {(each.pod, each.device, each.share) for each in listed} == {
        (pod, "gpu-0-cpx-nps4", share) for pod in ("a", "b") for share in ("first", "second")
    }
    assert len(listed) == 4
    assert {each.cdi_devices[-1] for each in listed} == {f"k8s.gpu.amd.com/gpu={claim.uid}-gpu-0-cpx-nps4"}
