"""One name for one thing: no name of the retired private vocabulary comes back, and no class name is used twice."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("exporter", "collectors")

CLASSES = {
    "Answer": "RawValue, PodResourcesList",
    "Asker": "QueryRunner",
    "Cut": "PartitionLayout",
    "Entry": "DeviceEntry",
    "Facts": "NodeFacts, HealthFacts",
    "Findings": "QueryResult",
    "Found": "PartitionInfo",
    "Given": "RawOption",
    "Held": "UsageCounters, DeviceHolders",
    "HeldMap": "AllocationCache",
    "Judgement": "Finding",
    "Look": "ClientScan",
    "NewestReadings": "CollectorState",
    "NothingError": "NoDataError",
    "Part": "BatchItem",
    "Place": "ProcessScope, PciLocation",
    "Probe": "BackgroundCall",
    "Seen": "ClientSample",
    "Setting": "SessionContext",
    "Sitting": "SessionReader",
    "Sources": "Inputs",
    "Surroundings": "Environment",
    "Using": "ProcessUsage",
    "Visit": "GpuFiles",
    "Wishes": "CollectOptions",
}
# Of functions, methods, attributes, fields and parameters.
MEMBERS = {
    "asker": "query_runner",
    "cut": "layout",
    "had": "supplied",
    "handed_out": "add_allocations",
    "instead_of": "fallback_for",
    "judge": "all_findings",
    "lose": "mark_lost",
    "newest": "state",
    "polled": "add_readings",
    "questions": "queries",
    "refuse_lasting": "check_version_mismatch",
    "sitting": "session_reader",
    "surroundings": "environment",
    "take": "a verb for what it does: apply, count, drain, update",
    "tell": "report",
    "tells_memory": "reports_memory",
    "told": "reported, requested, cached",
    "visit": "gpu_files",
    "wishes": "options",
}
MODULES = {
    "asking": "query_runner",
    "bus": "pci_bus",
    "config_error": "configuration/errors",
    "doctor": "check",
    "error_counts": "health",
    "gaps": "report_text",
    "heat": "thermal",
    "held_map": "allocation_cache",
    "holders": "join",
    "judgement": "command",
    "markup": "html",
    "mismatch": "daemon",
    "newest": "collector_state",
    "option_kinds": "value_types",
    "probe": "command",
    "process_rows": "process_metrics",
    "release": "daemon",
    "sitting": "session_reader",
    "slices": "readings",
    "sources": "inputs",
    "surroundings": "environment",
    "visit": "gpu_files",
}


def definitions(source: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Line, name and list of every class, function, parameter, field and attribute that a module defines."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ClassDef():
                yield node.lineno, node.name.removeprefix("_"), CLASSES
            case ast.FunctionDef():
                yield node.lineno, node.name.lstrip("_"), MEMBERS
            case ast.arg():
                yield node.lineno, node.arg.lstrip("_"), MEMBERS
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield node.lineno, name.lstrip("_"), MEMBERS
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name.lstrip("_"), MEMBERS


def retired(source: str) -> list[str]:
    """What a module defines under a retired name, and the term to use."""
    return [f"line {line}: {name}, use {names[name]}" for line, name, names in definitions(source) if name in names]


def test_no_retired_name_is_defined() -> None:
    found = {}
    for path in (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))):
        if lines := retired(path.read_text()):
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}


def test_no_retired_module_is_there() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in ("", ".py")]
    assert [str(path.relative_to(ROOT)) for path in paths if path.stem in MODULES] == []


def test_a_retired_name_is_found_wherever_it_is_defined() -> None:
    source = """
class Visit:
    told: int
    def take(self, wishes):
        self._newest = wishes
"""
    assert [line.partition(",")[0] for line in retired(source)] == [
        "line 2: Visit",
        "line 3: told",
        "line 4: take",
        "line 4: wishes",
        "line 5: newest",
    ]


def area(path: Path) -> str:
    """The folder of a vendor below `collectors`, else the package."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[:2]) if parts[0] == "collectors" and len(parts) > 2 else parts[0]


def is_specialised(node: ast.ClassDef) -> bool:
    """Whether a class is the shared class of the same name, with a vendor's types."""
    return any(isinstance(each, ast.Attribute) and each.attr == node.name for each in ast.walk(ast.Tuple(node.bases)))


def test_no_class_name_is_used_twice_but_by_counterparts_of_two_vendors() -> None:
    places: dict[str, list[str]] = {}
    for path in (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not is_specialised(node):
                places.setdefault(node.name, []).append(area(path))
    vendors = {f"collectors/{path.name}" for path in (ROOT / "collectors").iterdir() if path.is_dir()}
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert {name: where for name, where in twice.items() if len({*where} & vendors) < len(where)} == {}
