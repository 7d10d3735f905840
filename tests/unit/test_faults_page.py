"""docs/faults.md: each row names tests that exist, and no reason is left out. Its links: tests/unit/test_docs.py."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from collectors.contract import Reason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
COLUMNS = ["Part", "Fault", "You see", "It ends", "Test"]
NAMED = re.compile(r"`([^`]*::[^`]*)`")


def table(page: str) -> list[list[str]]:
    """The cells of each line of the only table, its head included."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if not line.startswith("| ---")]


def defined_in(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield f"{prefix}::{node.name}"
        elif isinstance(node, ast.ClassDef):
            yield from defined_in(node.body, f"{prefix}::{node.name}")


@cache
def contained_in(file: str) -> frozenset[str]:
    """The names of the tests in a file, as pytest writes them; none if there is no such file."""
    path = ROOT / file
    return frozenset(defined_in(ast.parse(path.read_text(encoding="utf-8")).body, file) if path.is_file() else ())


def missing(page: str) -> list[str]:
    """The named tests that do not exist."""
    return [name for name in NAMED.findall(page) if name not in contained_in(name.partition("::")[0])]


def test_the_page_has_one_table_whose_rows_are_complete() -> None:
    head, *rows = table(PAGE)
    assert head == COLUMNS
    assert [row for row in rows if len(row) != len(COLUMNS)] == []
    assert [row for row in rows if not all(row)] == []


def test_each_row_names_a_test() -> None:
    _, *rows = table(PAGE)
    assert [fault for _, fault, _, _, test in rows if not NAMED.search(test)] == []


def test_named_tests_exist() -> None:
    assert missing(PAGE) == []


@pytest.mark.parametrize(
    "name",
    [
        "tests/unit/test_gone.py::test_page",
        "tests/unit/test_faults_page.py::test_gone",
        "tests/unit/test_faults_page.py::table",
    ],
)
def test_a_test_that_does_not_exist_is_found(name: str) -> None:
    assert missing(f"| `{name}` |") == [name]


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_in_the_table(reason: Reason) -> None:
    _, *rows = table(PAGE)
    assert [fault for _, fault, seen, _, _ in rows if f"`{reason}`" in seen]
