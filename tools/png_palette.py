"""Reduces a PNG of a drawn page to a third of its size: a palette of its most frequent colours instead of millions."""

import functools
import struct
import zlib
from collections import Counter
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOUR = (8, 2, 0, 0, 0)  # bits, colour type RGB, and the only compression, filter and interlace handled here
_INDEXED = (8, 3, 0, 0, 0)
_COLOURS = 256
_RGB = 3
_SUB, _UP, _AVERAGE, _PAETH = 1, 2, 3, 4


def reduced(png: bytes) -> bytes:
    """The same picture with at most 256 colours; a rarer colour is replaced by the nearest of them.

    Raises ValueError for a PNG that is not RGB with 8 bits per channel, the only kind that Chromium writes here.
    """
    chunks = list(_chunks(png))
    width, height, *kind = struct.unpack(">IIBBBBB", chunks[0][1])
    if tuple(kind) != _TRUE_COLOUR:
        raise ValueError(f"a PNG of kind {kind}, expected RGB with 8 bits and no interlace {list(_TRUE_COLOUR)}")
    data = zlib.decompress(b"".join(content for name, content in chunks if name == b"IDAT"))
    lines = [_pixels(line) for line in _lines(data, width)]
    palette = [color for color, _ in Counter(color for line in lines for color in line).most_common(_COLOURS)]

    @functools.cache
    def index(color: bytes) -> int:
        return min(range(len(palette)), key=lambda i: sum((a - b) ** 2 for a, b in zip(palette[i], color, strict=True)))

    indexed = b"".join(bytes([0, *map(index, line)]) for line in lines)
    return (
        _SIGNATURE
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *_INDEXED))
        + _chunk(b"PLTE", b"".join(palette))
        + _chunk(b"IDAT", zlib.compress(indexed, 9))
        + _chunk(b"IEND", b"")
    )


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_SIGNATURE)
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        yield png[position + 4 : position + 8], png[position + 8 : position + 8 + length]
        position += length + 12


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _pixels(line: bytes) -> list[bytes]:
    return [line[i : i + _RGB] for i in range(0, len(line), _RGB)]


def _lines(data: bytes, width: int) -> Iterator[bytes]:
    """The lines before filtering (PNG specification, section 9)."""
    length = width * _RGB
    above = bytes(length)
    for start in range(0, len(data), length + 1):
        above = _unfiltered(data[start], data[start + 1 : start + 1 + length], above)
        yield above


def _unfiltered(kind: int, line: bytes, above: bytes) -> bytes:
    done = bytearray(_RGB)  # the pixel to the left of the first one
    corner = bytes(_RGB) + above
    for i, value in enumerate(line):
        left, up, up_left = done[i], above[i], corner[i]
        predicted = {_SUB: left, _UP: up, _AVERAGE: (left + up) // 2}.get(kind, 0)
        if kind == _PAETH:
            predicted = _nearest(left, up, up_left)
        done.append((value + predicted) % 256)
    return bytes(done[_RGB:])


def _nearest(left: int, up: int, up_left: int) -> int:
    """The one of the three that is nearest to left + up - up_left; the first one if several are equally near."""
    estimate = left + up - up_left
    return min((left, up, up_left), key=lambda candidate: abs(estimate - candidate))
