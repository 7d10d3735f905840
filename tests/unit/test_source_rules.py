"""Size limits of the source: one topic per module, one page per function."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "tests" / "doubles" / "proto"
FOLDERS = ("exporter", "collectors", "dashboards", "deploy", "bench", "soak", "tools", "tests")
MODULE_LINES = 400
FUNCTION_LINES = 40
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if GENERATED not in path.parents)


def breaches(source: str) -> Iterator[str]:
    """What in a module is too long."""
    lines = len(source.splitlines())
    if lines > MODULE_LINES:
        yield f"the module has {lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{node.name} has {length} lines"


def test_modules_and_functions_are_short() -> None:
    assert [f"{path.relative_to(ROOT)}: {breach}" for path in MODULES for breach in breaches(path.read_text())] == []


def test_every_folder_is_checked() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FOLDERS)


def test_too_long_code_is_found() -> None:
    assert list(breaches("x = 1\n" * 401)) == ["the module has 401 lines"]
    assert list(breaches("def page():\n" + "    x = 1\n" * 40)) == ["page has 41 lines"]
    assert list(breaches("x = 1\n" * 360 + "def page():\n" + "    x = 1\n" * 39)) == []
