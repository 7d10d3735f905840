"""A `gpu_metrics` without bytes: the result of a parser."""

from collections.abc import Callable
from dataclasses import replace

from collectors.amd.gpu_metrics.model import Metrics
from collectors.contract import CollectorError


class Table:
    """Replaces the parser, and counts its calls.

    Args:
        metrics: Its result for any bytes.
        error: Raised instead.
    """

    def __init__(self, metrics: Metrics | None = None, error: Callable[[], CollectorError] | None = None) -> None:
        self.metrics = metrics or Metrics()
        self.error = error
        self.asked = 0

    def change(self, **fields: object) -> None:
        """Change its result."""
        self.metrics = replace(self.metrics, **fields)  # type: ignore[arg-type]

    def parse(self, _: bytes) -> Metrics:
        """The result, for any bytes."""
        self.asked += 1
        if self.error is not None:
            raise self.error()
        return self.metrics
