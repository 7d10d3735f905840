"""A `gpu_metrics` that needs no bytes: what a parser would have made of them."""

from collections.abc import Callable
from dataclasses import replace

from collectors.amd.gpu_metrics.model import Metrics
from collectors.contract import CollectorError


class Table:
    """Stands for the parser, and counts how often it is asked.

    Args:
        metrics: What it makes of any bytes.
        error: Raised instead.
    """

    def __init__(self, metrics: Metrics | None = None, error: Callable[[], CollectorError] | None = None) -> None:
        self.metrics = metrics or Metrics()
        self.error = error
        self.asked = 0

    def change(self, **fields: object) -> None:
        """Change what it makes of them."""
        self.metrics = replace(self.metrics, **fields)  # type: ignore[arg-type]

    def parse(self, _: bytes) -> Metrics:
        """Whatever the bytes are."""
        self.asked += 1
        if self.error is not None:
            raise self.error()
        return self.metrics
