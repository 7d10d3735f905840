"""Reads protobuf's wire format: the fields of one message. No I/O.

Source: https://protobuf.dev/programming-guides/encoding. Limits of numbers are those of protobuf's own parsers. Groups,
which proto3 does not have, are errors.
"""

from collections.abc import Container, Iterator

from exporter.attribution.rpc_error import DecodeError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_MOST_TAG_BYTES, _MOST_VARINT_BYTES = 5, 10
_MOST_IN_ONE_BYTE = 0x7F
_SHORT_TAGS = frozenset(number << 3 | LENGTH for number in range(1, 16))
_LARGEST_TAG = 2**32 - 1

Field = tuple[int, int, int, int]


class IncompleteError(DecodeError):
    """The data ends within a field."""


def field_at(data: bytes | bytearray, position: int, end: int) -> Field:
    """Read the start of a field.

    Args:
        data: Contains the field.
        position: Of the field.
        end: Of the data that there is.

    Returns:
        Field number, wire type, and where its value starts and stops. A value with a length, or of fixed size, may stop
        behind the end.

    Raises:
        IncompleteError: The data ends within the field's tag, length or varint.
        DecodeError: No message has such a field.
    """
    tag, start = _varint(data, position, end, _MOST_TAG_BYTES)
    number, wire_type = tag >> 3, tag & 7
    if number == 0 or tag > _LARGEST_TAG:
        raise DecodeError(f"tag {tag} is not that of a field")
    if wire_type == LENGTH:
        length, start = _varint(data, start, end, _MOST_TAG_BYTES)
        return number, wire_type, start, start + length
    if wire_type == VARINT:
        return number, wire_type, start, _varint(data, start, end, _MOST_VARINT_BYTES)[1]
    if wire_type in (FIXED64, FIXED32):
        return number, wire_type, start, start + (8 if wire_type == FIXED64 else 4)
    raise DecodeError(f"field {number} has wire type {wire_type}")


def values(data: bytes, position: int, end: int, used: Container[int]) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of a message that are used: number, and where the value starts and stops. Others are skipped.

    Args:
        data: Contains the message.
        position: Of the message.
        end: Of the message.
        used: Numbers of fields whose values have a length: strings and messages.

    Raises:
        DecodeError: The message is not valid, or a field that is used has another wire type.
    """
    while position < end:
        tag, start = data[position], position + 2
        if tag in _SHORT_TAGS and start <= end and data[start - 1] <= _MOST_IN_ONE_BYTE:
            # Nearly every field: read here, because each call costs as much again.
            number, position = tag >> 3, start + data[start - 1]
        else:
            number, wire_type, start, position = field_at(data, position, end)
            if number in used:
                check_length_type(number, wire_type)
        if position > end:
            raise IncompleteError(f"field {number} is longer than its message")
        if number in used:
            yield number, start, position


def check_length_type(number: int, wire_type: int) -> None:
    """Raise DecodeError if the wire type is not that of strings and messages."""
    if wire_type != LENGTH:
        raise DecodeError(f"field {number} has wire type {wire_type}, not {LENGTH}")


def _varint(data: bytes | bytearray, position: int, end: int, most_bytes: int) -> tuple[int, int]:
    """Return the varint at the position, and the position behind it."""
    value = shift = 0
    for at in range(position, min(end, position + most_bytes)):
        byte = data[at]
        if byte <= _MOST_IN_ONE_BYTE:
            return value | byte << shift, at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
    if end - position < most_bytes:
        raise IncompleteError("the data ends within a number")
    raise DecodeError(f"a number has more than {most_bytes} bytes")
