"""Field values: readings with a number. One NVML call returns any of them, each with its own return code."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from struct import Struct
from typing import NamedTuple, cast

from collectors.contract import CollectorError
from collectors.metric import Metric
from collectors.nvidia.errors import InvalidValueError, NvmlCode, from_code
from collectors.nvidia.nvml import Batch, Handle, Nvml
from collectors.query import BatchItem, PermanentlyUnsupportedError, RawValue

# nvmlFieldValue_t: after its number, scope and times come the type and the code of the value, and the value. The fields
# of the binding's structure are many times slower.
_FIELD_VALUE = Struct("=24xII8s")
# nvmlValue_t for each nvmlValueType_t, in its order: d, ui, ul, ull, sll, si and us.
_VALUES = (Struct("=d"), Struct("=I4x"), Struct("=Q"), Struct("=Q"), Struct("=q"), Struct("=i4x"), Struct("=H6x"))
_WIDE_TYPES = (2, 3, 4)
_SUCCESS = int(NvmlCode.SUCCESS)


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
    values = _FIELD_VALUE.iter_unpack(nvml.call("nvmlDeviceGetFieldValues", handle, requested, read=bytes))
    return [_value(field, *value) for field, value in zip(fields, values, strict=True)]


def _read_values(nvml: Nvml, handle: Handle, keys: Sequence[Hashable]) -> Sequence[float | CollectorError]:
    return read_fields(nvml, handle, cast("Sequence[Field]", keys))


def _value(field: Field, value_type: int, code: int, value: bytes) -> float | CollectorError:
    if code != _SUCCESS:
        return _error(field, code)
    if value_type >= len(_VALUES):
        return InvalidValueError(f"nvmlDeviceGetFieldValues({field.id}): unknown value type {value_type}")
    if field.wide and value_type not in _WIDE_TYPES:
        why = "the driver's counter has 32 bits and wraps within seconds"
        return PermanentlyUnsupportedError(f"nvmlDeviceGetFieldValues({field.id}): {why}")
    number: float = _VALUES[value_type].unpack(value)[0]
    return number


def _error(field: Field, code: int) -> CollectorError:
    call = f"nvmlDeviceGetFieldValues({field.id})"
    if code == NvmlCode.INVALID_ARGUMENT:  # the field and its scope are the only arguments
        return PermanentlyUnsupportedError(f"{call}: the driver does not know it in scope {field.scope:#x}")
    return from_code(code, call)
