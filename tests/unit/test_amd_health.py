from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.status import RULES, HealthFacts, state_of
from tests.doubles.amd_cards import MI210, MI300X, RX_7900_XTX
from tests.doubles.amd_node import ALL, FAST, NOW, collector_of, reasons, value, values
from tests.doubles.amd_tree import AmdTree, Gpu

_ADDRESS = "0000:63:00.0"
_PAGE = "0x{page:08x} : 0x00001000 : {flag}"


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.fixture
def gpu(tree: AmdTree) -> Gpu:
    return tree.add(MI210, _ADDRESS)


def state(tree: AmdTree, gpu: Gpu) -> str:
    states = values(collector_of(tree).read(ALL), catalog.STATUS_STATE, gpu.uuid)
    assert sorted(states.values()) == [0, 0, 0, 1]
    return next(labels[0] for labels, now in states.items() if now)


def bad_pages(flags: str) -> str:
    return "\n".join(_PAGE.format(page=page, flag=flag) for page, flag in enumerate(flags))


def test_only_the_errors_of_the_memory_are_memory_errors(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/umc_err_count", "ue: 2\nce: 40")
    gpu.write("ras/gfx_err_count", "ue: 1\nce: 2\nde: 9")
    gpu.write("ras/xgmi_wafl_err_count", "ue: 0\nce: 7")
    collector = collector_of(tree)
    reading = collector.read(ALL)
    assert values(reading, catalog.MEMORY_ERRORS, gpu.uuid) == {("corrected",): 40, ("uncorrected",): 2}
    gpu.write("ras/xgmi_wafl_err_count", "ue: 7\nce: 7")
    reading = collector.read(ALL)
    assert values(reading, catalog.MEMORY_ERRORS, gpu.uuid) == {("corrected",): 40, ("uncorrected",): 2}
    assert value(reading, catalog.ERRORS, gpu.uuid, "ras", "xgmi_wafl", "hardware") == 7
    assert value(reading, catalog.STATUS_STATE, gpu.uuid, "degraded") == 1


def test_a_card_that_does_not_count_errors_of_its_memory_has_no_memory_errors(tree: AmdTree, gpu: Gpu) -> None:
    gpu.remove("ras/umc_err_count")
    reading = collector_of(tree).read(ALL)
    assert values(reading, catalog.MEMORY_ERRORS, gpu.uuid) == {}
    assert value(reading, catalog.ERRORS, gpu.uuid, "ras", "gfx", "hardware") == 0
    assert catalog.MEMORY_ERRORS in {each.metric for each in reading.unsupported}


def test_deferred_errors_of_the_memory_are_a_kind_of_their_own(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, "0000:05:00.0")
    gpu.write("ras/umc_err_count", "ue: 1\nce: 5\nde: 3")
    gpu.write("ras/gfx_err_count", "ue: 0\nce: 0\nde: 9")
    found = values(collector_of(tree).read(ALL), catalog.MEMORY_ERRORS, gpu.uuid)
    assert found == {("corrected",): 5, ("uncorrected",): 1, ("deferred",): 3}


def test_deferred_errors_are_absent_without_their_count(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, "0000:05:00.0")
    gpu.write("ras/umc_err_count", "ue: 1\nce: 5")  # drivers before Linux 6.9
    found = values(collector_of(tree).read(ALL), catalog.MEMORY_ERRORS, gpu.uuid)
    assert found == {("corrected",): 5, ("uncorrected",): 1}


def test_a_count_of_deferred_errors_that_is_always_0_is_absent(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/umc_err_count", "ue: 1\nce: 5\nde: 0")  # the driver counts them as uncorrected on this generation
    found = values(collector_of(tree).read(ALL), catalog.MEMORY_ERRORS, gpu.uuid)
    assert found == {("corrected",): 5, ("uncorrected",): 1}


def test_deferred_errors_alone_do_not_make_the_card_degraded(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, "0000:05:00.0")
    gpu.write("ras/umc_err_count", "ue: 0\nce: 0\nde: 3")
    assert state(tree, gpu) == "ok"


@pytest.mark.parametrize("content", ["", "ue: 1", "ce: 1", "ue: x\nce: 1", "garbage"])
def test_with_a_torn_count_the_errors_are_absent_and_not_0(tree: AmdTree, gpu: Gpu, content: str) -> None:
    gpu.write("ras/sdma_err_count", content)
    reading = collector_of(tree).read(ALL)
    assert values(reading, catalog.MEMORY_ERRORS, gpu.uuid) == {}
    assert reasons(reading) == {(gpu.uuid, "invalid_value")}


def test_counts_that_the_driver_cannot_read_now_are_unavailable(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/umc_err_count", "Query currently inaccessible")
    reading = collector_of(tree).read(ALL)
    assert values(reading, catalog.MEMORY_ERRORS, gpu.uuid) == {}
    assert reasons(reading) == {(gpu.uuid, "unavailable")}


def test_a_card_without_counts_has_no_errors_and_no_events(tree: AmdTree) -> None:
    radeon = tree.add(RX_7900_XTX, "0000:43:00.0")
    reading = collector_of(tree).read(ALL)
    assert values(reading, catalog.MEMORY_ERRORS, radeon.uuid) == {}
    assert values(reading, catalog.ERRORS, radeon.uuid) == {}
    assert value(reading, catalog.STATUS_STATE, radeon.uuid, "ok") == 1


def test_events_are_counted_by_block_from_0(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/gfx_err_count", "ue: 5\nce: 0")  # before the exporter started
    times = iter(NOW + 60 * minute for minute in range(10))
    collector = collector_of(tree, wall_clock=lambda: next(times))
    reading = collector.read(ALL)
    assert set(values(reading, catalog.ERRORS, gpu.uuid).values()) == {0}
    assert values(reading, catalog.ERROR_LAST_TIMESTAMP, gpu.uuid) == {}
    gpu.write("ras/gfx_err_count", "ue: 7\nce: 0")
    reading = collector.read(ALL)
    label = ("ras", "gfx", "hardware")
    assert value(reading, catalog.ERRORS, gpu.uuid, *label) == 2
    assert value(reading, catalog.ERROR_LAST_TIMESTAMP, gpu.uuid, *label) == NOW + 60
    gpu.write("ras/gfx_err_count", "ue: 1\nce: 0")  # the driver was reloaded and counts from 0
    counts = [value(collector.read(ALL), catalog.ERRORS, gpu.uuid, *label) for _ in range(3)]
    assert counts == [2, 2, 3]  # a fall is believed after two further readings
    assert value(collector.read(FAST), catalog.ERRORS, gpu.uuid, *label) == 3


def test_count_that_dips_is_no_event(tree: AmdTree, gpu: Gpu) -> None:
    collector = collector_of(tree)
    counts = []
    for count in (7, 0, 7, 8):
        gpu.write("ras/gfx_err_count", f"ue: {count}\nce: 0")
        counts.append(value(collector.read(ALL), catalog.ERRORS, gpu.uuid, "ras", "gfx", "hardware"))
    assert counts == [0, 0, 0, 1]


def test_impossible_count_is_no_event(tree: AmdTree, gpu: Gpu) -> None:
    collector = collector_of(tree)
    counted = []
    for count in (1, 1, 2**64 - 1, 1, 2):
        gpu.write("ras/gfx_err_count", f"ue: {count}\nce: 0")
        counted.append(value(collector.read(ALL), catalog.ERRORS, gpu.uuid, "ras", "gfx", "hardware"))
    assert counted == [0, 0, 0, 0, 1]


def test_events_after_a_known_reset_are_counted_at_once(tree: AmdTree, gpu: Gpu) -> None:
    collector = collector_of(tree)
    gpu.write("ras/gfx_err_count", "ue: 7\nce: 0")
    collector.read(ALL)
    gpu.unbind()
    collector.read(ALL)
    gpu.write("ras/gfx_err_count", "ue: 2\nce: 0")
    gpu.bind()
    assert value(collector.read(ALL), catalog.ERRORS, gpu.uuid, "ras", "gfx", "hardware") == 2


def test_events_of_a_lost_card_stay_counted(tree: AmdTree, gpu: Gpu) -> None:
    collector = collector_of(tree)
    collector.read(ALL)
    gpu.write("ras/umc_err_count", "ue: 1\nce: 0")
    collector.read(ALL)
    gpu.unbind()
    reading = collector.read(ALL)
    assert value(reading, catalog.ERRORS, gpu.uuid, "ras", "umc", "hardware") == 1
    assert value(reading, catalog.STATUS_STATE, gpu.uuid, "failed") == 1


def test_bad_pages_are_retired_or_pending(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/gpu_vram_bad_pages", bad_pages("RRRPF"))
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.MEMORY_RETIRED_PAGES, gpu.uuid, "uncorrected") == 3
    assert value(reading, catalog.MEMORY_REPAIR_PENDING, gpu.uuid) == 1


def test_a_list_of_bad_pages_may_be_longer_than_a_page(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/gpu_vram_bad_pages", bad_pages("R" * 500))
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.MEMORY_RETIRED_PAGES, gpu.uuid, "uncorrected") == 500


@pytest.mark.parametrize("content", ["garbage", "0x1 : 0x1000 : X", bad_pages("RR")[:-3]])
def test_a_torn_list_of_bad_pages_is_absent(tree: AmdTree, gpu: Gpu, content: str) -> None:
    gpu.write("ras/gpu_vram_bad_pages", content)
    reading = collector_of(tree).read(ALL)
    assert values(reading, catalog.MEMORY_RETIRED_PAGES, gpu.uuid) == {}
    assert reasons(reading) == {(gpu.uuid, "invalid_value")}


# 64 GiB have 655 times 100 MiB; the driver has reserved memory for 128 pages.
@pytest.mark.parametrize(
    ("pages", "parameter", "expected"),
    [
        (0, "-1", "ok"),
        (127, "-1", "ok"),
        (128, "-1", "predicted_failure"),
        (654, "-2", "ok"),
        (655, "-2", "predicted_failure"),
        (127, "garbage", "ok"),
        (128, "garbage", "predicted_failure"),
        (9, "10", "ok"),
        (10, "10", "predicted_failure"),
        (1000, "0", "ok"),
    ],
)
def test_too_many_bad_pages_predict_a_failure(
    tree: AmdTree, gpu: Gpu, pages: int, parameter: str, expected: str
) -> None:
    gpu.write("ras/gpu_vram_bad_pages", bad_pages("R" * pages))
    (tree.path / "module" / "amdgpu" / "parameters" / "bad_page_threshold").write_text(f"{parameter}\n")
    assert state(tree, gpu) == expected


@pytest.mark.parametrize(
    ("version", "threshold"), [(("13", "0", "14"), 256), (("13", "0", "6"), 128), (("13", "0"), 128)]
)
def test_the_driver_reserves_twice_the_memory_on_some_gpus(
    tree: AmdTree, gpu: Gpu, version: tuple[str, ...], threshold: int
) -> None:
    for name, number in zip(("major", "minor", "revision"), version, strict=False):
        gpu.write(f"ip_discovery/die/0/MP0/0/{name}", number)
    gpu.write("ras/gpu_vram_bad_pages", bad_pages("R" * (threshold - 1)))
    assert state(tree, gpu) == "ok"
    gpu.write("ras/gpu_vram_bad_pages", bad_pages("R" * threshold))
    assert state(tree, gpu) == "predicted_failure"


def test_the_smaller_of_two_thresholds_decides(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("mem_info_vram_total", str(8 << 30))  # 81 times 100 MiB
    gpu.write("mem_info_vram_used", "0")
    gpu.write("ras/gpu_vram_bad_pages", bad_pages("R" * 80))
    assert state(tree, gpu) == "ok"
    gpu.write("ras/gpu_vram_bad_pages", bad_pages("R" * 81))
    assert state(tree, gpu) == "predicted_failure"


def test_an_uncorrected_error_makes_the_card_degraded(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/sdma_err_count", "ue: 1\nce: 0")
    assert state(tree, gpu) == "degraded"


def test_new_errors_are_events_once_and_reasons_of_the_state_while_it_lasts(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/gfx_err_count", "ue: 0\nce: 0")
    collector = collector_of(tree)
    assert (collector.read(ALL).events, collector.read(ALL).conditions) == ((), {})
    gpu.write("ras/gfx_err_count", "ue: 2\nce: 0")
    reading = collector.read(ALL)
    (event,) = reading.events
    assert (event.code, event.text, event.occurrences) == ("gfx", "Uncorrected errors in the block gfx", 2)
    later = collector.read(ALL)
    assert later.events == ()
    for each in (reading, later):
        assert [(why.state, why.text) for why in each.conditions[gpu.uuid]] == [
            ("degraded", "Uncorrected errors in the block gfx since the driver was loaded")
        ]


def test_corrected_errors_do_not_make_the_card_degraded(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/umc_err_count", "ue: 0\nce: 99999")
    assert state(tree, gpu) == "ok"


def test_a_bad_page_in_use_makes_the_card_degraded(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write("ras/gpu_vram_bad_pages", bad_pages("RP"))
    assert state(tree, gpu) == "degraded"


def test_the_state_stays_until_the_next_reading(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, "0000:05:00.0")
    gpu.write("ras/umc_err_count", "ue: 1\nce: 0")
    collector = collector_of(tree)
    collector.read(ALL)
    gpu.write("ras/umc_err_count", "ue: 0\nce: 0")  # the driver was reloaded
    assert value(collector.read(FAST), catalog.STATUS_STATE, gpu.uuid, "degraded") == 1
    assert value(collector.read(ALL), catalog.STATUS_STATE, gpu.uuid, "ok") == 1


def test_a_card_without_any_reading_has_no_state(tree: AmdTree, gpu: Gpu) -> None:
    for name in ("gpu_busy_percent", "mem_busy_percent", "mem_info_vram_used", "mem_info_vram_total"):
        gpu.fail(name)
    gpu.fail("mem_info_gtt_used")
    gpu.fail("hwmon/power1_average")
    collector = collector_of(tree)
    collector.read(ALL)
    assert values(collector.read(FAST), catalog.STATUS_STATE, gpu.uuid) == {}


ALL_ONES = b"18446744073709551615\n"


@pytest.mark.parametrize("content", [None, b"", b"\0" * 64, ALL_ONES], ids=["gone", "empty", "NUL", "all ones"])
@pytest.mark.parametrize("from_start", [True, False])
def test_a_card_of_which_nothing_can_be_read_is_not_ok(
    tree: AmdTree,
    gpu: Gpu,
    content: bytes | None,
    from_start: bool,  # noqa: FBT001 - the two cases
) -> None:
    collector = collector_of(tree)
    if not from_start:
        assert values(collector.read(ALL), catalog.STATUS_STATE, gpu.uuid)[("ok",)] == 1
    for file in [path for path in gpu.folder.rglob("*") if path.is_file()]:
        if content is None:
            file.unlink()
        elif file.name not in {"name", "vendor", "device", "class"}:
            file.write_bytes(content)
    for due in (FAST, ALL, FAST):
        assert values(collector.read(due), catalog.STATUS_STATE, gpu.uuid) == {}


def test_a_card_without_fast_readings_keeps_its_state_between_the_others(tree: AmdTree, gpu: Gpu) -> None:
    for name in ("gpu_busy_percent", "mem_busy_percent", "mem_info_vram_used", "mem_info_vram_total"):
        gpu.remove(name)
    for name in ("mem_info_gtt_used", "hwmon/power1_average", "gpu_metrics"):
        gpu.remove(name)
    collector = collector_of(tree)
    for due in (ALL, FAST, FAST):
        assert values(collector.read(due), catalog.STATUS_STATE, gpu.uuid)[("ok",)] == 1


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (HealthFacts(), "ok"),
        (HealthFacts(lost=True, failing_blocks=("umc",)), "failed"),
        (HealthFacts(bad_pages=5, bad_page_threshold=5, repair_pending=True), "predicted_failure"),
        (HealthFacts(bad_pages=5), "ok"),
        (HealthFacts(repair_pending=True), "degraded"),
        (HealthFacts(failing_blocks=("umc",)), "degraded"),
    ],
)
def test_the_worst_rule_decides(facts: HealthFacts, expected: str) -> None:
    assert state_of(facts) == expected


def test_rules_are_sorted_by_severity() -> None:
    order = ("failed", "predicted_failure", "degraded")
    states = [order.index(rule.state) for rule in RULES]
    assert states == sorted(states)


def test_the_documentation_has_every_rule_in_order() -> None:
    page = (Path(__file__).parents[2] / "docs" / "amd.md").read_text(encoding="utf-8")
    rows = [f"| `{rule.name}` | `{rule.state}` | {rule.text} | {rule.do} |" for rule in RULES]
    assert "\n".join(rows) in page
    assert sum(page.count(f"| `{state}` |") for state in ("failed", "degraded", "predicted_failure")) == len(RULES)
