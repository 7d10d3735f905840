"""The configuration changes while the real process serves: no scrape is missed, no counter restarts."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.doubles.exporter_process import ExporterProcess, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, running_exporter

_RELOADED = "accelerator_exporter_config_last_reload_successful"


class MountedConfigMap:
    """A folder as Kubernetes mounts a ConfigMap: the file is a link through another link that is replaced at once."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._path = path
        self._version = 0
        self.file = path / "config.yaml"
        self.file.symlink_to(Path("..data") / "config.yaml")

    def write(self, content: str) -> None:
        """Put new content in place as the kubelet does."""
        self._version += 1
        folder = self._path / f"..version-{self._version}"
        folder.mkdir()
        (folder / "config.yaml").write_text(content)
        (self._path / "..data_tmp").symlink_to(folder.name)
        (self._path / "..data_tmp").rename(self._path / "..data")


@contextmanager
def scraping(running: ExporterProcess) -> Iterator[list[int]]:
    """Scrape without a pause as long as the block runs; yields the list of statuses."""
    statuses: list[int] = []
    end = threading.Event()

    def scrape() -> None:
        while not end.is_set():
            statuses.append(running.get("/metrics")[0])

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield statuses
    finally:
        end.set()
        thread.join()


def _says(running: ExporterProcess, text: str) -> bool:
    return text in running.log.read_text()


def test_swapped_config_map_is_applied_without_a_missed_scrape(node: Node, tmp_path: Path) -> None:
    node.add_h100s(1)
    node.set_utilization(0, 50)
    node.kubelet.pods = [pod("research", "train-0", container("main", device("nvidia.com/gpu", node.uuids[0])))]
    mounted = MountedConfigMap(tmp_path / "etc")
    mounted.write("log: {level: info}\n")
    with (
        node.kubelet,
        running_exporter(node, f"--config.file={mounted.file}") as running,
        scraping(running) as statuses,
    ):
        wait_until(lambda: (running.scrape().value("accelerator_container_busy_seconds_total") or 0) > 0.5)
        before = running.scrape().value("accelerator_container_busy_seconds_total")
        mounted.write("log: {level: debug, format: json}\npoll: {max_age: 20s}\nkubelet: {hold: 90s}\n")
        wait_until(lambda: _says(running, '"level": "debug"') or _says(running, '"level":"debug"'))
        after = wait_until(lambda: running.scrape().value("accelerator_container_busy_seconds_total"))
        assert before is not None
        assert after >= before
        assert running.scrape().value(_RELOADED) == 1
        wait_until(lambda: len(statuses) > 20)
    assert set(statuses) == {200}


def test_invalid_file_keeps_the_old_configuration_and_is_reported(node: Node, tmp_path: Path) -> None:
    mounted = MountedConfigMap(tmp_path / "etc")
    mounted.write("log: {level: info}\n")
    with running_exporter(node, f"--config.file={mounted.file}") as running, scraping(running) as statuses:
        assert running.scrape().value(_RELOADED) == 1
        mounted.write("log: {levle: debug}\n")
        wait_until(lambda: running.scrape().value(_RELOADED) == 0)
        assert _says(running, "did you mean log.level?")
        mounted.write("web: {telemetry_path: /elsewhere}\n")
        wait_until(lambda: _says(running, "web.telemetry_path: changed from /metrics to /elsewhere"))
        assert running.scrape().value(_RELOADED) == 0
        mounted.write("log: {level: warning}\n")
        wait_until(lambda: running.scrape().value(_RELOADED) == 1)
    assert set(statuses) == {200}
    assert "Traceback" not in running.log.read_text()


def test_sighup_reloads_the_configuration(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("log: {level: info}\n")
    with running_exporter(node, f"--config.file={file}") as running:
        os.kill(running.process.pid, signal.SIGHUP)
        wait_until(lambda: _says(running, "configuration reloaded"))
        assert running.scrape().value(_RELOADED) == 1


def test_new_intervals_take_effect_at_once(node: Node, tmp_path: Path) -> None:
    node.add_h100s(1)
    file = tmp_path / "config.yaml"
    file.write_text("poll: {fast_interval: 1m, medium_interval: 1m, slow_interval: 1m}\n")
    flags = (*node.flags, f"--config.file={file}")
    with ExporterProcess(list(flags), node.environment, tmp_path / "exporter.log") as running:
        wait_until(lambda: running.scrape().value("accelerator_device_utilization_ratio") == 0)
        node.set_utilization(0, 70)
        file.write_text("poll: {fast_interval: 200ms, medium_interval: 1m, slow_interval: 1m}\n")
        wait_until(lambda: running.scrape().value("accelerator_device_utilization_ratio") == 0.7)


def test_new_kubelet_settings_keep_the_allocations_until_the_first_answer(node: Node, tmp_path: Path) -> None:
    node.add_h100s(1)
    node.set_utilization(0, 50)
    node.kubelet.pods = [pod("research", "train-0", container("main", device("nvidia.com/gpu", node.uuids[0])))]
    file = tmp_path / "config.yaml"
    file.write_text("kubelet: {hold: 60s}\n")
    busy = "accelerator_container_busy_seconds_total"
    with node.kubelet, running_exporter(node, f"--config.file={file}") as running:
        before = wait_until(lambda: running.scrape().value(busy))
        node.kubelet.stop()
        file.write_text("kubelet: {hold: 90s, timeout: 1s}\n")
        wait_until(lambda: _says(running, "configuration reloaded"))
        down = "accelerator_exporter_attribution_up"
        scrape = wait_until(lambda: s if (s := running.scrape()).value(down) == 0 else None)
        assert (scrape.value(busy) or 0) >= before
        node.kubelet.start()
        scrape = wait_until(lambda: s if (s := running.scrape()).value(down) == 1 else None)
        assert (scrape.value(busy) or 0) >= before
