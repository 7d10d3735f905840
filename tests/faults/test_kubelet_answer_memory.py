"""The memory that answers of the largest sizes take, of ordinary shape and of the worst, in processes of their own.

Every figure is of the whole process. The limit of the manifests is 192 MiB, 201 MB.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.exporter_process import Scrape, wait_until
from tests.doubles.http2_peer import Conversation, Peer, answering
from tests.doubles.listing_process import memory_mb
from tests.doubles.node import Node, running_exporter
from tests.doubles.wire import MIB, container, device, field, fitting, ordinary_pods, pod, uuid

ROOT = Path(__file__).parents[2]
LARGEST = 16 * MIB
NEARLY_LARGEST = int(15.9 * MIB)
PEAK_MB, RESIDENT_MB = 110, 60
PATIENT_SECONDS = 150


def listed(path: Path, message: bytes, calls: int = 1) -> list[dict[str, Any]]:
    """What a process tells after each call with this answer."""
    socket = path / "kubelet.sock"
    with Peer(socket, answering(*[message] * calls)):
        ended = subprocess.run(
            [sys.executable, "-m", "tests.doubles.listing_process", str(socket), str(calls)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            timeout=PATIENT_SECONDS,
            check=True,
        )
    return [json.loads(line) for line in ended.stdout.splitlines()]


def one_entry(devices: int) -> bytes:
    """A pod whose container has so many devices in one entry, as older kubelets list them."""
    ids = (field(2, uuid(number).encode()) for number in range(devices))
    return pod("trainer-0", container(field(2, field(1, b"nvidia.com/gpu"), *ids)))


@pytest.mark.parametrize(
    ("message", "ids"),
    [
        pytest.param(lambda: fitting(ordinary_pods(100), LARGEST), 250_000, id="100 devices a pod"),
        pytest.param(lambda: one_entry(90_000) * 4, 90_000, id="one entry with 90,000 devices, four times"),
    ],
)
def test_16_mib_of_ordinary_pods_are_accepted(tmp_path: Path, message: Callable[[], bytes], ids: int) -> None:
    for told in listed(tmp_path, message(), calls=2):
        assert told["error"] == ""
        assert told["ids"] >= ids
        assert told["peak"] < PEAK_MB
        assert told["resident"] < RESIDENT_MB


def short_ids() -> bytes:
    """Pods of nearly 4 MiB with as many different ids as fit."""
    ids = b"".join(field(2, f"{number:x}".encode()) for number in range(580_000))
    return pod("trainer-0", container(field(2, field(1, b"r"), ids))) * 4


def of_4_mib(*fields: bytes) -> bytes:
    """Four pods of nearly 4 MiB each, whose container repeats a field."""
    one = b"".join(fields)
    return pod("trainer-0", container(one * (4 * 1000 * 1000 // len(one)))) * 4


@pytest.mark.parametrize(
    ("message", "error"),
    [
        pytest.param(lambda: b"\x0a\x00" * (2 * MIB), "too many pods", id="4 MiB of empty pods"),
        pytest.param(lambda: b"\x0a\x00" * (NEARLY_LARGEST // 2), "too many pods", id="15.9 MiB of empty pods"),
        pytest.param(lambda: of_4_mib(b"\x12\x00"), "too many pods", id="empty devices"),
        pytest.param(short_ids, "too many pods", id="short ids"),
        pytest.param(lambda: pod("a", container(device(uuid(1)) * 250_000)), "a pod of 1", id="one pod of 16 MiB"),
    ],
)
def test_the_worst_answers_are_refused_within_the_same_memory(
    tmp_path: Path, message: Callable[[], bytes], error: str
) -> None:
    for told in listed(tmp_path, message()):
        assert error in told["error"]
        assert told["peak"] < PEAK_MB
        assert told["resident"] < RESIDENT_MB


def test_a_pod_of_nearly_4_mib_of_empty_messages_takes_no_memory_afterwards(tmp_path: Path) -> None:
    for told in listed(tmp_path, pod("trainer-0", container(b"\x12\x00" * 1_990_000))):
        assert (told["error"], told["pods"]) == ("", 1)
        assert told["peak"] < PEAK_MB
        assert told["resident"] < RESIDENT_MB


def test_the_daemon_serves_16_mib_of_ids_that_match_no_device(node: Node) -> None:
    message = fitting(ordinary_pods(100), LARGEST)
    answers: list[int] = []

    def script(peer: Conversation) -> None:
        while True:
            peer.answer(message)
            answers.append(len(message))

    def unmatched(scrape: Scrape) -> float | None:
        return scrape.value("accelerator_exporter_unmatched_devices", resource="nvidia.com/gpu")

    node.add_h100s(1)
    with (
        Peer(node.kubelet.socket_path, script),
        running_exporter(node, "--kubelet.timeout=60s") as running,
    ):
        wait_until(lambda: unmatched(running.scrape()), PATIENT_SECONDS)
        wait_until(lambda: len(answers) > 1, PATIENT_SECONDS)
        memory = memory_mb(str(running.process.pid))
    assert memory["peak"] < PEAK_MB
