"""Finds metrics of accelerators as the programme's own test does, in both of its drafts.

Source: TestAcceleratorPerformanceMetrics in test/accelerator_metrics_test.go of kubernetes-sigs/ai-conformance, commits
2100de2 (draft 1) and 78f94cc (draft 2). Neither was merged when this was written (2026-11). These are their rules, not
their code. Compared with their functions, compiled by Go 1.27, on 360,000 random texts: the same samples, but for the
number of replacement characters in place of bytes that are not UTF-8.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# A series belongs to an accelerator if it has one of these labels.
DEVICE_LABELS = (
    "gpu",
    "UUID",
    "uuid",
    "device_id",
    "dev_id",
    "card_id",
    "GPU_I_ID",
    "minor_number",
    "pci_bus_id",
)
UTILIZATION_PATTERNS = ("util",)
# Metrics that a platform should have if its hardware has them: what is missing is reported, and is no failure.
OPTIONAL_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "temperature": ("temp",),
    "power": ("power", "watt", "energy"),
    "interconnect bandwidth": ("nvlink", "pcie_tx", "pcie_rx", "bandwidth", "xgmi"),
}

# The test reads with Go's bufio.Scanner, which stops before a line that does not fit into 64 KiB with its end.
_LONGEST_LINE_BYTES = 64 * 1024 - 1
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
# Numbers as Go's strconv.ParseFloat takes them.
_DIGITS, _HEX = r"[0-9](?:_?[0-9])*", r"[0-9a-f](?:_?[0-9a-f])*"
_DECIMAL = rf"(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:e[+-]?{_DIGITS})?"
_HEXADECIMAL = rf"0x(?:_?{_HEX}\.?(?:{_HEX})?|\.{_HEX})p[+-]?{_DIGITS}"
_NUMBER = re.compile(rf"[+-]?(?:{_DECIMAL}|(?P<hexadecimal>{_HEXADECIMAL})|(?P<infinite>inf|infinity))", re.IGNORECASE)
# What stands between commas, which count only outside quotes. A backslash escapes inside of quotes.
_LABEL_PAIR = re.compile(r'(?:"(?:\\.|[^"\\])*(?:"|\\?\Z)|[^",])+', re.DOTALL)
_QUOTES_LENGTH = 2


@dataclass(frozen=True, slots=True)
class Draft:
    """The rules of one draft.

    Attributes:
        name: Its name for people, with the commit.
        memory_patterns: What a name of a memory metric contains.
        reads_values: Whether it reads values: then a sample without a number, or with NaN, does not count, and neither
            does a label without a value. An endpoint without any sample then fails.
    """

    name: str
    memory_patterns: tuple[str, ...]
    reads_values: bool


DRAFT_1 = Draft("draft 1 (2100de2)", ("mem", "fb", "vram", "hbm"), reads_values=False)
DRAFT_2 = Draft("draft 2 (78f94cc)", ("fb_used", "mem_used", "memory_used", "vram_used", "hbm_used"), reads_values=True)


class OfficialSample(NamedTuple):
    """A sample as the test reads it. The value is None where the draft does not read values."""

    name: str
    labels: dict[str, str]
    value: float | None

    @property
    def accelerator(self) -> str:
        """What distinguishes its accelerator: `label=value`; empty if the test does not know a label of it.

        An endpoint can have series with `uuid` and others with `UUID` of the same device: both are `uuid` here.
        """
        found = next((label for label in _BY_IDENTITY if label in self.labels), "")
        return f"{found.lower() if found in _UUIDS else found}={self.labels[found]}" if found else ""


_UUIDS = ("uuid", "UUID")
# The labels in the order in which they identify a device best.
_BY_IDENTITY = tuple(sorted(DEVICE_LABELS, key=lambda label: label not in _UUIDS))


def read_samples(body: str, draft: Draft) -> list[OfficialSample]:
    """The samples that a draft reads from a body; what it cannot read it ignores.

    Args:
        body: The body of the response.
        draft: The rules.
    """
    return list(_samples(body, draft))


def per_accelerator(samples: Iterable[OfficialSample]) -> list[OfficialSample]:
    """The samples with a label of a device."""
    return [sample for sample in samples if sample.accelerator]


def find(samples: Iterable[OfficialSample], name: str, patterns: Sequence[str]) -> list[OfficialSample]:
    """The samples of accelerators with this name or, without one, whose names contain a pattern.

    Args:
        samples: Samples of a draft.
        name: The exact name; empty for none.
        patterns: In small letters.
    """
    return named(per_accelerator(samples), name, patterns)


def named(samples: Iterable[OfficialSample], name: str, patterns: Sequence[str]) -> list[OfficialSample]:
    """The same of all samples, also those without a label of a device."""
    if name:
        return [sample for sample in samples if sample.name == name]
    return [sample for sample in samples if any(pattern in sample.name.lower() for pattern in patterns)]


def _samples(body: str, draft: Draft) -> Iterator[OfficialSample]:
    for raw in body.split("\n"):
        if len(raw.encode("utf-8", "surrogatepass")) > _LONGEST_LINE_BYTES:
            return
        line = raw.strip(_SPACE)
        if line and not line.startswith("#") and (sample := _sample(line, draft)) is not None:
            yield sample


def _sample(line: str, draft: Draft) -> OfficialSample | None:
    name, brace, rest = line.partition("{")
    if brace and " " not in name:
        labels, closing, rest = rest.rpartition("}")
        if not closing:
            return None
    else:
        name, space, rest = line.partition(" ")
        labels = ""
        if not space:
            return None
    value = _value(rest) if draft.reads_values else None
    name = name.strip(_SPACE)
    if not name or (draft.reads_values and value is None):
        return None
    return OfficialSample(name, _labels(labels, draft), value)


def _value(text: str) -> float | None:
    """The number that a text begins with; None if there is none, or one that is too large."""
    first = re.split(f"[{_SPACE}]", text.strip(_SPACE), maxsplit=1)[0]
    number = _NUMBER.fullmatch(first)
    if number is None:
        return None
    try:
        value = float.fromhex(first.replace("_", "")) if number["hexadecimal"] else float(first)
    except OverflowError:
        return None
    return None if math.isinf(value) and not number["infinite"] else value


def _labels(text: str, draft: Draft) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in _LABEL_PAIR.findall(text):
        key, equals, value = (part.strip(_SPACE) for part in pair.partition("="))
        if len(value) >= _QUOTES_LENGTH and value[0] == value[-1] == '"':
            value = value[1:-1]
        if key and equals and (value.strip(_SPACE) or not draft.reads_values):
            labels[key] = value
    return labels
