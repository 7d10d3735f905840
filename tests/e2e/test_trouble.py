"""What a person on call sees of a fault: the page, the log and `check` of a real process say what, why, what next."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.doubles.exporter_process import ExporterProcess, exporter, run_once, wait_until
from tests.doubles.node import Node, running_exporter
from tests.doubles.page_text import PageText

_CARDS, _BAD = 8, 3
_POWER = "nvmlDeviceGetPowerUsage"


@contextmanager
def _exporter(node: Node, *arguments: str) -> Iterator[ExporterProcess]:
    """The exporter on a node with eight cards, each allocated to a pod, after it knows who holds them."""
    node.train_on_h100s(_CARDS)
    with node.kubelet, running_exporter(node, *arguments) as running:
        wait_until(lambda: len(running.scrape().find("accelerator_allocation_info")) == _CARDS)
        yield running


def _lines(running: ExporterProcess, message: str) -> list[str]:
    return [line for line in running.log.read_text().splitlines() if f'msg="{message}"' in line]


def _names(node: Node, index: int) -> str:
    """How a line names a card."""
    uuid, address = node.uuids[index], node.gpus[index].pci_address
    return f"device={address} index={index} uuid={uuid} pods=research/train-{index} "


def _page(running: ExporterProcess) -> PageText:
    return PageText(running.get("/")[2].decode())


def _check(node: Node, running: ExporterProcess) -> dict[str, Any]:
    flags = ["check", "--json", *node.flags, f"--web.listen-address={running.address}"]
    found: dict[str, Any] = json.loads(run_once(flags, node.environment).stdout)
    return found


def _finding(report: dict[str, Any], code: str) -> dict[str, str]:
    (found,) = [each for each in report["findings"] if each["code"] == code]
    return dict(found)


def test_an_event_a_loss_and_a_return_are_one_line_each_with_reason_pods_and_next_step(node: Node) -> None:
    with _exporter(node) as running:
        node.nvml.happen(_BAD, 79)
        [event] = wait_until(lambda: _lines(running, "critical event") or None)
        assert _names(node, _BAD) in event
        assert 'code=79 class=hardware events=1 reason="XID 79: The device has fallen off the bus"' in event
        [failed] = wait_until(lambda: _lines(running, "device failed") or None)
        node.lose(_BAD)
        [lost] = wait_until(lambda: _lines(running, "device lost") or None)
        for line in (event, failed, lost):
            assert "level=error" in line
            assert _names(node, _BAD) in line
            assert 'do="Drain the node and power-cycle it.' in line
        assert "Before that: XID 79: The device has fallen off the bus" in lost

        _, row = _page(running).attention
        assert row[0].startswith(f"index {_BAD}, {node.gpus[_BAD].pci_address}\n{node.uuids[_BAD]}")
        assert (row[1], row[4]) == ("lost\nnot responding", f"research / train-{_BAD} / main")
        assert row[2].startswith("The device no longer answers. Before that: XID 79")
        report = _check(node, running)
        found = _finding(report, "device_lost")
        assert f"index {_BAD}, {node.uuids[_BAD]}, held by research/train-{_BAD}: " in found["text"]
        assert "the running exporter has counted xid 79 " in found["text"]
        assert {"uuid": node.uuids[_BAD], "state": "failed"} in report["running_exporter"]["states"]
        assert _finding(report, "unmatched_ids")["do"] == f"repair the device first ({node.gpus[_BAD].pci_address})"
        assert [each["code"] for each in report["findings"] if each["severity"] == "error"] == ["device_lost"]

        node.nvml.heal()
        [back] = wait_until(lambda: _lines(running, "device back") or None)
        assert "level=info" in back
        assert _names(node, _BAD) in back
        row = wait_until(lambda: row if (row := _page(running).attention[1])[1] == "ok, recent error" else None)
        assert "ago: XID 79: The device has fallen off the bus." in row[2]


def test_all_of_eight_lost_devices_have_a_line(node: Node) -> None:
    with _exporter(node) as running:
        for index in range(_CARDS):
            node.lose(index)
        lines = wait_until(lambda: found if len(found := _lines(running, "device lost")) == _CARDS else None)
        assert all(any(_names(node, index) in line for line in lines) for index in range(_CARDS))
        assert len(_page(running).attention) == 1 + _CARDS
        time.sleep(1.5)  # a further reading
        assert len(_lines(running, "device lost")) == _CARDS
        failed = _lines(running, "reading failed: device_lost")
        assert [line for line in failed if any(gpu.pci_address in line for gpu in node.gpus)] == []


def test_the_devices_of_a_collector_that_hangs_are_as_of_their_last_reading(node: Node) -> None:
    with _exporter(node, "--poll.deadline=500ms", "--poll.max-age=2s") as running:
        assert _page(running).row(node.gpus[0].pci_address)[1] == "ok"
        for index in range(_CARDS):
            node.hang(_POWER, index)

        def aged() -> PageText | None:
            page = _page(running)
            states = [page.row(gpu.pci_address)[1] for gpu in node.gpus]
            read = [state for state in states if state.partition("\n")[0] not in {"stuck", "not read"}]
            return page if not read and all("as of " in state for state in states) else None

        page = wait_until(aged)
        assert page.attention[1][:2] == ["collector nvidia", "late"]
        node.release()


def test_with_the_kubelet_down_check_says_what_is_still_held_and_for_how_long(node: Node) -> None:
    with _exporter(node) as running:
        node.kubelet.kill()
        wait_until(lambda: "kubelet unavailable" in running.log.read_text())
        report = _check(node, running)
        found = [each for each in report["findings"] if each["code"] in {"kubelet_failed", "kubelet_absent"}]
        assert f"{_CARDS} devices or partitions still held by {_CARDS} pods" in found[0]["text"]
        assert [each["holder"] for each in report["running_exporter"]["held"]] == [
            f"research/train-{index}/main" for index in range(_CARDS)
        ]
        notices = [text for text in _page(running).paragraphs if "does not answer" in text]
        assert notices[0].startswith("The kubelet does not answer: allocations are as of ")
        assert "allocations_kept_for=1m" in running.log.read_text()


_SCENARIO = """
description: "One device fails"
devices: [{profile: h100, count: 2}]
pods:
  - {namespace: research, name: train, containers: [{name: main, devices: [1], load: 0.9}]}
faults:
  - {kind: critical_error, at: 1, devices: [1], code: "119"}
"""


def test_the_check_of_a_scenario_is_where_the_running_exporter_is(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(_SCENARIO)
    simulate = f"--simulate={tmp_path / 'one.yaml'}"
    first = run_once(["check", "--json", simulate, "--web.listen-address=127.0.0.1:0"], {})
    assert "device_not_ok" not in first.stdout
    with exporter(tmp_path, simulate) as running:
        wait_until(lambda: _lines(running, "device failed") or None)
        flags = ["check", "--json", simulate, f"--web.listen-address={running.address}"]
        report = json.loads(wait_until(lambda: r.stdout if (r := run_once(flags, {})).returncode == 1 else None))
    found = _finding(report, "device_not_ok")
    assert report["simulated_second"] >= 1
    assert (found["severity"], "held by research/train: failed: " in found["text"]) == ("error", True)
    assert "XID 119: The device's system processor (GSP) does not answer" in found["text"]
    assert [each["pod"] for each in report["devices"][1]["holders"]] == ["train"]
