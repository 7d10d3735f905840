"""Files of a tree that are slow to open and to read again, like those of a driver that waits for its device."""

from pathlib import Path

from tests.doubles.native_build import build_one

_SOURCE = Path(__file__).parents[1] / "native" / "slow_files" / "slow_files.c"
_HANG_MILLISECONDS = 600_000


class SlowFiles:
    """Which file is slow now, for the processes with this environment.

    Args:
        folder: Where its own files go.
    """

    def __init__(self, folder: Path) -> None:
        self._control = folder / "slow"
        self._library = build_one(_SOURCE, folder, "slow_files.so")

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process for which the file is slow."""
        return {"LD_PRELOAD": str(self._library), "SLOW_FILES": str(self._control)}

    def slow_down(self, end: str, milliseconds: int = _HANG_MILLISECONDS) -> None:
        """Make the file slow whose path ends so, by default until `release`; no other file is slow then."""
        written = self._control.with_suffix(".new")
        written.write_text(f"{end} {milliseconds}\n")
        written.rename(self._control)

    def release(self) -> None:
        """No file is slow; opening or reading one that was ends."""
        self._control.unlink(missing_ok=True)

    def waits(self) -> int:
        """How often opening a slow file, or reading it again, has begun."""
        met = self._control.with_suffix(".met")
        return met.stat().st_size if met.exists() else 0
