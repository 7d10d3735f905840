"""The exporter where `/proc` hides what its own series need: they are absent, the rest of the scrape is served."""

from pathlib import Path

import pytest

from tests.doubles.exporter_process import PROCESS_FAMILIES, exporter, wait_until
from tests.doubles.mounted import namespaces

_MASKED = "mount -t tmpfs none /proc"
_WITHOUT_PROC = {"process_max_fds", "process_cpu_seconds_total"}
_ONLY_PROCESSES = "mount -t proc -o subset=pid none /proc"


@pytest.mark.parametrize(
    ("mount", "served"),
    [(_ONLY_PROCESSES, PROCESS_FAMILIES), (_MASKED, {"process_cpu_seconds_total", "process_max_fds"})],
    ids=["only processes", "masked"],
)
def test_scrape_is_served_without_what_proc_hides(tmp_path: Path, mount: str, served: set[str]) -> None:
    within = ("unshare", *namespaces(), "sh", "-c", f'{mount} && exec "$@"', "sh")
    with exporter(tmp_path, "--simulate", within=within) as running:
        scrape = wait_until(lambda: s if (s := running.scrape()).find("accelerator_device_info") else None)

    assert {series.name for series in scrape if series.name.startswith("process_")} == served
