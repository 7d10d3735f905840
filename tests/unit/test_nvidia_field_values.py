import pytest

from collectors.contract import CollectorError, DeviceLostError, UnsupportedError
from collectors.nvidia.errors import InvalidValueError
from collectors.nvidia.field_values import Field, read_fields
from collectors.nvidia.nvml import Handle
from tests.doubles.nvml_binding import FakeGpu, border

MEMORY_TEMPERATURE = Field(82)


def read(gpu: FakeGpu, field: Field = MEMORY_TEMPERATURE) -> float | CollectorError:
    [value] = read_fields(border(gpu), Handle(gpu), [field])
    return value


@pytest.mark.parametrize(("value_type", "celsius"), [(1, 63), (0, 63.5), (4, -3), (6, 12)])
def test_a_field_is_read_by_its_type(value_type: int, celsius: float) -> None:
    assert read(FakeGpu(memory_celsius=celsius, field_type=value_type)) == celsius


def test_a_field_of_unknown_type_is_an_invalid_value() -> None:
    assert isinstance(read(FakeGpu(field_type=99)), InvalidValueError)


def test_a_field_has_its_own_return_code() -> None:
    error = read(FakeGpu(field_code=3))
    assert isinstance(error, UnsupportedError)
    assert str(error).startswith("nvmlDeviceGetFieldValues(82): NOT_SUPPORTED (3): ")


def test_a_field_that_the_driver_does_not_know_is_unsupported() -> None:
    """A driver older than a field refuses its number, and any driver a scope that the field does not have."""
    gpu = FakeGpu()
    gpu.fields[208, 0xFFFFFFFF] = (0, 1, 2)
    error = read(gpu, Field(208, 0xFFFFFFFF))
    assert isinstance(error, UnsupportedError)
    assert str(error) == "nvmlDeviceGetFieldValues(208): the driver does not know it in scope 0xffffffff"


def test_a_counter_of_32_bits_will_not_do_where_it_would_wrap() -> None:
    assert isinstance(read(FakeGpu(field_type=1), Field(82, wide=True)), UnsupportedError)
    assert read(FakeGpu(memory_celsius=5, field_type=3), Field(82, wide=True)) == 5


def test_a_failure_of_the_whole_call_is_raised() -> None:
    gpu = FakeGpu()
    gpu.errors["nvmlDeviceGetFieldValues"] = 15
    with pytest.raises(DeviceLostError):
        read(gpu)
