from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bench import comparing, figures, running
from bench.figures import Table
from bench.nodes import sliced, whole
from bench.nvitop import complaints
from bench.plain import Direct, custom_registry
from bench.played import Played
from bench.process import ScrapeCost, series_of
from bench.running import Cost
from bench.series import course
from collectors.metric import DEFAULT_SETS
from collectors.simulated.parse import parse_scenario
from exporter import exposition
from exporter.series import Shown
from exporter.text_format import Format


def test_a_window_is_scaled_to_an_hour() -> None:
    assert figures.per_hour(0.5, 60) == 30
    assert figures.with_scrapes(30, 0.01, 15) == pytest.approx(32.4)


def test_idle_work_is_taken_off_and_nothing_costs_less_than_nothing() -> None:
    assert figures.above_idle(1.0, 10, 0.02) == pytest.approx(0.8)
    assert figures.above_idle(0.1, 10, 0.02) == 0


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (figures.milliseconds(0.01234), "12.3 ms"),
        (figures.milliseconds(1.5), "1,500 ms"),
        (figures.megabytes(61_400_000), "61.4 MB"),
        (figures.kilobytes(1_045_174), "1,045.2 kB"),
        (figures.count(4332), "4,332"),
        (figures.against(900, 900), "within, 100% of it"),
        (figures.against(990, 900), "over, 110% of it"),
    ],
)
def test_figures_are_shown_with_their_unit(found: str, shown: str) -> None:
    assert found == shown


def test_a_table_is_markdown_that_also_reads_as_text() -> None:
    table = Table("Series", "How many.", ("Node", "Most"), [("`load`", "4,217"), ("a", "1")])
    assert table.markdown() == (
        "## Series\n\nHow many.\n\n| Node   |  Most |\n| ------ | ----: |\n| `load` | 4,217 |\n| a      |     1 |\n"
    )


def test_a_table_with_a_row_of_another_length_is_refused() -> None:
    with pytest.raises((ValueError, IndexError)):
        Table("Series", "How many.", ("Node", "Most"), [("a",)]).markdown()


def test_series_are_counted_without_comments_and_empty_lines() -> None:
    assert series_of(b'# HELP a b\n# TYPE a gauge\na 1\n\na{b="c"} 2\n# EOF\n') == 2


def test_the_plain_client_renders_the_same_samples() -> None:
    snapshot = Played(parse_scenario(sliced(1), "bench", Path())).at(0)
    text = exposition.render(snapshot, (), Format.TEXT).decode()
    direct = Direct(text)
    direct.poll()
    ours = _samples(text)
    assert len(ours) > 200
    assert _samples(generate_latest(custom_registry(text)).decode()) == ours
    assert _samples(generate_latest(direct.registry).decode()) == ours


def _samples(text: str) -> set[tuple[str, frozenset[tuple[str, str]], float]]:
    """Without the labels that direct instrumentation can only leave empty."""
    return {
        (sample.name, frozenset((name, value) for name, value in sample.labels.items() if value), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_course_of_a_node_is_counted_as_a_scrape_is() -> None:
    scenario = parse_scenario(whole(2), "bench", Path())
    snapshot = Played(scenario).at(0)
    rendered = series_of(exposition.render(snapshot, (), Format.TEXT, Shown(sets=DEFAULT_SETS)))
    (counted,) = course(scenario, 1)
    assert counted > rendered  # by the exporter's own
    assert rendered < series_of(exposition.render(snapshot, (), Format.TEXT))


def test_a_log_is_summed_up_by_its_kinds_of_errors(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("INFO: fine\nERROR: <a at 0x7f01>\nTraceback\nERROR: <a at 0x7f02>\nWARNING: b\n")
    assert complaints(log) == ["ERROR: <a>", "WARNING: b"]


def cost(name: str, cpu_per_hour: float) -> Cost:
    scrape = ScrapeCost(cpu_per_hour / 1000, 0.001, round(1000 * cpu_per_hour))
    return Cost(name, round(10 * cpu_per_hour), cpu_per_hour, 8.0, 0, 0, round(1e6 * cpu_per_hour), scrape)


def test_what_each_added_device_and_pod_costs_is_the_slope() -> None:
    devices = {name: cost(name, 5 + 2 * number) for number, name in running.OF_DEVICES.items()}
    pods = {name: cost(name, 5.0) for name in running.OF_PODS.values()}
    of_devices, of_pods = comparing.tables(devices | pods)
    assert of_devices.rows[-1] == ("each added one", "20", "2.00 s", "0.0", "2.0 MB", "2.0 kB")
    assert of_pods.rows[-1] == ("each added one", "0", "0.00 s", "0.0", "0.0 kB", "0.0 kB")
    assert [row[0] for row in of_devices.rows[:-1]] == ["1", "4", "8", "16"]


def test_ratios_are_those_to_nvitop_exporter_if_it_was_measured() -> None:
    costs = {name: cost(name, 10) for name in (*running.OF_DEVICES.values(), *running.OF_PODS.values(), running.SLICED)}
    costs |= {running.NVITOP_PLAIN: cost("", 20), running.NVITOP_SLICED: cost("", 5)}
    ratios, *_ = comparing.tables(costs)
    assert ratios.rows == [
        (running.PLAIN, "0.50", "0.50", "0.50", "1.00"),
        (running.SLICED, "2.00", "2.00", "2.00", "1.00"),
    ]
