"""Generates docs/nvidia-support.md: which families each generation of NVIDIA cards has, and why the others are missing.

The sources are the catalogue, the simulated cards of the tests and what the exporter exported for them. `python
tools/gen_nvidia_support.py` writes the file. With `--check` it writes nothing, and the exit code is 1 if the file is
out of date.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from collectors.metric import Metric, Subject
from collectors.nvidia import SPEC
from tests.doubles.nvml_cards import CARDS, Card, card

_ROOT = Path(__file__).resolve().parent.parent
_DOCUMENT = Path("docs/nvidia-support.md")

_HEAD = """\
# NVIDIA: families of each generation

Generated from the catalogue, from the simulated cards of the tests, and from what the exporter exported for them: a
cell is "yes" if the [golden file](../tests/golden/nvidia) of the card has the family. Otherwise a number is the
reason, listed below the tables. [metrics](metrics.md) explains the families, [NVIDIA health](nvidia-health.md) explains
`status` and the error codes, and `accelerator-exporter check` reports the same for the devices of a node.

The tests simulate the cards with a library of their own, below the real `nvidia-ml-py`. Its values were recorded on
real hardware where the last table says so, and are assumed elsewhere. This exporter has not yet been run on a real
card. Cards without a column are listed under [other cards](#other-cards). The tables do not contain the families that
only `collect.pcie_throughput` and `collect.diagnostics` export; [NVIDIA health](nvidia-health.md) lists those for
diagnosis.
"""
_NOTES = """\
- The time in throttling (`throttle_seconds_total`) is read only with `collect.diagnostics`. It is the sum of
  `throttle_active` over the fast readings: a reason that applies at both ends of an interval counts for all of it, at
  one end for half of it; more than 70 seconds without a reading count nothing. The driver has counters for power
  (fields 74 and 77), heat (251 and 252 for release 580, 269 and 270 by the header of CUDA 13) and the external brake
  (253 or 271): in nanoseconds according to its header, while its own tool shows microseconds. The counters of a reason
  take the place of the sum, from then on, once they agree with it within a factor of 2: over at least 60 seconds, of
  which the reason applies for at least 5. If they disagree, they are not used until the next session of the library, or
  until the device was lost and is back. The time is counted since the exporter started, and continues over reloads of
  the driver.
- Fields 193 to 196 (T.Limit of slowdown, shutdown and maximum) are positions on the scale of the margin; they are
  neither limits nor margins.
- The PCIe bytes of GPM (255, 256) are not used, because their unit is not stated; fields 197 and 198 are used where
  they have 64 bits. If one of them falls twice in a row, it wraps, and is absent until the next session of the library.
- NVML has three sets of fields for the errors of NVLinks. The exporter uses the first that a driver supports, for a
  whole session of the driver: those of each link (161 to 163), which it adds up; the sums of generation 5 (208 to 212,
  215, 221); the oldest sums (38, 45, 52, 59), which on Hopper are refused or always 0. While the oldest sums have
  counted nothing, another set replaces them as soon as it answers; what that had counted before does not appear as a
  rise. While a link is down, or its count is impossible, its last count is part of the sum. Nothing is counted twice:
  malformed packets and buffer overruns (206, 207) are assumed to be included in the receive errors (208).
- A link that sleeps to save power is `up`. One whose traffic is disabled (driver 590), or with a state that is not
  known, is neither `up` nor `down`. While the state or the speed of one link is impossible, the total bandwidth is
  absent.
- The bytes of NVLinks do not include protocol overhead (138, 139). If the driver refuses these fields, those of
  generation 5 are used (202, 204); NVML does not state whether they include it.
- `memory_bandwidth_utilization_ratio` is the used bandwidth, from GPM. Devices without GPM have `memory_busy_ratio`
  instead, the time in which memory was read or written. The two cannot be compared.
- `pcie_throughput_bytes_per_second` (`collect.pcie_throughput`) is what NVML states in KB/s, times 1,000. A user has
  reported (NVIDIA/nvidia-settings, issue 114, February 2025) that a driver of that time counts MB/s, so that the value
  is 1,000 times too low. NVIDIA has not confirmed it, and no source says which releases do so; it is not corrected.
  `pcie_bytes_total` is not affected.
- Errors of C2C (231 to 233) are not used: no source states whether they are of one link or of all links.
- Of the families for diagnosis, what predicts a failure exists from Ampere on: spare rows, errors of SRAM with their
  threshold (driver 550), pending repairs. Fields 301 to 307 (inactive rows, and the remapping of banks) are named by
  the header of driver 615; their values were not seen on any card.
- The registration with an NVLink fabric exists from Hopper on, with driver 550. If it has not finished within five
  minutes, has failed, or the fabric is unhealthy, `status` is `degraded`, also without `collect.diagnostics`.
- GPM's values of a MIG device are those of its GPU instance, assumed to be relative to the instance. A compute instance
  with only a part of its GPU instance (profiles such as `1c.3g.40gb`) has none, even if it is alone there.
- A MIG device whose size cannot be read lacks only `compute_ratio`; the rest is read.
- The utilization of a device in MIG mode that only its instances report is their sum, weighted by their sizes. It is
  absent while that of one instance is unknown.
- GPM compares two samples, so activity begins with the second poll, and `--once` never shows it.
"""
_OTHER_CARDS = """\
These have no simulated card, so their families are known from documents and reports only.

| Card | What is different | Why |
| --- | --- | --- |
| GB10 and others without memory of their own | No memory usage, limit or reserved memory; `host_memory_usage_bytes` \
is the sum over the processes on the device, and absent while there are none. So containers have no memory usage or \
limit either. By reports, GB10 also has no power limit, no ECC and no fan, and its PCIe link reads as generation 1 \
with one lane, which is not how it is connected | NVML reports neither a memory nor an aperture to it (BAR1), but \
what each process uses. The reports: snowflakedb/ArcticTraining, pull request 345, and Syllo/nvtop, issue 426 |
| Jetson and others on no PCI bus | A device with the kernel's name, such as `17000000.gpu`, else its index. No PCIe \
families; `processes` may be 0 while programs run | NVML has no PCI information for it, and by public reports it never \
lists a process |
| GB200, GB300 | Expected as B200 with the C2C of GH200 | Not tried |
| Virtual GPUs in a guest | What the guest's driver supports; the rest is absent, never 0 | Not tried |
| Volta and Pascal | As T4. NVLink bytes need a driver that has fields 138 and 139; Pascal has no energy counter, so \
its power is integrated | nvml.h: energy from Volta on |
"""


def document() -> str:
    """The whole of docs/nvidia-support.md."""
    cards = {name: card(name) for name in CARDS}
    reasons: dict[str, int] = {}
    devices = _table("Device family", SPEC.metrics, Subject.DEVICE, cards, reasons)
    partitioned = {name: each for name, each in cards.items() if each.mig}
    partitions = _table("Partition family", SPEC.partition_metrics, Subject.PARTITION, partitioned, reasons)
    listed = "\n".join(f"{number}. {reason}" for reason, number in reasons.items())
    parts = (
        _HEAD,
        "## Devices\n",
        devices,
        "## MIG devices\n",
        partitions,
        "## Reasons\n",
        f"{listed}\n",
        "## Notes\n",
        _NOTES,
        "## Other cards\n",
        _OTHER_CARDS,
        "## Sources of the values\n",
        _origins(cards.values()),
    )
    return "\n".join(parts)


def _table(
    title: str, rows: Sequence[Metric], subject: Subject, cards: Mapping[str, Card], reasons: dict[str, int]
) -> str:
    lines = [(title, *(f"{name}: {each.generation}" for name, each in cards.items()))]
    for row in rows:
        if not row.opt_in:
            family = row.name(subject)
            cells = (_cell(name, each, row, subject, reasons) for name, each in cards.items())
            lines.append((f"`{family}`", *cells))
    return _markdown(lines)


def _cell(name: str, of_card: Card, row: Metric, subject: Subject, reasons: dict[str, int]) -> str:
    text = (_ROOT / "tests" / "golden" / "nvidia" / f"{name}.prom").read_text(encoding="utf-8")
    if f"\n{row.name(subject)}{{" in text:
        return "yes"
    absent = of_card.absent if subject is Subject.DEVICE else of_card.partition_absent
    return str(reasons.setdefault(absent[row.stem], len(reasons) + 1))


def _origins(cards: Iterable[Card]) -> str:
    lines = [("Card", "Driver", "Recorded", "Assumed", "Source")]
    lines += (
        (
            each.title,
            each.driver,
            str(len(each.recorded) + len(each.recorded_fields)),
            str(len(each.assumed) + len(each.assumed_fields)),
            " ".join(each.source.split()) or "none: all assumed",
        )
        for each in cards
    )
    return _markdown(lines)


def _markdown(lines: Sequence[tuple[str, ...]]) -> str:
    head, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join((head, f"|{' --- |' * len(lines[0])}", *rest)) + "\n"


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="write nothing, fail if the file is out of date")
    path, content = _ROOT / _DOCUMENT, document()
    if not parser.parse_args().check:
        path.write_text(content, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != content:
        sys.exit(f"{_DOCUMENT} is out of date: run `make docs`")


if __name__ == "__main__":
    main()
