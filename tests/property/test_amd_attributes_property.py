"""Tables that describe themselves, with random content."""

import math
import struct
import tracemalloc
from dataclasses import astuple

from hypothesis import given
from hypothesis import strategies as st

from collectors.amd.gpu_metrics.model import Metrics, PartitionMetrics, UnknownTableError
from collectors.amd.gpu_metrics.parse import parse, parse_partition
from collectors.query import InvalidValueError
from tests.doubles.amd_attributes import GPU, Attribute, assembled, gpu_table
from tests.doubles.amd_metrics import Fields

_MOST_BYTES = 8192
_VALUES = {"B": 8, "b": 7, "H": 16, "h": 15, "I": 32, "i": 31, "Q": 64, "q": 63}
_OTHER = st.builds(
    Attribute,
    st.just("other"),
    st.integers(48, 1023),
    st.integers(0, 255),
    st.sampled_from("BbHhIiQq"),
    st.integers(0, 9),
)


def _read(blob: bytes) -> list[Metrics | PartitionMetrics]:
    """What the parsers make of the bytes."""
    read: list[Metrics | PartitionMetrics] = []
    for parser in (parse, parse_partition):
        try:
            read.append(parser(blob))
        except (UnknownTableError, InvalidValueError):
            continue
    return read


def _count(value: object) -> int:
    """The number of values, all of which are finite."""
    if isinstance(value, list | tuple):
        return sum(map(_count, value))
    assert value is None or isinstance(value, dict) or math.isfinite(value)  # type: ignore[arg-type]
    return 1


@given(st.sampled_from([(1, 9), (1, 1)]), st.integers(-(2**31), 2**31 - 1), st.binary(max_size=_MOST_BYTES - 8))
def test_any_content_is_parsed_or_refused_in_bounded_memory(
    version: tuple[int, int], count: int, content: bytes
) -> None:
    blob = struct.pack("<HBBi", 8 + len(content), *version, count) + content
    tracemalloc.start()
    read = _read(blob)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all(_count(astuple(each)) <= len(blob) + 32 for each in read)
    assert peak < 1 << 20


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=40)), max_size=200))
def test_any_codes_are_parsed_or_refused(attributes: list[tuple[int, bytes]]) -> None:
    blob = assembled((1, 9), [struct.pack("<Q", code) + values for code, values in attributes])
    for each in _read(blob):
        assert _count(astuple(each)) <= len(blob) + 32


@given(st.lists(_OTHER, max_size=20), st.data())
def test_unknown_attributes_in_any_order_change_nothing(others: list[Attribute], data: st.DataObject) -> None:
    fields: Fields = {"power": 611, "cycles": 1000, "clock": 5, "ppt": 7, "gfx_dies": (10, 20), "xgmi_status": (1, 0)}
    known = [attribute.bytes_of(fields.get(attribute.name)) for attribute in GPU]
    unknown = [
        other.bytes_of(data.draw(st.lists(st.integers(0, 2 ** _VALUES[other.kind] - 1), max_size=other.instances)))
        for other in others
    ]
    mixed = data.draw(st.permutations([*known, *unknown]))
    assert parse(assembled((1, 9), mixed)) == parse(gpu_table(fields))


@given(st.integers(0, 1149))
def test_a_truncated_table_is_refused(length: int) -> None:
    assert _read(gpu_table({"power": 611})[:length]) == []


@given(st.integers(4, 1149), st.integers(0, 255))
def test_a_changed_byte_never_gives_an_impossible_kind_of_value(position: int, byte: int) -> None:
    blob = bytearray(gpu_table({"power": 611, "gfx_dies": (1, 2, 3), "cycles": 9, "clock": 9}))
    blob[position] = byte
    for each in _read(bytes(blob)):
        assert _count(astuple(each)) <= len(blob)
