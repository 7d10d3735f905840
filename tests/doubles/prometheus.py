"""A real Prometheus server (Debian package `prometheus`) that scrapes the exporters of a test."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.doubles.exporter_process import wait_until

_GENEROUS_SECONDS = 30.0
_CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: accelerator-exporter
  honor_labels: true
  static_configs: [{{targets: [{targets}]}}]
"""


def tool(name: str) -> str:
    """The path of a program of the Debian package `prometheus`; a missing program fails the test."""
    path = shutil.which(name)
    assert path is not None, f"{name} not found: apt-get install prometheus"
    return path


def promtool_check(exposition: str) -> str:
    """The complaints of `promtool check metrics`; empty where there are none."""
    command = [tool("promtool"), "check", "metrics"]
    result = subprocess.run(command, input=exposition, capture_output=True, text=True, check=False)
    complaint = result.stdout + result.stderr
    return complaint if complaint or result.returncode == 0 else f"exit code {result.returncode}"


class Answer(NamedTuple):
    """One element of an instant vector."""

    labels: dict[str, str]
    value: float


class FiringAlert(NamedTuple):
    """One alert of a rule, with its texts filled in."""

    labels: dict[str, str]
    annotations: dict[str, str]


class Prometheus:
    """A running server.

    Args:
        port: The port on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """True once it answers queries."""
        try:
            with urllib.request.urlopen(f"{self._base}/-/ready", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def query(self, expression: str, at: float | None = None) -> list[Answer]:
        """An instant query of now, or of this Unix time; an error of the query language fails the test."""
        parameters = {"query": expression} | ({} if at is None else {"time": str(at)})
        body = urllib.parse.urlencode(parameters).encode()
        try:
            with urllib.request.urlopen(f"{self._base}/api/v1/query", data=body, timeout=10) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                message = json.load(error)["error"]
            raise AssertionError(f"{expression}: {message}") from error
        return [Answer(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def firing(self) -> list[FiringAlert]:
        """The alerts that fire now."""
        with urllib.request.urlopen(f"{self._base}/api/v1/alerts", timeout=10) as response:
            found = json.load(response)["data"]["alerts"]
        return [FiringAlert(each["labels"], each["annotations"]) for each in found if each["state"] == "firing"]

    def wait_for_all(self, queries: Mapping[str, str]) -> None:
        """Wait until each query has a result; the test fails with the names of those without one."""
        deadline = time.monotonic() + _GENEROUS_SECONDS
        missing = dict(queries)
        while missing := {name: expression for name, expression in missing.items() if not self.query(expression)}:
            assert time.monotonic() < deadline, f"not answered within {_GENEROUS_SECONDS} s: {sorted(missing)}"
            time.sleep(0.05)

    def value(self, expression: str) -> float | None:
        """The value of a query with exactly one result; None while there is none."""
        answers = self.query(expression)
        assert len(answers) <= 1, (expression, answers)
        return answers[0].value if answers else None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def serving(configuration: Path) -> Iterator[Prometheus]:
    """Start a server with a configuration file, with data and log in the same folder; end it."""
    port = _free_port()
    command = [
        tool("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={configuration.with_name('tsdb')}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = configuration.with_suffix(".log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            server = Prometheus(port)
            wait_until(server.ready)
            yield server
        finally:
            process.kill()


@contextmanager
def prometheus(tmp_path: Path, *targets: str) -> Iterator[Prometheus]:
    """Start a server that scrapes the targets every second; end it."""
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(_CONFIGURATION.format(targets=", ".join(f'"{target}"' for target in targets)))
    with serving(configuration) as server:
        yield server


@contextmanager
def backfilled(folder: Path, open_metrics: str) -> Iterator[Prometheus]:
    """Start a server that has the samples of a text, each with its time, and scrapes nothing; end it."""
    text = folder / "samples.txt"
    text.write_text(open_metrics)
    command = [tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "tsdb")]
    subprocess.run(command, capture_output=True, check=True)
    configuration = folder / "nothing.yml"
    configuration.write_text("scrape_configs: []\n")
    with serving(configuration) as server:
        yield server
