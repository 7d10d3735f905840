"""Field values: readings with a number. One NVML call returns any of them, each with its own return code."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, Protocol, cast

from collectors.contract import CollectorError
from collectors.metric import Metric
from collectors.nvidia.errors import InvalidValueError, NvmlCode, from_code
from collectors.nvidia.nvml import Batch, Handle, Nvml
from collectors.query import BatchItem, PermanentlyUnsupportedError, RawValue

# The member of nvmlValue_t for each nvmlValueType_t, in its order.
_VALUE_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
_WIDE_MEMBERS = frozenset({"ulVal", "ullVal", "sllVal"})


class Field(NamedTuple):
    """A field in a scope.

    Attributes:
        id: `NVML_FI_...`.
        scope: A part of the device, such as a link or a power domain; its meaning depends on the field.
        wide: Whether the value must have 64 bits, for example for byte counters, which would wrap within seconds.
        wraps_at: The value at which the counter of some drivers starts again from 0, although it has 64 bits.
    """

    id: int
    scope: int = 0
    wide: bool = False
    wraps_at: float = 0.0


class _FieldValue(Protocol):
    """`nvmlFieldValue_t` as the binding returns it."""

    nvmlReturn: int  # noqa: N815 - NVML's name
    valueType: int  # noqa: N815 - NVML's name
    value: object


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
    requested = [(field.id, field.scope) for field in fields]
    values = nvml.call("nvmlDeviceGetFieldValues", handle, requested, read=list)
    return [_value(field, value) for field, value in zip(fields, values, strict=True)]


def _read_values(nvml: Nvml, handle: Handle, keys: Sequence[Hashable]) -> Sequence[float | CollectorError]:
    return read_fields(nvml, handle, cast("Sequence[Field]", keys))


def _value(field: Field, value: _FieldValue) -> float | CollectorError:
    call = f"nvmlDeviceGetFieldValues({field.id})"
    code = int(value.nvmlReturn)
    if code == NvmlCode.INVALID_ARGUMENT:  # the field and its scope are the only arguments
        return PermanentlyUnsupportedError(f"{call}: the driver does not know it in scope {field.scope:#x}")
    if code != NvmlCode.SUCCESS:
        return from_code(code, call)
    if value.valueType not in range(len(_VALUE_MEMBERS)):
        return InvalidValueError(f"{call}: unknown value type {value.valueType}")
    member = _VALUE_MEMBERS[value.valueType]
    if field.wide and member not in _WIDE_MEMBERS:
        return PermanentlyUnsupportedError(f"{call}: the driver's counter has 32 bits and wraps within seconds")
    number: float = getattr(value.value, member)
    return number
