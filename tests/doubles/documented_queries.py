"""The PromQL that the documentation shows."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
    ROOT / "dashboards" / "README.md",
)
_BLOCK = re.compile(r"^ *```([a-z]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def code_blocks(text: str) -> Iterator[tuple[str, str]]:
    """(language, content) of every code block of a page; the language is empty if it is not given."""
    for block in _BLOCK.finditer(text):
        yield block[1], block[2]


def documented_queries(page: Path) -> list[str]:
    """The queries of a page: the blocks of the language promql, in which an empty line separates two queries."""
    blocks = (content for language, content in code_blocks(page.read_text(encoding="utf-8")) if language == "promql")
    return [query.strip() for block in blocks for query in block.split("\n\n")]
