import pytest

from collectors.contract import CollectorError, DeviceLostError, UnsupportedError
from collectors.nvidia.errors import InvalidValueError
from collectors.nvidia.field_values import Field, read_fields
from tests.doubles.nvml import MEMORY_TEMPERATURE_FIELD, NvmlState, ValueType, h100
from tests.doubles.nvml_loaded import open_nvml

MEMORY_TEMPERATURE = Field(MEMORY_TEMPERATURE_FIELD)
INVALID_ARGUMENT, NOT_SUPPORTED, GPU_IS_LOST = 2, 3, 15


@pytest.fixture(autouse=True)
def _card(nvml: NvmlState) -> None:
    nvml.devices = [h100(0)]


def read(field: Field = MEMORY_TEMPERATURE) -> float | CollectorError:
    library = open_nvml()
    [value] = read_fields(library, library.device(0), [field])
    return value


def set_temperature(
    nvml: NvmlState, value: float, value_type: ValueType = ValueType.UNSIGNED_INT, code: int = 0
) -> None:
    nvml.devices[0].set_field(MEMORY_TEMPERATURE_FIELD, value, value_type, code=code)


@pytest.mark.parametrize(
    ("value_type", "value"),
    [
        (ValueType.DOUBLE, 63.5),
        (ValueType.UNSIGNED_INT, 2**32 - 1),
        (ValueType.UNSIGNED_LONG, 2**64 - 1),
        (ValueType.UNSIGNED_LONG_LONG, 2**64 - 1),
        (ValueType.SIGNED_LONG_LONG, -3),
        (ValueType.SIGNED_INT, -3),
        (ValueType.UNSIGNED_SHORT, 2**16 - 1),
    ],
)
def test_a_field_is_read_by_its_type(nvml: NvmlState, value_type: ValueType, value: float) -> None:
    set_temperature(nvml, value, value_type)
    assert read() == value


def test_a_field_of_unknown_type_is_an_invalid_value(nvml: NvmlState) -> None:
    field = nvml.devices[0].field(MEMORY_TEMPERATURE_FIELD)
    assert field is not None
    field.value_type = 99
    error = read()
    assert isinstance(error, InvalidValueError)
    assert str(error) == "nvmlDeviceGetFieldValues(82): unknown value type 99"


def test_a_field_has_its_own_return_code(nvml: NvmlState) -> None:
    set_temperature(nvml, 0, code=NOT_SUPPORTED)
    error = read()
    assert isinstance(error, UnsupportedError)
    assert str(error).startswith("nvmlDeviceGetFieldValues(82): NOT_SUPPORTED (3): ")


def test_a_field_that_the_driver_does_not_know_is_unsupported(nvml: NvmlState) -> None:
    """A driver older than a field refuses its number, and any driver a scope that the field does not have."""
    nvml.devices[0].set_field(208, 0, ValueType.UNSIGNED_INT, scope=0xFFFFFFFF, code=INVALID_ARGUMENT)
    error = read(Field(208, 0xFFFFFFFF))
    assert isinstance(error, UnsupportedError)
    assert str(error) == "nvmlDeviceGetFieldValues(208): the driver does not know it in scope 0xffffffff"


def test_a_32_bit_counter_is_unsupported_where_it_would_wrap(nvml: NvmlState) -> None:
    wide = Field(MEMORY_TEMPERATURE_FIELD, wide=True)
    assert isinstance(read(wide), UnsupportedError)
    set_temperature(nvml, 5, ValueType.UNSIGNED_LONG_LONG)
    assert read(wide) == 5


def test_a_failure_of_the_whole_call_is_raised(nvml: NvmlState) -> None:
    nvml.fail("nvmlDeviceGetFieldValues", GPU_IS_LOST)
    with pytest.raises(DeviceLostError):
        read()
