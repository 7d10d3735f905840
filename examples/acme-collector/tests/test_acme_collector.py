"""The collector for Acme keeps the contract of collectors."""  # noqa: INP001 - a folder of tests is no package

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from acme_collector import SPEC

from collectors.contract import Collector, Node
from collectors.sysfs import Root
from tests.contract.bench import FIRST_MACHINE, NOTHING, Trouble
from tests.contract.trouble_rules import AbsenceRules, TroubleRules

HEALTHY = {
    "model": "Acme A1",
    "state": "ok",
    "busy_percent": "40",
    "memory_used_kib": "1048576",
    "memory_total_kib": "8388608",
    "power_milliwatts": "75000",
    "temperature_celsius": "51",
}
ANSWERS_AT_ONCE = "a plain file answers at once"


class AcmeBench:
    """Two cards, as a tree of plain files."""

    spec = SPEC
    impossible: Mapping[Trouble, str] = MappingProxyType({Trouble.HANG: ANSWERS_AT_ONCE, Trouble.SLOW: ANSWERS_AT_ONCE})
    library_modules: frozenset[str] = frozenset()
    bare_environment = NOTHING

    def __init__(self, path: Path) -> None:
        self.sysfs = path / "sys"
        self.cards = self.sysfs / "class" / "acme"
        self.removed = path / "removed"
        self.millijoules = 0
        for name in ("acme0", "acme1"):
            (self.cards / name).mkdir(parents=True)
            self.write(name, **HEALTHY, serial=f"S{name[-1]}", energy_millijoules="0")

    def write(self, name: str, **files: str) -> None:
        """Write files of a card."""
        for file, content in files.items():
            (self.cards / name / file).write_text(f"{content}\n")

    def start(self, machine: str = FIRST_MACHINE) -> Collector:
        """A new collector on these cards."""
        return SPEC.create(Node(Root(self.sysfs), Root(Path(os.devnull)), machine))

    def pass_time(self, seconds: float) -> None:
        """The cards use energy."""
        self.millijoules += round(75_000 * seconds)
        if self.cards.exists():
            for name in ("acme0", "acme1"):
                self.write(name, energy_millijoules=str(self.millijoules))

    def forget_ids(self) -> None:
        """Remove the serial numbers."""
        for name in ("acme0", "acme1"):
            (self.cards / name / "serial").unlink()

    def inject(self, trouble: Trouble) -> None:
        """Make the first card fail, or remove the driver's files."""
        if trouble is Trouble.DEVICE_LOST:
            self.write("acme0", state="dead")
        elif trouble is Trouble.GARBAGE:
            self.write("acme0", busy_percent="255")
        else:
            self.cards.rename(self.removed)
            self.millijoules = 0

    def fault_reached(self) -> bool:
        """No call hangs or is slow here."""
        return False

    def heal(self) -> None:
        """Restore the driver's files and the first card."""
        if self.removed.exists():
            self.removed.rename(self.cards)
        self.write("acme0", **HEALTHY)


class TestAcme(TroubleRules, AbsenceRules):
    """Every rule of the contract."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> AcmeBench:
        """Two cards."""
        return AcmeBench(tmp_path)
