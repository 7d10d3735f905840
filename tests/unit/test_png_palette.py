import struct
import zlib

import pytest

from tools.png_palette import reduced

WHITE, BLUE, RED = b"\xff\xff\xff", b"\x10\x20\xf0", b"\xf0\x20\x10"
NONE, SUB, UP, AVERAGE, PAETH = range(5)
PICTURE = [[WHITE, BLUE, RED, WHITE], [BLUE, BLUE, WHITE, RED], [RED, WHITE, WHITE, BLUE]]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def filtered(kind: int, line: bytes, above: bytes) -> bytes:
    """As an encoder does it, straight from the specification."""
    out = bytearray()
    for i, value in enumerate(line):
        left = line[i - 3] if i >= 3 else 0
        up, corner = above[i], above[i - 3] if i >= 3 else 0
        distances = [abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)]
        paeth = (left, up, corner)[distances.index(min(distances))]
        out.append((value - (0, left, up, (left + up) // 2, paeth)[kind]) % 256)
    return bytes(out)


def png(picture: list[list[bytes]], filters: list[int], colour_type: int = 2) -> bytes:
    lines = [b"".join(line) for line in picture]
    above = [bytes(len(lines[0])), *lines]
    data = b"".join(bytes([kind]) + filtered(kind, *pair) for kind, *pair in zip(filters, lines, above, strict=False))
    head = struct.pack(">IIBBBBB", len(picture[0]), len(picture), 8, colour_type, 0, 0, 0)
    packed = zlib.compress(data)
    body = chunk(b"IDAT", packed[:7]) + chunk(b"IDAT", packed[7:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def read(indexed: bytes) -> list[list[bytes]]:
    """The colours of an indexed PNG whose lines are not filtered."""
    found: dict[bytes, bytes] = {}
    position = 8
    while position < len(indexed):
        (length,) = struct.unpack_from(">I", indexed, position)
        name, content = indexed[position + 4 : position + 8], indexed[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", indexed, position + 8 + length) == (zlib.crc32(name + content),)
        found[name] = content
        position += length + 12
    width, height, bits, kind = struct.unpack_from(">IIBB", found[b"IHDR"])
    assert (bits, kind) == (8, 3)
    data = zlib.decompress(found[b"IDAT"])
    palette = found[b"PLTE"]
    lines = [data[y * (width + 1) + 1 : (y + 1) * (width + 1)] for y in range(height)]
    return [[palette[3 * i : 3 * i + 3] for i in line] for line in lines]


@pytest.mark.parametrize("kind", [NONE, SUB, UP, AVERAGE, PAETH])
def test_few_colours_stay_as_they_are_whatever_the_filter(kind: int) -> None:
    assert read(reduced(png(PICTURE, [kind] * 3))) == PICTURE


def test_filters_may_differ_from_line_to_line() -> None:
    assert read(reduced(png(PICTURE, [SUB, PAETH, AVERAGE]))) == PICTURE


def test_rare_colours_become_the_nearest_common_one() -> None:
    common = [bytes([0, 0, level]) for level in range(256)]
    picture = [common, common, [b"\x01\x00\x07", *common[1:]]]
    assert read(reduced(png(picture, [NONE] * 3)))[2][0] == b"\x00\x00\x07"


def test_other_kinds_of_png_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^a PNG of kind \[8, 6, 0, 0, 0\], expected RGB"):
        reduced(png(PICTURE, [NONE] * 3, colour_type=6))
