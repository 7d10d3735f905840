import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from collectors import catalog
from collectors.contract import Collector, CollectorSpec, Node
from collectors.metric import Metric, Origin, Subject
from exporter import families
from exporter.configuration.options import ACTIONS, CONFIG_FILE_FLAG, OPTIONS
from tools import gen_metrics
from tools.queries import QUERIES, Query

ROOT = Path(__file__).parent.parent.parent
ROWS = (*catalog.ROWS, *families.ROWS)
NAMES = {row.name(subject) for row in ROWS for subject in row.subjects}
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "dashboards" / "README.md")
PAGE_IDS = [page.name for page in PAGES]
METRICS_PAGE = ROOT / "docs" / "metrics.md"

# A name, or the beginning of names that a text speaks of as a whole: `accelerator_device_`, `accelerator_device_*`.
NAME = re.compile(r"(?<![\w.])(?:accelerator|process)_[a-z0-9_]*+(?!\.[a-z])")
PREFIXES = {f"{subject.value}_" for subject in Subject} | {"accelerator_", "process_"}
FLAG = re.compile(r"(?<![\w-])--[a-z]+\.[a-z-]+")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def unknown_names(text: str) -> set[str]:
    return set(NAME.findall(text)) - NAMES - PREFIXES


def links(text: str) -> Iterator[tuple[str, str]]:
    """(file, anchor) of every link that stays within the project; the file is empty for the page itself."""
    for target in LINK.findall(CODE_BLOCK.sub("", text)):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield unquote(file), anchor


def anchors(text: str) -> set[str]:
    """As the usual renderers make them of headings."""
    titles = HEADING.findall(CODE_BLOCK.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def table_names(text: str) -> list[str]:
    """The metric of each line of the tables of families."""
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
            assert row.opt_in == ("(opt-in)" in line)
            for label in row.labels:
                assert f"`{label.name}`" in line
                assert ", ".join(label.values) in line


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_pages_name_only_families_that_exist(page: Path) -> None:
    assert unknown_names(page.read_text(encoding="utf-8")) == set()


def test_a_family_that_does_not_exist_is_noticed() -> None:
    text = "`accelerator_device_power_milliwatts`, `accelerator_exporter_*`, process_open_fds, my_process_thing"
    assert unknown_names(text) == {"accelerator_device_power_milliwatts"}


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_pages_name_only_flags_that_exist(page: Path) -> None:
    known = {option.flag for option in OPTIONS} | {CONFIG_FILE_FLAG} | {f"--{action}" for action, _ in ACTIONS}
    assert set(FLAG.findall(page.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for file, anchor in links(text):
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name} links to {file}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page.name} links to {file}#{anchor}"


def test_links_are_found() -> None:
    text = "[a](metrics.md#queries) [b](#here) [c](https://example.com/x)\n```\n[no](link.md)\n```\n"
    assert list(links(text)) == [("metrics.md", "queries"), ("", "here")]
    assert anchors("# The exporter's process\n\n```\n# no heading\n```\n") == {"the-exporters-process"}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("query", QUERIES, ids=[query.name for query in QUERIES])
def test_queries_ask_for_known_families(query: Query) -> None:
    assert NAME.search(query.expr)
    assert set(NAME.findall(query.expr)) <= NAMES
    assert unknown_names(query.explanation) == set()


@pytest.mark.parametrize("query", QUERIES, ids=[query.name for query in QUERIES])
def test_queries_ask_for_nothing_that_is_not_yet_supplied(query: Query, metrics_text: str) -> None:
    words = {supplied_by(metrics_text, name) for name in NAME.findall(query.expr)}
    assert f"**{gen_metrics.NOT_SUPPLIED}**" not in words


def test_queries_have_names_of_their_own() -> None:
    assert len({query.name for query in QUERIES}) == len(QUERIES) > 0


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


def test_without_collectors_every_family_of_theirs_is_not_yet_supplied() -> None:
    text = gen_metrics.document([])
    for row in ROWS:
        for subject in row.subjects:
            unsupplied = supplied_by(text, row.name(subject)) == f"**{gen_metrics.NOT_SUPPLIED}**"
            assert unsupplied == (row.origin is Origin.COLLECTOR)


def test_the_check_passes_on_what_was_written_and_names_the_file_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    assert gen_metrics.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "docs/metrics.md not as the catalogue gives: run `make docs`\n"
    assert gen_metrics.main([], tmp_path) == 0
    assert gen_metrics.main(["--check"], tmp_path) == 0
    page = tmp_path / "docs" / "metrics.md"
    page.write_text(page.read_text(encoding="utf-8") + "more\n", encoding="utf-8")
    assert gen_metrics.main(["--check"], tmp_path) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_document_is_the_same_every_time() -> None:
    specs = [spec("one", *catalog.ROWS[:5]), spec("two", *catalog.ROWS)]
    assert gen_metrics.document(specs) == gen_metrics.document(list(reversed(specs)))
