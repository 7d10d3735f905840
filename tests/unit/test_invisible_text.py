"""No tracked text file contains characters that nobody can see: code can be hidden in them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# By the Unicode Character Database: characters that reorder or join text, variation selectors, tags, separators and
# fillers that are shown as nothing, private use.
INVISIBLE = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xE000, 0xF8FF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
    (0xF0000, 0x10FFFF),
)
BINARY = {".png"}
# What is tested with them.
EXPECTED = {"tests/data/config/control_character.yaml": ["line 2: U+0007"]}


def invisible(text: str) -> Iterator[str]:
    """Where such a character is."""
    for number, line in enumerate(text.split("\n"), 1):
        for character in line:
            code = ord(character)
            control = code < 0x20 and character != "\t"
            if control or 0x7F <= code <= 0x9F or any(low <= code <= high for low, high in INVISIBLE):
                yield f"line {number}: U+{code:04X}"


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name]


def test_no_tracked_file_has_invisible_characters() -> None:
    files = [path for path in tracked() if path.suffix not in BINARY and path.is_file()]
    found = {
        str(path.relative_to(ROOT)): list(invisible(path.read_bytes().decode("utf-8", "replace"))) for path in files
    }
    assert {name: places for name, places in found.items() if places} == EXPECTED
    assert len(files) > 500


@pytest.mark.parametrize("code", [code for pair in INVISIBLE for code in pair] + [0x00, 0x08, 0x1B, 0x7F, 0x9F])
def test_an_invisible_character_is_found(code: int) -> None:
    assert list(invisible(f"a = 1\nb = '{chr(code)}'")) == [f"line 2: U+{code:04X}"]


def test_text_of_any_language_is_visible() -> None:
    assert list(invisible("Größe µs ≥ 温度 °C\t…")) == []
