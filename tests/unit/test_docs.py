import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import promql_parser
import pytest

from collectors import catalog
from collectors.contract import Collector, CollectorSpec, Node
from collectors.metric import Metric, Origin, Subject
from deploy.prometheus.src import openshift
from exporter import families
from exporter.configuration.flags import ACTIONS, CONFIG_FILE_FLAG
from exporter.configuration.settings import OPTIONS
from tests.doubles.documented_queries import PAGES as PAGES_WITH_QUERIES
from tests.doubles.documented_queries import code_blocks
from tools import gen_metrics
from tools.queries import QUERIES

ROOT = Path(__file__).parent.parent.parent
ROWS = (*catalog.ROWS, *families.ROWS)
NAMES = {row.name(subject) for row in ROWS for subject in row.subjects}
# Families of earlier versions, which only the page about upgrading names.
REMOVED = {"accelerator_device_max_clock_hertz"}
# Recorded by shipped rules from families of ours.
OPENSHIFT_NAMES = {rule.document()["record"] for group in openshift.GROUPS for rule in group.rules}
# No families: a requirement of the conformance programme, and the metric that prometheus-adapter makes of ours.
OTHER_NAMES = {"accelerator_metrics", "accelerator_utilization"}
OTHER_PAGES = (ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "dashboards" / "README.md")
PAGES = (*OTHER_PAGES, *sorted((ROOT / "docs").glob("*.md")))
METRICS_PAGE = ROOT / "docs" / "metrics.md"

# A name, or a prefix that a text uses for several names: `accelerator_device_`, `accelerator_device_*`.
NAME = re.compile(r"(?<![\w.])(?:accelerator|process)_[a-z0-9_]*+(?!\.[a-z])")
PREFIXES = {f"{subject.value}_" for subject in Subject} | {"accelerator_", "process_"}
FLAG = re.compile(r"(?<![\w-])--[a-z]+(?:\.[a-z-]+)+")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def unknown_names(text: str) -> set[str]:
    return set(NAME.findall(text)) - NAMES - PREFIXES - OPENSHIFT_NAMES - OTHER_NAMES


def links(text: str) -> Iterator[tuple[str, str]]:
    """(file, anchor) of every link inside the project; the file is empty for the page itself."""
    for target in LINK.findall(CODE_BLOCK.sub("", text)):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield unquote(file), anchor


