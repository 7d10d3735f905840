"""The NVIDIA collector in a process of its own, over the real binding and whatever library the loader finds there.

As a program it answers each line of standard input, a JSON object, with a line of standard output.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from collectors import catalog
from collectors.contract import CollectorError, Node, Reading
from collectors.metric import Cadence, Metric
from collectors.nvidia.collector import NvidiaCollector
from collectors.nvidia.nvml import open_library
from collectors.sysfs import Root

_ROOT = Path(__file__).parents[2]


class Answer:
    """A reading as it came over the pipe.

    Args:
        content: What `_told` made of it, or the error.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.error: str = content.get("error", "")
        self.kind: str = content.get("kind", "")
        self.reason: str = content.get("reason", "")
        self.lost: dict[str, bool] = content.get("lost", {})
        self.partitions: list[str] = content.get("partitions", [])
        self.faults: list[list[str]] = content.get("faults", [])
        self.unsupported: list[str] = content.get("unsupported", [])
        self._samples = {(stem, *subject): value for stem, subject, value in content.get("samples", [])}

    def value(self, metric: Metric, uuid: str, *labels: str, partition: str = "") -> float | None:
        """One value, None where it is absent."""
        return self._samples.get((metric.stem, uuid, partition, *labels))

    def of(self, uuid: str, partition: str = "") -> dict[tuple[str, ...], float]:
        """All values of one subject, by stem and labels; infos and states are left out."""
        beside = (catalog.INFO.stem, catalog.STATUS_STATE.stem)
        return {
            (stem, *labels): value
            for (stem, *(device, part, *labels)), value in self._samples.items()
            if (device, part) == (uuid, partition) and stem not in beside
        }

    def labels(self, metric: Metric, uuid: str, partition: str = "") -> dict[str, str]:
        """The labels of the only sample of an info that are not empty."""
        found = [key[3:] for key in self._samples if key[:3] == (metric.stem, uuid, partition)]
        assert len(found) == 1, found
        return {label.name: text for label, text in zip(metric.labels, found[0], strict=True) if text}


class NvidiaProcess:
    """The other side of the pipe, a context manager.

    Args:
        sysfs: Stands for `/sys`.
        environment: What lets it load a library.
    """

    def __init__(self, sysfs: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.doubles.nvidia_process", str(sysfs)],
            cwd=_ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0

    def read(self, *due: Cadence, now: float = 0) -> Answer:
        """One reading of these cadences, of all where none is named.

        Args:
            due: The cadences.
            now: What the collector's clock shows.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"due": due or list(Cadence), "now": now}), file=self._process.stdin, flush=True)
        return Answer(json.loads(self._process.stdout.readline()))


def _told(reading: Reading) -> dict[str, object]:
    return {
        "lost": {device.uuid: device.lost for device in reading.devices},
        "partitions": [partition.uuid for partition in reading.partitions],
        "samples": [
            (sample.metric.stem, (sample.device_uuid, sample.partition_uuid, *sample.labels), sample.value)
            for sample in reading.samples
        ],
        "faults": [(fault.reason, fault.where, fault.detail) for fault in reading.faults],
        "unsupported": [gap.metric.stem for gap in reading.unsupported],
    }


def _main() -> None:
    now = [0.0]
    node = Node(Root(Path(sys.argv[1])), Root(Path(os.devnull)), "machine")
    collector = NvidiaCollector(node, open_library, lambda: now[0], time.time)
    for line in sys.stdin:
        asked = json.loads(line)
        now[0] = asked["now"]
        try:
            answer = _told(collector.read(frozenset(Cadence(name) for name in asked["due"])))
        except CollectorError as error:
            answer = {"error": str(error), "kind": type(error).__name__, "reason": error.reason}
        print(json.dumps(answer), flush=True)  # noqa: T201 - the pipe
    collector.close()


if __name__ == "__main__":
    _main()
