"""Objects of the API server: whatever they hold, parsing ends, and no attribute names two devices."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.attribution.claim_objects import parse_claim, parse_requests
from exporter.attribution.slice_pools import PoolSlice, SliceAttributes, identified_devices, parse_slice
from tests.doubles.kubernetes_objects import NODE, Json, claim, container, device, pod, resource_slice, result
from tests.property.examples import examples

_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
# Few values, so that they meet.
_FEW = st.sampled_from(["a", "b"])
_ATTRIBUTES = st.builds(SliceAttributes, pci_bus_id=_FEW, uuid=_FEW, type=_FEW)
_SLICES = st.builds(
    PoolSlice,
    driver=_FEW,
    pool=_FEW,
    generation=st.integers(1, 2),
    count=st.integers(1, 2),
    devices=st.lists(st.tuples(st.sampled_from("pqrs"), _ATTRIBUTES), max_size=2).map(tuple),
)


@st.composite
def broken_objects(draw: st.DrawFn) -> Json:
    """An object in which any value may be replaced by another one."""

    def broken(value: object) -> object:
        if draw(st.integers(0, 9)) == 0:
            return draw(_JSON)
        if isinstance(value, dict):
            return {key: broken(each) for key, each in value.items()}
        return [broken(each) for each in value] if isinstance(value, list) else value

    objects = (
        resource_slice("a", device("gpu-0", type="gpu", uuid="U", pci_bus_id="0000:01:00.0")),
        claim(result("gpu-0", share="s", admin=True)),
        pod(container("c", ("own", "r")), claims={"own": "one"}, templates={"made": "two"}),
    )
    found = broken(draw(st.sampled_from(objects)))
    return found if isinstance(found, dict) else {}


@settings(max_examples=examples(50), deadline=None)
@given(broken_objects())
def test_parsing_ends_with_any_object(item: Json) -> None:
    parse_slice(item, NODE)
    parse_claim(item)
    parse_requests(item)


@given(st.lists(_SLICES, max_size=6))
def test_no_attribute_names_two_devices(slices: list[PoolSlice]) -> None:
    known = identified_devices(slices)
    uuids = Counter((driver, each.uuid) for (driver, _, _), each in known.items() if each.uuid)
    addresses = Counter(
        (driver, each.type, each.pci_bus_id) for (driver, _, _), each in known.items() if each.pci_bus_id
    )
    assert {*uuids.values(), *addresses.values()} <= {1}


@given(st.lists(_SLICES, max_size=6))
def test_every_device_is_in_a_complete_pool_of_the_newest_generation(slices: list[PoolSlice]) -> None:
    for driver, pool, name in identified_devices(slices):
        newest = max(each.generation for each in slices if (each.driver, each.pool) == (driver, pool))
        current = [each for each in slices if (each.driver, each.pool, each.generation) == (driver, pool, newest)]
        assert {each.count for each in current} == {len(current)}
        assert [found for each in current for found, _ in each.devices].count(name) == 1
