"""The rules of the official test, in both drafts."""

from typing import Any

import pytest

from exporter.conformance.official import DRAFT_1, DRAFT_2, Draft, OfficialSample, find, per_accelerator, read_samples

BOTH = [DRAFT_1, DRAFT_2]


def names(body: str, draft: Draft) -> list[str]:
    return [sample.name for sample in read_samples(body, draft)]


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("up 1", ("up", {}, 1.0)),
        ('util{gpu="0",UUID="GPU-a"} 42', ("util", {"gpu": "0", "UUID": "GPU-a"}, 42.0)),
        ('util{gpu="0"} 42 1700000000000', ("util", {"gpu": "0"}, 42.0)),
        ('  util {gpu="0"} 1\r', None),  # a space before the brace ends the name, and the rest is no number
        ('util{ gpu = "0" , uuid="a" }  3', ("util", {"gpu": "0", "uuid": "a"}, 3.0)),
        ('util{a="b,c",d="}",e="\\"x,"} 3', ("util", {"a": "b,c", "d": "}", "e": '\\"x,'}, 3.0)),
        ("util{gpu=0} +Inf", ("util", {"gpu": "0"}, float("inf"))),
        ("util{,,} .5e1", ("util", {}, 5.0)),
        ('util{="x"} 1', ("util", {}, 1.0)),
        ('util{gpu="0" 1', None),
        ("{} 1", None),
        ("util", None),
        ("util{}", None),
        ("util NaN", None),
        ("util 1e999", None),
        ("util 1_0", ("util", {}, 10.0)),
        ("util -0x1.8p1", ("util", {}, -3.0)),
        ("util 0x1p9999", None),
        ("util 1__0", None),
        ("util 0x1", None),
        ("util one", None),
        ("# util 1", None),
    ],
)
def test_draft_2_reads_a_line(line: str, sample: tuple[str, dict[str, str], float] | None) -> None:
    assert read_samples(line, DRAFT_2) == ([] if sample is None else [OfficialSample(*sample)])


@pytest.mark.parametrize(
    ("line", "drafts"),
    [
        ('util{gpu="0"} NaN', (1, 0)),
        ('util{gpu="0"} none', (1, 0)),
        ('util{gpu=""} 1', (1, 0)),
        ('util{gpu="0"} 1', (1, 1)),
        ('util{hw_id="0"} 1', (0, 0)),
    ],
)
def test_draft_1_reads_neither_values_nor_empty_labels(line: str, drafts: tuple[int, int]) -> None:
    assert tuple(len(per_accelerator(read_samples(line, draft))) for draft in BOTH) == drafts


@pytest.mark.parametrize("draft", BOTH)
def test_a_line_that_does_not_fit_into_64_kib_ends_the_reading(draft: Draft) -> None:
    longest = f'b{{gpu="{"é" * 32_762}"}} 1\n'
    assert len(longest.encode()) == 64 * 1024
    assert names(f"a 1\n{longest}c 1\n", draft) == ["a", "b", "c"]
    assert names(f"a 1\n {longest}c 1\n", draft) == ["a"]


@pytest.mark.parametrize(
    ("metric", "memory"),
    [
        ("accelerator_device_memory_usage_bytes", (True, False)),
        ("accelerator_memory_used_bytes", (True, True)),
        ("DCGM_FI_DEV_FB_USED", (True, True)),
        ("DCGM_FI_DEV_FB_FREE", (True, False)),
        ("gpu_used_vram", (True, False)),
        ("go_threads", (False, False)),
    ],
)
def test_names_of_memory(metric: str, memory: tuple[bool, bool]) -> None:
    line = f'{metric}{{uuid="a"}} 1'
    assert tuple(bool(find(read_samples(line, draft), "", draft.memory_patterns)) for draft in BOTH) == memory


def test_an_exact_name_needs_a_label_of_a_device_too() -> None:
    samples = read_samples('util{gpu="0"} 1\nutil 2\nutil2{gpu="0"} 3', DRAFT_2)
    assert [sample.value for sample in find(samples, "util", ())] == [1.0]


@pytest.mark.parametrize(
    ("labels", "accelerator"),
    [
        ({"gpu": "0", "UUID": "GPU-a", "pci_bus_id": "x"}, "uuid=GPU-a"),
        ({"pci_bus_id": "x", "uuid": "b"}, "uuid=b"),
        ({"card_id": "1"}, "card_id=1"),
        ({"hw_id": "1"}, ""),
    ],
)
def test_an_accelerator_is_known_by_its_best_label(labels: dict[str, Any], accelerator: str) -> None:
    assert OfficialSample("a", labels, 1.0).accelerator == accelerator
