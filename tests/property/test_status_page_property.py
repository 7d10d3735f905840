from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import catalog
from collectors.contract import Device, Partition, SubjectKey
from exporter.snapshot import Allocation, AttributionHealth, Container, Snapshot
from exporter.web.status_page import About, render
from exporter.web.status_view import build_view
from tests.doubles.page_text import PageText
from tests.doubles.status_snapshot import NOW, collector, sample

# A property must not fail on a slow machine.
UNHURRIED = settings(deadline=None)

HOSTILE = (
    "<script>x()</script>",
    "</td></table>",
    "</style><b>",
    "\"'><i x='",
    "<!--",
    "]]>",
    "&lt;",
    "&#60;",
    "<plaintext>",
)
NAMES = st.one_of(st.text(min_size=1), st.sampled_from(HOSTILE), st.sampled_from(HOSTILE).map(lambda name: name * 2))
PLAIN = [f"name{number}" for number in range(14)]


def page(names: list[str]) -> PageText:
    """A page with these names wherever it shows a name."""
    uuid, address, vendor, model, part, profile, namespace, pod, container, resource, source, own, node, state = names
    subject = SubjectKey(uuid, part)
    edges = tuple(Allocation(Container(namespace, pod, container), s, resource, source) for s in (subject, subject))
    snapshot = Snapshot(
        devices={uuid: Device(uuid, address, vendor, model)},
        partitions={part: Partition(part, uuid, profile)},
        samples=(sample(catalog.STATUS_STATE, 1, uuid, label=state), sample(catalog.TEMPERATURE, 1, uuid, label=state)),
        allocations=(*edges, Allocation(Container(namespace, pod, container), SubjectKey(uuid), resource, source)),
        collectors=(collector(own, 1),),
        attribution=(AttributionHealth(source, up=True, last_success_timestamp_seconds=None),),
        unmatched={resource: 1},
    )
    return PageText(render(About(node, node, ((node, node),), node), build_view(snapshot, NOW, 0), ""))


def shape(read: PageText) -> list[tuple[str, list[str]]]:
    """The elements with the names of their attributes."""
    return [(name, sorted(attributes)) for name, attributes in read.elements]


@UNHURRIED
@given(st.lists(NAMES, min_size=len(PLAIN), max_size=len(PLAIN)))
def test_names_do_not_change_the_elements_of_the_page(names: list[str]) -> None:
    assert shape(page(names)) == shape(page(PLAIN))


@UNHURRIED
@given(NAMES.filter(lambda name: "\r" not in name and "\0" not in name))  # which a parser of HTML must replace
def test_name_is_displayed_unchanged(name: str) -> None:
    read = page([*PLAIN[:7], name, *PLAIN[8:]])
    assert sum(f"name6 / {name} / name8" in cell for cells in read.cells for cell in cells) == 2
