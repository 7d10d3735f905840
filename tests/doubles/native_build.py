"""Builds the shared libraries that replace vendor libraries, with gcc (Debian packages `gcc` and `libc6-dev`)."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.native.nvml_calls import CALLS, UNCONTROLLED
from tests.native.nvml_state import header

_SOURCES = Path(__file__).parents[1] / "native" / "nvml"
LIBRARY = "libnvidia-ml.so.1"
_FLAGS = (
    "-std=c11",
    "-D_GNU_SOURCE",
    "-O1",
    "-fPIC",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wconversion",
    "-Werror",
)
# Without a soname: once the tests' own process has loaded it, no other code there finds it by its file name.
_LINK = ("-shared", "-pthread", "-Wl,--no-undefined", "-Wl,--no-undefined-version")


def build_nvml(directory: Path, *, without: Sequence[str] = (), compiler: str = "gcc") -> Path:
    """Build `libnvidia-ml.so.1`, or reuse an earlier build from the same sources in the same directory.

    Args:
        directory: The build directory; every variant has a separate folder in it.
        without: Functions to omit, as an older driver does.
        compiler: The C compiler.

    Returns:
        The folder for LD_LIBRARY_PATH.
    """
    unknown = set(without) - set(CALLS)
    assert not unknown, f"not exported: {', '.join(sorted(unknown))}"
    sources = sorted(_SOURCES.glob("*.[ch]"))
    generated = {"state_layout.h": header(), "exports.map": _exports(without)}
    wanted = directory / _digest(sources, generated)
    if not wanted.exists():
        with tempfile.TemporaryDirectory(dir=directory) as work:
            _compile(Path(work), sources, generated, compiler)
            _move(Path(work) / "out", wanted)
    return wanted


def build_one(source: Path, folder: Path, name: str, compiler: str = "gcc") -> Path:
    """Build a small library of one source.

    Args:
        source: The C file.
        folder: The build directory.
        name: The name of the library.
        compiler: The C compiler.
    """
    path = shutil.which(compiler)
    assert path is not None, f"{compiler} not found: apt-get install gcc libc6-dev"
    output = folder / name
    command = [path, *_FLAGS, "-shared", str(source), "-o", str(output), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


def _exports(without: Sequence[str]) -> str:
    names = "".join(f" {name};" for name in (*CALLS, *UNCONTROLLED) if name not in without)
    return f"{{ global:{names} local: *; }};\n"


def _digest(sources: Sequence[Path], generated: dict[str, str]) -> str:
    content = [source.read_bytes() for source in sources] + [text.encode() for text in generated.values()]
    flags = " ".join((*_FLAGS, *_LINK)).encode()
    return hashlib.sha256(b"\0".join([*content, flags])).hexdigest()[:16]


def _compile(work: Path, sources: Sequence[Path], generated: dict[str, str], compiler: str) -> None:
    path = shutil.which(compiler)
    assert path is not None, f"{compiler} not found: apt-get install gcc libc6-dev"
    for name, text in generated.items():
        (work / name).write_text(text)
    (work / "out").mkdir()
    files = [str(source) for source in sources if source.suffix == ".c"]
    script = f"-Wl,--version-script={work / 'exports.map'}"
    output = str(work / "out" / LIBRARY)
    done = subprocess.run(
        [path, *_FLAGS, f"-I{work}", *files, *_LINK, script, "-o", output], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _move(built: Path, wanted: Path) -> None:
    """Move it to its place; another process may already have built the same."""
    try:
        built.rename(wanted)
    except OSError:
        assert wanted.exists(), f"cannot rename {built} to {wanted}"
