"""Tables `gpu_metrics` with random content."""

import struct
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from hypothesis import given
from hypothesis import strategies as st

from collectors.amd.gpu_metrics.model import Metrics, UnknownTableError
from collectors.amd.gpu_metrics.parse import parse
from collectors.query import InvalidValueError
from tests.doubles.amd_metrics import PLACES, SIZES, table

_VERSIONS = st.sampled_from(sorted(SIZES))


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, dict):
        yield from (number for each in value.values() for number in _numbers(each))
    elif isinstance(value, list | tuple):
        yield from (number for each in value for number in _numbers(each))
    elif is_dataclass(value):
        yield from (number for each in fields(value) for number in _numbers(getattr(value, each.name)))


def _parsed(blob: bytes) -> Metrics | None:
    try:
        return parse(blob)
    except (UnknownTableError, InvalidValueError):
        return None


@given(st.binary(max_size=4096))
def test_any_bytes_are_parsed_or_refused(blob: bytes) -> None:
    _parsed(blob)


@given(_VERSIONS, st.data())
def test_any_table_content_gives_finite_numbers(version: tuple[int, int], data: st.DataObject) -> None:
    size = SIZES[version]
    filling = data.draw(st.binary(min_size=size - 4, max_size=size - 4))
    table = parse(struct.pack("<HBB", size, *version) + filling)
    assert all(0 <= number < 2**75 for number in _numbers(table))


@given(_VERSIONS, st.data())
def test_truncated_table_is_refused(version: tuple[int, int], data: st.DataObject) -> None:
    blob = table(version, {})
    assert _parsed(blob[: data.draw(st.integers(0, len(blob) - 1))]) is None


@given(_VERSIONS, st.data())
def test_field_marked_as_unknown_is_not_reported(version: tuple[int, int], data: st.DataObject) -> None:
    """Fill it at random, then mark one field as unknown: only its values disappear."""
    size = SIZES[version]
    filling = data.draw(st.binary(min_size=size - 4, max_size=size - 4))
    blob = bytearray(struct.pack("<HBB", size, *version) + filling)
    name = data.draw(st.sampled_from(sorted(PLACES[version])))
    offset, width, count = PLACES[version][name]
    length = struct.calcsize(f"<{width}") * count
    before = list(_numbers(parse(bytes(blob))))
    blob[offset : offset + length] = b"\xff" * length
    after = list(_numbers(parse(bytes(blob))))
    assert len(after) <= len(before)
    assert set(after) <= set(before)


@given(_VERSIONS, st.binary(max_size=512))
def test_bytes_after_the_table_are_not_read(version: tuple[int, int], rest: bytes) -> None:
    blob = table(version, {})
    assert parse(blob + rest) == parse(blob)
