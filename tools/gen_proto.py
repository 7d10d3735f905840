"""Generates the protobuf messages and their typed stubs from the project's own .proto file.

`python tools/gen_proto.py` writes them next to the .proto file. With `--check` it writes nothing, and the exit code is
1 if a file is out of date.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_PROTO = Path("tests/doubles/proto/podresources.proto")
_GENERATED = (_PROTO.with_name("podresources_pb2.py"), _PROTO.with_name("podresources_pb2.pyi"))


def generate(root: Path, into: Path) -> None:
    """Run protoc on the .proto file under `root` and write both generated files under `into`.

    Raises:
        subprocess.CalledProcessError: protoc refused the file; its error is on standard error.
    """
    # The plugin's script is in the folder of the interpreter, which is not necessarily on PATH.
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    outputs = (f"--python_out={into}", f"--mypy_out=quiet:{into}", f"--plugin=protoc-gen-mypy={plugin}")
    command = (sys.executable, "-m", "grpc_tools.protoc", "--proto_path=.", *outputs, str(_PROTO))
    subprocess.run(command, cwd=root, check=True)  # noqa: S603 - our own interpreter and our own arguments


def stale(root: Path) -> list[Path]:
    """The generated files under `root` that are missing or out of date."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(root, fresh)
        return [path for path in _GENERATED if _content(root / path) != _content(fresh / path)]


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def main(arguments: Sequence[str], root: Path = _ROOT) -> int:
    """Generate or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if not parser.parse_args(arguments).check:
        generate(root, root)
        return 0
    differing = stale(root)
    if differing:
        print(f"out of date, run `make proto`: {', '.join(map(str, differing))}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
