"""Events, reliability and status over the real binding, in a process of their own with whatever library is found there.

As a program it answers each line of standard input, the cadences due or "close", with a line of standard output.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from collectors.contract import CollectorError, DeviceLostError, Fault, Sample, SubjectKey
from collectors.metric import Cadence, Metric
from collectors.nvidia import field_values, reliability
from collectors.nvidia.events import EventWatch
from collectors.nvidia.health import Health
from collectors.nvidia.nvml import Handle, Queries, QueryRunner, open_library

_ROOT = Path(__file__).parents[2]
_QUESTIONS: Queries = (*reliability.QUERIES, field_values.batch(*reliability.ITEMS))


class Told:
    """What one poll told."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.faults: list[list[str]] = content["faults"]
        self.refused: dict[str, str] = content["refused"]
        self._samples = {(stem, uuid, *own): value for stem, uuid, own, value in content["samples"]}

    def value(self, metric: Metric, uuid: str, *own: str) -> float | None:
        """One value, None where it is absent."""
        return self._samples.get((metric.stem, uuid, *own))

    def values(self, metric: Metric, uuid: str) -> dict[str, float]:
        """The values of one family of one device by all its labels, with spaces between."""
        return {" ".join(own): v for (stem, of, *own), v in self._samples.items() if (stem, of) == (metric.stem, uuid)}


class HealthProcess:
    """The other side of the pipe, a context manager.

    Args:
        environment: What lets it load a library.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.doubles.nvidia_health_process"],
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

    def poll(self, *due: Cadence) -> Told:
        """One poll of these cadences, of all where none is named."""
        return Told(self._ask([*(due or Cadence)]))

    def close(self) -> None:
        """End the session; the next poll opens another."""
        self._ask("close")

    def _ask(self, question: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


class _Session:
    """An open library and what is known as long as it is."""

    def __init__(self, health: Health) -> None:
        self._nvml = open_library()
        self._health = health
        self._query_runner = QueryRunner(self._nvml)
        self._events = EventWatch(self._nvml, time.monotonic, time.time)
        self._handles = [self._nvml.device(index) for index in range(self._nvml.device_count())]
        self._uuids = [self._nvml.uuid(handle) for handle in self._handles]
        self._lost: set[str] = set()

    def poll(self, due: frozenset[Cadence]) -> dict[str, object]:
        devices = {uuid: h for uuid, h in zip(self._uuids, self._handles, strict=True) if uuid not in self._lost}
        self._events.watch(devices)
        faults = self._health.apply_reports(self._events.drain())
        samples: list[Sample] = []
        for uuid, handle in zip(self._uuids, self._handles, strict=True):
            samples += self._device(uuid, handle, due, faults)
        return {
            "samples": [(s.metric.stem, s.device_uuid, s.labels, s.value) for s in samples],
            "faults": [(fault.reason, fault.where, fault.detail) for fault in faults],
            "refused": self._events.refused,
        }

    def close(self) -> None:
        self._health.apply_reports(self._events.close())
        self._nvml.shutdown()

    def _device(self, uuid: str, handle: Handle, due: frozenset[Cadence], faults: list[Fault]) -> list[Sample]:
        try:
            self._nvml.uuid(handle)
            result = self._query_runner.run(SubjectKey(uuid), handle, _QUESTIONS, due)
        except DeviceLostError:
            self._lost.add(uuid)
            return self._health.mark_lost(uuid)
        except CollectorError as error:
            faults.append(Fault(error.reason, uuid, str(error)))
            return self._health.event_samples(uuid)
        self._lost.discard(uuid)
        faults += result.faults
        return [*result.samples, *self._health.update(uuid, result.samples)]


def _main() -> None:
    health = Health()
    session: _Session | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, object] = {}
        if asked == "close" and session is not None:
            session.close()
            session = None
        else:
            session = session or _Session(health)
            answer = session.poll(frozenset(Cadence(name) for name in asked))
        print(json.dumps(answer), flush=True)  # noqa: T201 - the pipe
    if session is not None:
        session.close()


if __name__ == "__main__":
    _main()
