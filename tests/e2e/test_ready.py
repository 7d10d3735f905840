"""The readiness of the real process, with and without devices."""

import pytest

from tests.doubles.exporter_process import wait_until
from tests.doubles.node import Node, running_exporter


@pytest.mark.parametrize(("cards", "status"), [(0, 503), (1, 200)], ids=["no device", "a device"])
def test_a_node_that_requires_devices_is_ready_with_one(node: Node, cards: int, status: int) -> None:
    if cards:
        node.add_h100s(cards)
    with running_exporter(node, "--web.ready-requires-devices=true") as running:
        wait_until(lambda: running.get("/-/ready")[2] != b"waiting for the first readings\n")
        assert running.get("/-/ready")[0] == status
