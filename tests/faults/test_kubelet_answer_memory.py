"""The memory that answers of the largest sizes take, of ordinary shape and of the worst, in processes of their own.

Every figure is of the whole process. The limit of the manifests is 192 MiB, 201 MB.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.doubles.exporter_process import Scrape, exporter, wait_until
from tests.doubles.http2_peer import OK, Conversation, Peer, framed
from tests.doubles.listing_process import memory_mb
from tests.doubles.node import Node
from tests.doubles.wire import MIB, container, device, field, fitting, ordinary_pods, pod, uuid

ROOT = Path(__file__).parents[2]
LARGEST = 16 * MIB
NEARLY_LARGEST = int(15.9 * MIB)
PEAK_MB, RESIDENT_MB = 110, 60
# The daemon also has its collectors, its server and its counters.
RESIDENT_DAEMON_MB = 66
LIMIT_MB = 192 * MIB / 1e6
PATIENT_SECONDS = 150
IDS = "nvidia.com/gpu"


def listed(path: Path, messages: Sequence[bytes]) -> list[dict[str, Any]]:
    """What a process tells after each call, which has one of these answers."""
    socket, left = path / "kubelet.sock", iter(messages)

    def script(peer: Conversation) -> None:
        """Each answer that is refused ends the connection; the next one has the other answers."""
        while True:
            stream = peer.request()
            peer.respond(stream)
            peer.data(stream, framed(next(left)))
            peer.trailers(stream, OK)

    with Peer(socket, *[script] * len(messages)):
        ended = subprocess.run(
            [sys.executable, "-m", "tests.doubles.listing_process", str(socket), str(len(messages))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            timeout=PATIENT_SECONDS,
            check=True,
        )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def renamed(message: bytes) -> bytes:
    """The same pods with other names of the same length."""
    return message.replace(b"trainer-", b"deleted-")


def one_entry(ids: Iterable[bytes], resource: bytes = IDS.encode(), name: str = "trainer-0") -> bytes:
    """A pod whose container has these devices in one entry, as older kubelets list them."""
    return pod(name, container(field(2, field(1, resource), *(field(2, each) for each in ids))))


def many(count: int) -> Iterable[bytes]:
    """So many ids of the usual length."""
    return (uuid(number).encode() for number in range(count))


def of_4_mib(one: bytes) -> bytes:
    """A pod of nearly 4 MiB, whose container repeats a field."""
    return pod("trainer-0", container(one * (4 * 1000 * 1000 // len(one))))


def claim(number: int, cdi_devices: int) -> bytes:
    """A claim of one device with so many CDI devices."""
    names = (field(1, field(1, f"nvidia.com/gpu=claim-{number}-{each}".encode())) for each in range(cdi_devices))
    texts = (b"gpu.nvidia.com", b"worker-1", f"gpu-{number}".encode())
    identity = (field(at, text) for at, text in enumerate(texts, start=2))
    return field(5, field(2, f"claim-{number}".encode()), field(3, b"ml"), field(4, *names, *identity))


def claiming(count: int, cdi_devices: int) -> bytes:
    """So many pods that have one claim each."""
    return b"".join(pod(f"trainer-{number:05x}", container(claim(number, cdi_devices))) for number in range(count))


def test_16_mib_of_ordinary_pods_are_accepted(tmp_path: Path) -> None:
    ordinary = fitting(ordinary_pods(100), LARGEST)
    answers = {
        "one entry with 90,000 devices, four times": (one_entry(many(90_000)) * 4, 90_000),
        "100 devices a pod": (ordinary, 250_000),
        "100 devices a pod, and all pods are new": (renamed(ordinary), 250_000),
    }
    told = listed(tmp_path, [message for message, _ in answers.values()])
    for (name, (_, ids)), each in zip(answers.items(), told, strict=True):
        assert each["error"] == "", name
        assert each["ids"] >= ids, name
        assert each["peak"] < PEAK_MB, name
        assert each["resident"] < RESIDENT_MB, name


def test_the_worst_answers_are_refused_within_the_same_memory(tmp_path: Path) -> None:
    answers = {
        "4 MiB of empty pods": (b"\x0a\x00" * (2 * MIB), "too many pods"),
        "15.9 MiB of empty pods": (b"\x0a\x00" * (NEARLY_LARGEST // 2), "too many pods"),
        "empty devices": (of_4_mib(b"\x12\x00") * 4, "too many pods"),
        "short ids": (one_entry((f"{number:x}".encode() for number in range(580_000)), b"r") * 4, "too many pods"),
        "many CDI devices": (claiming(4, 90_000), "too many pods"),
        "many claims": (claiming(60_000, 2), "too many pods"),
        "groups": (of_4_mib(b"\x1b" * 1000 + b"\x1c" * 1000) * 4, "cannot be decoded"),
        "cut off": (fitting(ordinary_pods(100), LARGEST)[:-1], "cannot be decoded"),
        "one pod of 16 MiB": (pod("a", container(device(uuid(1)) * 250_000)), "a pod of 1"),
    }
    told = listed(tmp_path, [message for message, _ in answers.values()])
    for (name, (_, error)), each in zip(answers.items(), told, strict=True):
        assert error in each["error"], name
        assert each["peak"] < PEAK_MB, name
        assert each["resident"] < RESIDENT_MB, name


def test_what_is_skipped_or_empty_takes_no_memory_afterwards(tmp_path: Path) -> None:
    topologies = container(device("GPU-1") + field(2, field(3, field(1) * 2_000_000)))
    answers = {
        "a pod of nearly 4 MiB of empty messages": of_4_mib(b"\x12\x00"),
        "topologies of nearly 4 MiB": b"".join(pod(f"trainer-{number}", topologies) for number in range(4)),
        "groups that nobody opens, in a field that is skipped": field(31, b"\x1b" * NEARLY_LARGEST),
    }
    for name, each in zip(answers, listed(tmp_path, list(answers.values())), strict=True):
        assert each["error"] == "", name
        assert each["peak"] < PEAK_MB, name
        assert each["resident"] < RESIDENT_MB, name


def test_the_worst_answers_that_are_accepted_stay_within_the_limit(tmp_path: Path) -> None:
    claims = claiming(43_000, 2)
    for each in listed(tmp_path, [claims, renamed(claims)]):
        assert (each["error"], each["pods"]) == ("", 43_000)
        assert each["peak"] < LIMIT_MB


def test_the_daemon_serves_16_mib_of_ids_that_match_no_device_and_4_mib_of_replicas(node: Node) -> None:
    node.add_h100s(1)
    replicas = (f"{node.uuids[0]}::{number}" for number in range(10**6))
    strange = fitting(ordinary_pods(100), LARGEST)
    matching = fitting(ordinary_pods(100, lambda _: device(next(replicas))), 4 * MIB)
    present = [renamed(strange), strange]  # the last one until there is another

    def script(peer: Conversation) -> None:
        while True:
            peer.answer(present.pop(0) if len(present) > 1 else present[0])

    def unmatched(scrape: Scrape) -> float | None:
        return scrape.value("accelerator_exporter_unmatched_devices", resource=IDS)

    flags = (*node.flags, "--kubelet.timeout=60s", "--kubelet.interval=1s")
    with (
        Peer(node.kubelet.socket_path, script),
        exporter(node.path, *flags, environment=node.environment) as running,
    ):
        wait_until(lambda: len(present) == 1 and unmatched(running.scrape()), PATIENT_SECONDS)
        pid = str(running.process.pid)
        wait_until(lambda: memory_mb(pid)["resident"] < RESIDENT_DAEMON_MB, PATIENT_SECONDS)
        present.append(matching)
        wait_until(lambda: not unmatched(running.scrape()), PATIENT_SECONDS)
        allocated = running.scrape().value("accelerator_device_allocations")
        memory = memory_mb(pid)
    assert allocated is not None
    assert allocated > 500
    assert memory["peak"] < PEAK_MB
