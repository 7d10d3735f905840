"""Field values as queries: batches of them, and single readings. `field_calls` makes the calls."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import cast

from collectors.contract import CollectorError
from collectors.metric import Metric
from collectors.nvidia.field_calls import Field
from collectors.nvidia.nvml import Batch, Handle, Nvml
from collectors.query import BatchItem, RawValue

__all__ = ["Field", "batch", "item", "read_fields"]


def item(
    name: str,
    metric: Metric,
    field: Field,
    convert: Callable[[float], float] = float,
    labels: tuple[str, ...] = (),
    fallback_for: str = "",
) -> BatchItem:
    """A batch item for a field that is the value of one series."""

    def read(raw: float) -> Iterable[RawValue]:
        return (RawValue(metric, raw, convert, labels, field.wraps_at),)

    return BatchItem(name, (metric,), field, read, fallback_for)


def batch(*items: BatchItem) -> Batch:
    """A batch of items whose keys are `Field`s, read by one call."""
    return Batch(items, _read_values)


def read_fields(nvml: Nvml, handle: Handle, fields: Sequence[Field]) -> list[float | CollectorError]:
    """The value of each field, or its error: nvmlDeviceGetFieldValues.

    Raises:
        CollectorError: The call as a whole failed.
    """
    return nvml.fields.read(handle, fields)


def _read_values(nvml: Nvml, handle: Handle, keys: Sequence[Hashable]) -> Sequence[float | CollectorError]:
    return read_fields(nvml, handle, cast("Sequence[Field]", keys))
