"""Generates docs/images/architecture.svg: the threads of the exporter, and the data that flows between them.

`python tools/gen_architecture.py` writes the file. With `--check` it writes nothing, and the exit code is 1 if the file
is out of date.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.sax.saxutils import escape

_ROOT = Path(__file__).resolve().parent.parent
_PICTURE = Path("docs/images/architecture.svg")

WIDTH, HEIGHT = 1040, 420
_LINE_HEIGHT = 17
_ARROW_LENGTH = 8
_TITLE = "accelerator-exporter: threads and data"
_DESCRIPTION = (
    "One thread for each collector calls a driver, two threads handle the kubelet. All of them send events to the "
    "assembler, the only thread that owns state. It replaces the snapshot, which the HTTP thread reads."
)
_STYLE = """\
    svg { --ground: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #59636e; --lane: #f6f8fa; --data: #ddf4ff; }
    @media (prefers-color-scheme: dark) {
      svg { --ground: #0d1117; --ink: #f0f6fc; --soft: #9198a1; --line: #9198a1; --lane: #151b23; --data: #0c2d4d; }
    }
    text { font-family: system-ui, sans-serif; fill: var(--ink); }
    .title { font-size: 14px; font-weight: 600; }
    .text { font-size: 12px; fill: var(--soft); }
    .ground { fill: var(--ground); }
    .lane { fill: var(--lane); }
    .outside { fill: var(--ground); stroke: var(--line); }
    .thread { fill: var(--ground); stroke: var(--line); stroke-dasharray: 5 3; }
    .data { fill: var(--data); stroke: var(--line); }
    .arrow { fill: none; stroke: var(--line); stroke-width: 1.5; }
    .head { fill: var(--line); }"""


class Kind(StrEnum):
    """How a box is drawn."""

    LANE = "lane"
    OUTSIDE = "outside"
    THREAD = "thread"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title and lines of text, in pixels.

    Attributes:
        kind: How it is drawn.
        x: Left edge.
        y: Upper edge.
        width: To the right edge.
        height: To the lower edge.
        title: In bold.
        lines: Below it.
    """

    kind: Kind
    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()

    @property
    def right(self) -> int:
        """The right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The lower edge."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Arrow:
    """A horizontal arrow to the right, with its text above.

    Attributes:
        x: Where it starts.
        end: Where its head ends.
        y: Its height.
        text: What flows.
    """

    x: int
    end: int
    y: int
    text: str = ""


LANES = (
    Box(Kind.LANE, 10, 10, 165, 360, "outside"),
    Box(Kind.LANE, 185, 10, 235, 225, "collectors/, exporter/poller.py"),
    Box(Kind.LANE, 185, 245, 235, 125, "exporter/attribution/"),
    Box(Kind.LANE, 430, 10, 425, 360, "exporter/"),
    Box(Kind.LANE, 865, 10, 165, 360, "outside"),
)
BOXES = (
    Box(Kind.OUTSIDE, 25, 48, 135, 76, "NVIDIA driver", ("libnvidia-ml.so.1",)),
    Box(Kind.OUTSIDE, 25, 138, 135, 76, "other drivers", ("library, /sys",)),
    Box(Kind.OUTSIDE, 25, 283, 135, 76, "kubelet", ("PodResources API,", "a unix socket")),
    Box(Kind.THREAD, 230, 48, 175, 76, "collector nvidia", ("cadences, back-off,", "one call at a time")),
    Box(Kind.THREAD, 230, 138, 175, 76, "another collector", ("the same: each has", "a thread of its own")),
    Box(Kind.THREAD, 230, 283, 80, 76, "calls", ("List, with", "deadline")),
    Box(Kind.THREAD, 325, 283, 80, 76, "cache", ("bounded", "age")),
    Box(
        Kind.THREAD,
        475,
        48,
        165,
        311,
        "assembler",
        (
            "owns all state:",
            "",
            "newest readings",
            "and their ages",
            "",
            "allocations",
            "",
            "integrated counters:",
            "busy, observed,",
            "allocated, energy",
            "",
            "health of collectors",
            "and of attribution",
        ),
    ),
    Box(
        Kind.DATA,
        685,
        128,
        155,
        110,
        "snapshot",
        ("all current data;", "never changed, only", "replaced as a whole"),
    ),
    Box(Kind.THREAD, 685, 268, 155, 91, "HTTP", ("one thread for", "all clients;", "it only reads")),
    Box(Kind.OUTSIDE, 880, 262, 135, 44, "Prometheus"),
    Box(Kind.OUTSIDE, 880, 320, 135, 44, "people"),
)
ARROWS = (
    Arrow(160, 230, 86, "answers"),
    Arrow(160, 230, 176, "answers"),
    Arrow(160, 230, 321, "answers"),
    Arrow(405, 475, 86, "events"),
    Arrow(405, 475, 176, "events"),
    Arrow(310, 325, 321),
    Arrow(405, 475, 321, "events"),
    Arrow(640, 685, 183),
    Arrow(840, 880, 284),
    Arrow(840, 880, 342),
)
# From the snapshot down to the threads that read it.
_READ_X, _READ_FROM, _READ_TO = 762, 238, 268
LEGEND = (
    (Kind.THREAD, "a thread of the exporter"),
    (Kind.DATA, "immutable data"),
    (Kind.OUTSIDE, "another process, or a library"),
)


def picture() -> str:
    """The whole SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_TITLE}">',
        f"  <title>{_TITLE}</title>",
        f"  <desc>{_DESCRIPTION}</desc>",
        f"  <style>\n{_STYLE}\n  </style>",
        f'  <rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        *(line for box in (*LANES, *BOXES) for line in _box(box)),
        *(line for arrow in ARROWS for line in _arrow(arrow)),
        *_downwards(_READ_X, _READ_FROM, _READ_TO),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(box: Box) -> Iterator[str]:
    yield (f'  <rect class="{box.kind}" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6"/>')
    yield _text(box.x + 10, box.y + 21, box.title, "text" if box.kind is Kind.LANE else "title")
    for number, line in enumerate(box.lines, start=1):
        if line:
            yield _text(box.x + 10, box.y + 21 + number * _LINE_HEIGHT, line, "text")


def _arrow(arrow: Arrow) -> Iterator[str]:
    yield f'  <path class="arrow" d="M {arrow.x} {arrow.y} H {arrow.end - _ARROW_LENGTH}"/>'
    yield _head(
        ((arrow.end, arrow.y), (arrow.end - _ARROW_LENGTH, arrow.y - 4), (arrow.end - _ARROW_LENGTH, arrow.y + 4))
    )
    if arrow.text:
        yield _text(arrow.x + 12, arrow.y - 7, arrow.text, "text")


def _downwards(x: int, y: int, end: int) -> Iterator[str]:
    yield f'  <path class="arrow" d="M {x} {y} V {end - _ARROW_LENGTH}"/>'
    yield _head(((x, end), (x - 4, end - _ARROW_LENGTH), (x + 4, end - _ARROW_LENGTH)))


def _head(corners: Iterable[tuple[int, int]]) -> str:
    points = " ".join(f"{x},{y}" for x, y in corners)
    return f'  <polygon class="head" points="{points}"/>'


def _legend() -> Iterator[str]:
    x = 25
    for kind, text in LEGEND:
        yield f'  <rect class="{kind}" x="{x}" y="386" width="28" height="18" rx="4"/>'
        yield _text(x + 38, 399, text, "text")
        x += 240


def _text(x: int, y: int, content: str, style: str) -> str:
    return f'  <text class="{style}" x="{x}" y="{y}">{escape(content)}</text>'


def main(arguments: Sequence[str], root: Path = _ROOT) -> int:
    """Generate or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    path = root / _PICTURE
    fresh = picture()
    if not parser.parse_args(arguments).check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fresh, encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == fresh:
        return 0
    print(f"{_PICTURE} is out of date: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
