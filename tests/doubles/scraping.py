"""A real Prometheus with the scrape jobs of a test."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.doubles.prometheus import Prometheus, serving

Job = dict[str, Any]


def without_discovery(job: Job, *targets: tuple[str, dict[str, str]]) -> Job:
    """The job with these targets instead of those that it would discover in a cluster.

    Debian builds Prometheus without the discovery of Kubernetes objects, so a test supplies the targets.

    Args:
        job: An element of `scrape_configs`.
        targets: Address and labels of each; labels that begin with `__meta_` are those of discovery.
    """
    kept = {key: value for key, value in job.items() if key != "kubernetes_sd_configs"}
    found = [{"targets": [address], "labels": labels} for address, labels in targets]
    return {**kept, "scrape_interval": "1s", "scrape_timeout": "1s", "static_configs": found}


def often(targets: list[dict[str, Any]]) -> Job:
    """A job that scrapes exporters every second and keeps their labels."""
    return {
        "job_name": "accelerator-exporter",
        "honor_labels": True,
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": targets,
    }


def write_configuration(path: Path, jobs: Sequence[Job], rules: Sequence[Path] = ()) -> Path:
    """A whole configuration file, with files of rules that are evaluated every second."""
    evaluated = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(file) for file in rules]} if rules else {}
    path.write_text(yaml.safe_dump({**evaluated, "scrape_configs": list(jobs)}))
    return path


@contextmanager
def scraping(folder: Path, *jobs: Job, rules: Sequence[Path] = ()) -> Iterator[Prometheus]:
    """Start a server with these jobs and files of rules; end it."""
    with serving(write_configuration(folder / "scraping.yml", jobs, rules)) as server:
        yield server
