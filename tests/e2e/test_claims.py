"""Resource claims (DRA) from the kubelet's socket and the CDI specs to /metrics, with everything that drivers do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.doubles.cdi_folder import replace
from tests.doubles.claims_host import ClaimsHost, claims_host, edges, wait_for_edges
from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.kubelet import device
from tests.doubles.kubelet_claims import AMD, INVENTED, NVIDIA, Claim, Kind, Result, claim_pod, using

ALLOCATED, ALLOCATIONS = "accelerator_device_allocated", "accelerator_device_allocations"
UNRESOLVED = "accelerator_exporter_unresolved_claim_devices"
_HUGE_BYTES = 64 << 20


@pytest.fixture
def host(tmp_path: Path, nvml_library: Path) -> Iterator[ClaimsHost]:
    with claims_host(tmp_path, nvml_library) as made:
        yield made


def whole(name: str, *minors: int) -> Claim:
    return Claim(name, [Result(NVIDIA, f"gpu-{minor}", request=f"request-{minor}") for minor in minors])


def settled(host: ClaimsHost, running: ExporterProcess) -> Scrape:
    """A scrape after the answers that follow a change of the kubelet."""
    calls = host.kubelet.calls
    wait_until(lambda: host.kubelet.calls > calls + 2)
    return running.scrape()


def test_claims_come_and_go_and_are_shared_without_any_cdi_directory(host: ClaimsHost) -> None:
    host.add_h100s(4)
    u = host.uuids
    own, shared, pair = whole("own", 0), whole("shared", 1), whole("pair", 2, 3)
    shared.twice = True
    unknown = Claim("unknown", [Result(INVENTED, "dream-0")])
    with host.kubelet, host.running() as running:
        host.kubelet.pods = [
            claim_pod(
                "ml",
                "train",
                using("warm-up", own, kind=Kind.INIT),
                using("main", own, devices=device("nvidia.com/gpu", u[0])),  # by its device plugin too
            ),
            *(claim_pod("ml", f"chat-{n}", using("server", shared), using("proxy", kind=Kind.SIDECAR)) for n in (0, 1)),
            claim_pod("ml", "ranks", using("rank-0", pair), using("rank-1", pair)),
            claim_pod("ml", "dreamer", using("main", unknown)),
        ]
        scrape = wait_for_edges(
            running,
            {
                ("ml", "train", "main", u[0]),
                ("ml", "chat-0", "server", u[1]),
                ("ml", "chat-1", "server", u[1]),
                *(("ml", "ranks", f"rank-{n}", uuid) for n in (0, 1) for uuid in u[2:]),
            },
        )
        assert {s.labels["claim"] for s in scrape.find("accelerator_allocation_info")} == {"own", "shared", "pair"}
        assert {s.labels["pod"] for s in scrape.find("accelerator_container_utilization_ratio")} == {"train"}
        assert [scrape.value(ALLOCATIONS, uuid=uuid) for uuid in u] == [1, 2, 2, 2]
        assert {s.value for s in scrape.find("accelerator_allocation_share_ratio", pod="chat-0")} == {0.5}
        # A driver that no collector knows: nothing is blanked on a node where every device has a holder, or none.
        assert len(scrape.find(ALLOCATED)) == 4
        host.kubelet.pods = [host.kubelet.pods[0], host.kubelet.pods[-1]]
        scrape = wait_for_edges(running, {("ml", "train", "main", u[0])})
        assert [scrape.value(ALLOCATED, uuid=uuid) for uuid in u] == [1, 0, 0, 0]
        own.prepared = False
        host.kubelet.pods = [claim_pod("ml", "train", using("main", own))]
        wait_for_edges(running, set())


def test_a_mig_device_is_found_by_its_device_files_and_its_place_is_used_again(host: ClaimsHost) -> None:
    host.add_h100s(2)
    host.enable_mig(0)
    with host.kubelet, host.running() as running:
        wait_until(lambda: len(running.scrape().find("accelerator_device_info")) == 2)
        first, first_uuid = host.mig_claim("first", 0, 2)
        host.kubelet.pods = [claim_pod("ml", "one", using("main", first))]
        scrape = wait_for_edges(running, {("ml", "one", "main", first_uuid)})
        assert scrape.value(ALLOCATED, uuid=host.uuids[0]) == 1
        assert scrape.value(ALLOCATED, uuid=host.uuids[1]) == 0
        wait_until(lambda: running.scrape().find("accelerator_container_memory_usage_bytes", pod="one"))
        # Before the kubelet answers again, another claim has the same place, and so the same device files and name.
        host.end_mig_claim(first, 0, 2)
        second, second_uuid = host.mig_claim("second", 0, 2)
        host.kubelet.pods = [claim_pod("ml", "two", using("main", second))]

        def both_right() -> bool:
            found = edges(running.scrape())
            assert found <= {("ml", "one", "main", first_uuid), ("ml", "two", "main", second_uuid)}
            return found == {("ml", "two", "main", second_uuid)}

        wait_until(both_right)
        # So has a claim with the name of an earlier one.
        host.end_mig_claim(second, 0, 2)
        again, again_uuid = host.mig_claim("second", 0, 2)
        host.kubelet.pods = [claim_pod("ml", "two", using("main", again))]
        wait_for_edges(running, {("ml", "two", "main", again_uuid)})
        host.end_mig_claim(again, 0, 2)
        host.kubelet.pods = []
        wait_for_edges(running, set())
        wait_until(lambda: running.scrape().value(ALLOCATED, uuid=host.uuids[0]) == 0)


def test_shares_of_a_repartitioned_amd_gpu_are_found_by_their_render_nodes(host: ClaimsHost) -> None:
    gpu = host.add_mi300x()
    with host.kubelet, host.running() as running:
        wait_until(lambda: running.scrape().find("accelerator_device_info"))
        gpu.set_partition_mode("CPX", "NPS4")
        name = "gpu-0-cpx-nps4"
        claims = [Claim(f"share-{n}", [Result(AMD, name, share=f"slot-{n}")]) for n in (0, 1)]
        both = Claim("both", [Result(AMD, name, share=f"slot-{n}") for n in (2, 3)])
        renders = [gpu.render, *(render for _, _, render in gpu.xcp)]
        for claim, render in zip(claims, renders, strict=False):
            host.cdi.prepare(claim, {name: (f"/dev/dri/renderD{render}",)}, ("/dev/kfd",))
        host.cdi.prepare(both, {name: tuple(f"/dev/dri/renderD{render}" for render in renders[2:4])}, ("/dev/kfd",))
        host.kubelet.pods = [claim_pod("ml", claim.name, using("main", claim)) for claim in (*claims, both)]
        scrape = wait_until(lambda: s if len(edges(s := running.scrape())) == len(claims) else None)
        parts = {s.labels["partition_uuid"]: s.labels["index"] for s in scrape.find("accelerator_partition_info")}
        assert {(pod, parts[uuid]) for _, pod, _, uuid in edges(scrape)} == {("share-0", "0"), ("share-1", "1")}
        # Which partition each of two shares of one claim is, nobody can tell.
        assert scrape.value(UNRESOLVED, driver=AMD.name) == 2
        for claim in (*claims, both):
            host.cdi.unprepare(claim)
        host.kubelet.pods = []
        gpu.set_partition_mode("SPX", "NPS1")
        wait_for_edges(running, set())
        wait_until(lambda: running.scrape().value(ALLOCATED, uuid=gpu.uuid) == 0)


def test_a_claim_in_the_own_namespace_only_monitors(host: ClaimsHost) -> None:
    host.add_h100s(2)
    everything = whole("all", 0, 1)
    everything.namespace = "monitoring"
    host.kubelet.pods = [
        claim_pod("monitoring", "exporter", using("exporter", everything)),
        claim_pod("ml", "train", using("main", whole("own", 0))),
    ]
    with host.kubelet, host.running(environment={"POD_NAMESPACE": "monitoring"}) as running:
        scrape = wait_for_edges(running, {("ml", "train", "main", host.uuids[0])})
        assert scrape.value(ALLOCATED, uuid=host.uuids[1]) == 0
        assert scrape.find(UNRESOLVED) == []


def test_nothing_changes_while_plugin_and_kubelet_restart(host: ClaimsHost) -> None:
    host.add_h100s(1)
    host.enable_mig(0)
    claim, uuid = host.mig_claim("own", 0, 0)
    held = {("ml", "train", "main", uuid)}
    pods = host.kubelet.pods = [claim_pod("ml", "train", using("main", claim))]
    with host.kubelet, host.running() as running:
        wait_for_edges(running, held)
        host.cdi.unprepare(claim)  # a plugin that starts can clean up and write its specs again
        assert edges(settled(host, running)) == held
        host.kubelet.kill()
        wait_until(lambda: running.scrape().value("accelerator_exporter_attribution_up") == 0)
        host.kubelet.pods = []  # as just after a start
        host.kubelet.start()
        wait_until(lambda: running.scrape().value("accelerator_exporter_attribution_up") == 1)
        assert edges(running.scrape()) == held
        host.describe(claim, 0, 0)
        host.kubelet.pods = pods
        assert edges(settled(host, running)) == held


def make_huge(spec: Path) -> None:
    with spec.open("wb") as file:
        file.truncate(_HUGE_BYTES)


def tear(spec: Path) -> None:
    replace(spec, '{"cdiVersion": "0.6.0", "kind": "k8s.gpu.nvidia.com/claim", "devices": [')


DAMAGES: tuple[Callable[[Path], object], ...] = (
    lambda _: None,  # it is missing
    tear,
    make_huge,
    lambda spec: spec.symlink_to(spec.name),
    Path.mkdir,
)


def test_while_specs_cannot_be_read_only_their_own_device_is_unknown(host: ClaimsHost) -> None:
    host.add_h100s(3)
    host.enable_mig(0)
    claims = [host.mig_claim(f"own-{slot}", 0, slot, described=False) for slot, _ in enumerate(DAMAGES)]
    host.cdi.path.mkdir()
    specs = [host.cdi.spec_path(claim, NVIDIA) for claim, _ in claims]
    for spec, damage in zip(specs, DAMAGES, strict=True):
        damage(spec)
    other = ("ml", "other", "main", host.uuids[1])
    host.kubelet.pods = [
        claim_pod("ml", "other", using("main", whole("other", 1))),
        *(claim_pod("ml", f"train-{slot}", using("main", claim)) for slot, (claim, _) in enumerate(claims)),
    ]
    with host.kubelet, host.running() as running:
        wait_for_edges(running, {other})
        scrape = settled(host, running)
        assert edges(scrape) == {other}
        assert scrape.value(UNRESOLVED, driver=NVIDIA.name) == len(claims)
        # By their names they are parts of the first GPU: of this one it is not known whether it is free.
        assert {s.labels["uuid"]: s.value for s in scrape.find(ALLOCATED)} == {host.uuids[1]: 1, host.uuids[2]: 0}
        for slot, (claim, _) in enumerate(claims):
            if specs[slot].is_dir():
                specs[slot].rmdir()
            host.describe(claim, 0, slot)  # written after the answer
        wait_for_edges(running, {other, *(("ml", f"train-{n}", "main", uuid) for n, (_, uuid) in enumerate(claims))})
