"""Generates docs/from-dcgm-exporter.md from the table of the view `dcgm` and the golden expositions of NVIDIA cards.

`python tools/gen_dcgm.py` writes the file. With `--check` it writes nothing, and the exit code is 1 if the file is out
of date.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from collectors.metric import Kind, Subject
from exporter.series import ForeignFamily
from exporter.views import dcgm
from exporter.views.table import AS_IS, NumberOfHighest, Row, Scale, Term
from tools import dcgm_text as text
from tools.chart import ROOT
from tools.gen_chart import write

_DOCUMENT = ROOT / "docs" / "from-dcgm-exporter.md"
_CARDS = ROOT / "tests" / "golden" / "nvidia"
# The card that stands for each architecture, with the name of its golden file; those with MIG are divided.
_ARCHITECTURES = {
    "Turing: T4": "t4",
    "Ampere: A100": "a100",
    "Ampere: A100, MIG": "a100-mig",
    "Ada: L40S": "l40s",
    "Hopper: H100": "h100",
    "Hopper: H100, MIG": "h100-mig",
    "Blackwell: B200": "b200",
}
_UNITS = {Scale(multiplier=100): "percent", Scale(divisor=2**20): "MiB", Scale(divisor=1e6): "MHz"}
_OTHER_UNITS = {"TOTAL_ENERGY_CONSUMPTION": "mJ", "POWER_USAGE": "W", "_TEMP": "C", "_BYTES": "bytes per second"}
_Samples = Sequence[tuple[str, dict[str, str]]]


def document() -> str:
    """The whole of docs/from-dcgm-exporter.md."""
    parts = (text.HEAD, _architectures(), text.LOST, text.STEPS, text.SERVICE, text.NAMES, _names(), text.DIFFERENCES)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _families() -> dict[str, ForeignFamily]:
    return {row.family.name: row.family for row in dcgm.ROWS}


def _architectures() -> str:
    lines: list[tuple[str, ...]] = [
        ("Architecture", "`DCGM_FI_DEV_*` that are missing", "`DCGM_FI_PROF_*` that are there")
    ]
    lines += [_architecture(title, card) for title, card in _ARCHITECTURES.items()]
    return _markdown((lines[0], text.VOLTA, *lines[1:]))


def _architecture(title: str, card: str) -> tuple[str, ...]:
    names = present_for(card)
    missing = [name for name in _families() if name.startswith("DCGM_FI_DEV_") and name not in names]
    profiling = [name for name in _families() if name.startswith("DCGM_FI_PROF_") and name in names]
    whole = len(profiling) == sum(1 for name in _families() if name.startswith("DCGM_FI_PROF_") and "PCIE" not in name)
    return title, _short(missing) or "none", "all; `PCIE_*` by an option" if whole else _short(profiling) or "none"


def _short(names: Iterable[str]) -> str:
    return ", ".join(f"`{name.removeprefix('DCGM_FI_DEV_').removeprefix('DCGM_FI_PROF_')}`" for name in names)


def present_for(card: str) -> set[str]:
    """The families of the view that a simulated card has.

    Args:
        card: The name of its golden file; a device in MIG mode shows its instances.
    """
    subject = Subject.PARTITION if card.endswith("-mig") else Subject.DEVICE
    parsed = text_string_to_metric_families((_CARDS / f"{card}.prom").read_text())
    samples = [(sample.name, sample.labels) for family in parsed for sample in family.samples]
    return {row.family.name for row in dcgm.ROWS if subject in row.subjects and _is_filled(row, subject, samples)}


def _is_filled(row: Row, subject: Subject, samples: _Samples) -> bool:
    return all(any(_matches(term, subject, *sample) for sample in samples) for term in row.terms)


def _matches(term: Term, subject: Subject, name: str, labels: dict[str, str]) -> bool:
    family = term.metric.name(Subject.DEVICE if term.of_device else subject)
    return name == family and all(labels.get(label, "") == value for label, value in term.where.items())


def _names() -> str:
    lines: list[tuple[str, ...]] = [("Name", "Type", "Unit", "MIG instances", "From", "Note")]
    for name, family in _families().items():
        rows = [row for row in dcgm.ROWS if row.family.name == name]
        sources = "; else ".join(_source(row) for row in rows)
        notes = " ".join(dict.fromkeys(row.note for row in rows if row.note))
        lines.append((f"`{name}`", _type(family), _unit(rows[0]), _instances(rows[0]), sources, notes))
    return _markdown(lines)


def _type(family: ForeignFamily) -> str:
    return "counter" if family.kind is Kind.COUNTER else "gauge"


def _unit(row: Row) -> str:
    if isinstance(row.value, Scale) and row.value in _UNITS:
        return _UNITS[row.value]
    name = row.family.name
    return next((unit for end, unit in _OTHER_UNITS.items() if name.endswith(end)), "0 to 1" if "PROF" in name else "")


def _instances(row: Row) -> str:
    if Subject.PARTITION not in row.subjects:
        return "absent"
    return "value of the device" if row.terms[0].of_device else "own value"


def _source(row: Row) -> str:
    terms = " ".join(_term(place, term) for place, term in enumerate(row.terms))
    if isinstance(row.value, NumberOfHighest):
        return f"the {row.value.label} of the highest {terms}"
    together = f"({terms})" if len(row.terms) > 1 else terms
    return f"{together}{_factor(row.value)}" if isinstance(row.value, Scale) and row.value != AS_IS else terms


def _factor(scale: Scale) -> str:
    if scale.multiplier != 1:
        return f" * {scale.multiplier:g}"
    return " / 2^20" if scale.divisor == 2**20 else f" / {scale.divisor:,.0f}"


def _term(place: int, term: Term) -> str:
    sign = "- " if term.negative else "+ " if place else ""
    return f"{sign}`{term.metric.stem}{_where(term)}`"


def _where(term: Term) -> str:
    labels = ",".join(_matchers(term))
    return f"{{{labels}}}" if labels else ""


def _matchers(term: Term) -> Iterator[str]:
    yield from (f'{name}="{value}"' for name, value in term.where.items())


def _markdown(lines: Sequence[tuple[str, ...]]) -> str:
    head, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join((head, f"|{' --- |' * len(lines[0])}", *rest))


def main(arguments: Sequence[str] | None = None, folder: Path = ROOT) -> int:
    """Write the page, or check it."""
    page = {folder / _DOCUMENT.relative_to(ROOT): document()}
    return write(page, sys.argv[1:] if arguments is None else arguments, __doc__)


if __name__ == "__main__":
    sys.exit(main())
