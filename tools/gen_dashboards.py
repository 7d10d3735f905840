"""Generates dashboards/*.json from the builders in dashboards/src and the catalogue.

`python tools/gen_dashboards.py` writes the files. With `--check` it writes nothing, and the exit code is 1 if a file is
out of date.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.src import exporters, fleet, node, workloads

_ROOT = Path(__file__).resolve().parent.parent
_FOLDER = Path("dashboards")
PAGES = (fleet.PAGE, node.PAGE, workloads.PAGE, exporters.PAGE)


def document(dashboard: Dashboard) -> str:
    """A dashboard as Grafana imports it, in one order of keys."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def documents() -> dict[Path, str]:
    """Every file, relative to the project, and its content. A file is named after the dashboard's uid."""
    return {_FOLDER / f"{page.uid}.json": document(page.dashboard()) for page in PAGES}


def main(arguments: Sequence[str], root: Path = _ROOT) -> int:
    """Generate or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args(arguments).check
    fresh = documents()
    if not check:
        for path, text in fresh.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in fresh.items() if not _has(root / path, text)]
    for path in stale:
        print(f"{path} is out of date: run `make docs`", file=sys.stderr)
    return 1 if stale else 0


def _has(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