def anchors(text: str) -> set[str]:
    """The anchors that the usual renderers generate from headings."""
    titles = HEADING.findall(CODE_BLOCK.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def table_names(text: str) -> list[str]:
    """The metric name of each line in the tables of families."""
    return re.findall(r"^\| `((?:accelerator|process)_[a-z0-9_]*[a-z0-9])`(?: \(opt-in\))? \|", text, re.MULTILINE)


@pytest.fixture(scope="module")
def metrics_text() -> str:
    return METRICS_PAGE.read_text(encoding="utf-8")


def test_every_family_has_one_line_in_the_reference(metrics_text: str) -> None:
    assert Counter(table_names(metrics_text)) == Counter(NAMES)


def test_help_type_and_label_values_of_every_family_are_in_its_line(metrics_text: str) -> None:
    lines = {name: line for line in metrics_text.splitlines() for name in table_names(line)}
    for row in ROWS:
        for subject in row.subjects:
            line = lines[row.name(subject)]
            assert row.help in line
            assert f"| {row.kind.value} |" in line
            assert row.option in line
            assert row.opt_in(subject) == ("(opt-in)" in line)
            for label in row.labels:
                assert f"`{label.name}`" in line
                assert ", ".join(label.values) in line


def test_queries_use_families_of_the_default_sets_or_name_the_set() -> None:
    sets = {
        row.name(subject): row.metric_set_of(subject).value
        for row in ROWS
        for subject in row.subjects
        if row.opt_in(subject)
    }
    for query in QUERIES:
        for name in sets.keys() & set(NAME.findall(query.expr)):
            assert f"set `{sets[name]}`" in query.explanation, query.name


def test_dashboards_use_families_of_the_default_sets() -> None:
    opt_in = {row.name(subject) for row in ROWS for subject in row.subjects if row.opt_in(subject)}
    for page in (ROOT / "dashboards").glob("*.json"):
        expressions = [line for line in page.read_text().splitlines() if '"expr": ' in line]
        assert expressions
        assert opt_in & set(NAME.findall("\n".join(expressions))) == set()


def test_pages_name_only_families_that_exist() -> None:
    found = {(page.name, name) for page in PAGES for name in unknown_names(page.read_text(encoding="utf-8"))}
    assert found == {("upgrading.md", name) for name in REMOVED}


def test_unknown_family_is_found() -> None:
    text = "`accelerator_device_power_milliwatts`, `accelerator_exporter_*`, process_open_fds, my_process_thing"
    assert unknown_names(text) == {"accelerator_device_power_milliwatts"}


def test_pages_name_only_flags_that_exist() -> None:
    known = {option.flag for option in OPTIONS} | {CONFIG_FILE_FLAG} | {f"--{action}" for action, _ in ACTIONS}
    named = [(page.name, flag) for page in PAGES for flag in FLAG.findall(page.read_text(encoding="utf-8"))]
    assert [(page, flag) for page, flag in named if flag not in known] == []


def dead_links(page: Path) -> Iterator[str]:
    for file, anchor in links(page.read_text(encoding="utf-8")):
        target = page.parent / file if file else page
        if not target.exists():
            yield f"{page.name} links to {file}"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield f"{page.name} links to {file}#{anchor}"


def test_internal_links_have_a_target() -> None:
    assert [dead for page in PAGES for dead in dead_links(page)] == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](#one) [b](#two) [c](page.md#one) [d](page.md#three) [e](gone.md)")
    assert list(dead_links(page)) == [
        "page.md links to #two",
        "page.md links to page.md#three",
        "page.md links to gone.md",
    ]


def test_links_are_found() -> None:
    text = "[a](metrics.md#queries) [b](#here) [c](https://example.com/x)\n```\n[no](link.md)\n```\n"
    assert list(links(text)) == [("metrics.md", "queries"), ("", "here")]
    assert anchors("# The exporter's process\n\n```\n# no heading\n```\n") == {"the-exporters-process"}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_queries_use_known_families() -> None:
    assert [query.name for query in QUERIES if not NAME.search(query.expr)] == []
    assert [(query.name, name) for query in QUERIES for name in set(NAME.findall(query.expr)) - NAMES] == []
    assert [(query.name, name) for query in QUERIES for name in unknown_names(query.explanation)] == []


def is_query(text: str) -> bool:
    """Whether it is PromQL with one of our families."""
    try:
        promql_parser.parse(text)
    except ValueError:
        return False
    return not NAMES.isdisjoint(NAME.findall(text))


def test_every_query_in_a_page_is_marked_as_promql() -> None:
    """Then a test runs it."""
    unmarked = [
        (page.name, content)
        for page in PAGES_WITH_QUERIES
        for language, content in code_blocks(page.read_text(encoding="utf-8"))
        if language != "promql" and any(map(is_query, (content, *content.splitlines())))
    ]
    assert unmarked == []


def test_query_is_recognised() -> None:
    assert is_query("sum(rate(accelerator_device_busy_seconds_total[5m]))")
    assert not is_query('accelerator_device_power_watts{device="0000:0a:00.0"} 61')
    assert not is_query("count(up)")


def test_queries_use_only_supplied_families(metrics_text: str) -> None:
    asked = {(query.name, name) for query in QUERIES for name in NAME.findall(query.expr)}
    assert [pair for pair in asked if supplied_by(metrics_text, pair[1]) == f"**{gen_metrics.NOT_SUPPLIED}**"] == []


def test_query_names_are_unique() -> None:
    assert [name for name, count in Counter(query.name for query in QUERIES).items() if count > 1] == []
    assert len(QUERIES) == 20


def spec(name: str, *metrics: Metric) -> CollectorSpec:
    def create(_node: Node) -> Collector:
        raise AssertionError("documentation needs no running collector")

    return CollectorSpec(name, metrics, (), create)


def supplied_by(text: str, family: str) -> str:
    line = next(line for line in text.splitlines() if line.startswith(f"| `{family}`"))
    return line.strip("| ").split(" | ")[-2]


def test_a_family_names_the_collectors_that_supply_it() -> None:
    text = gen_metrics.document([spec("zeta", catalog.POWER), spec("alpha", catalog.POWER, catalog.CLOCK)])
    assert supplied_by(text, "accelerator_device_power_watts") == "alpha, zeta"
    assert supplied_by(text, "accelerator_device_clock_hertz") == "alpha"
    assert supplied_by(text, "accelerator_device_busy_seconds_total") == "accounting"
    assert supplied_by(text, "accelerator_device_allocated") == "kubelet"
    assert supplied_by(text, "accelerator_exporter_collector_up") == "exporter"


def test_without_collectors_their_families_are_not_supplied() -> None:
    text = gen_metrics.document([])
    for row in ROWS:
        for subject in row.subjects:
            unsupplied = supplied_by(text, row.name(subject)) == f"**{gen_metrics.NOT_SUPPLIED}**"
            assert unsupplied == (row.origin is Origin.COLLECTOR)


def test_check_passes_for_a_current_file_and_names_an_outdated_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    assert gen_metrics.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "docs/metrics.md is out of date: run `make docs`\n"
    assert gen_metrics.main([], tmp_path) == 0
    assert gen_metrics.main(["--check"], tmp_path) == 0
    page = tmp_path / "docs" / "metrics.md"
    page.write_text(page.read_text(encoding="utf-8") + "more\n", encoding="utf-8")
    assert gen_metrics.main(["--check"], tmp_path) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_document_is_deterministic() -> None:
    specs = [spec("one", *catalog.ROWS[:5]), spec("two", *catalog.ROWS)]
    assert gen_metrics.document(specs) == gen_metrics.document(list(reversed(specs)))


def test_the_simulation_page_lists_the_collector_options_without_effect() -> None:
    [row] = [
        line for line in (ROOT / "docs" / "simulation.md").read_text().splitlines() if line.startswith("| Options")
    ]
    effective = {"exporter", "simulated"}
    without_effect = {option.key for option in OPTIONS if option.read_by and not effective & set(option.read_by)}
    assert {key for key in without_effect if key not in row and f"{key.partition('.')[0]}.*" not in row} == set()
