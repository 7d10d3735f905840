"""Properties of every device id, with any text from a device plugin."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from collectors.contract import Alias, Device, Partition
from exporter.attribution.device_ids import AliasTable, candidates, without_replica, without_virtual_share

parts = st.sampled_from(["GPU-1", "MIG-2", "nvidia0", "/gi1", "/vgpu2", "::", "::3", "/", "0", "\n", "ẞ", "İ", ""])
ids = st.text() | st.lists(parts, max_size=6).map("".join)
resources = st.text() | st.sampled_from(["nvidia.com/gpu", "gpu.intel.com/monitoring", "amd.com/gpu", ""])
scopes = st.sampled_from(["", "nvidia.com/", "amd.com/", "nvidia.com/gpu"])
alias_sets = st.frozensets(st.builds(Alias, id=ids, scope=scopes), max_size=4)


@given(resources, ids)
def test_any_id_gives_distinct_case_folded_names(resource: str, device_id: str) -> None:
    names = candidates(resource, device_id)
    assert len(set(names)) == len(names)
    assert all(name and name == name.casefold() for name in names)
    assert not names or names[0] == device_id.casefold()


@given(resources, ids)
def test_each_name_is_a_shorter_prefix_of_the_previous_one(resource: str, device_id: str) -> None:
    names = candidates(resource, device_id)
    for longer, shorter in pairwise(names):
        assert longer.startswith(shorter)
        assert len(shorter) < len(longer)


@given(ids)
def test_stripping_a_replica_suffix_is_idempotent(device_id: str) -> None:
    assert without_replica(without_replica(device_id)) == without_replica(device_id)
    assert "::" not in without_replica(device_id)


@given(ids.filter(lambda device_id: "::" not in device_id and not device_id.endswith(":")), st.integers(min_value=0))
def test_replica_id_resolves_to_its_original_id(device_id: str, number: int) -> None:
    assert without_replica(f"{device_id}::{number}") == device_id


@given(ids.filter(bool), st.integers(min_value=0))
def test_virtual_share_id_resolves_to_its_original_id(name: str, number: int) -> None:
    assert without_virtual_share(f"{name}/vgpu{number}") == name


@given(st.lists(alias_sets, max_size=4), st.lists(alias_sets, max_size=4), resources, ids)
def test_id_resolves_only_to_a_subject_with_a_matching_alias(
    of_devices: list[frozenset[Alias]], of_partitions: list[frozenset[Alias]], resource: str, device_id: str
) -> None:
    devices = [Device(f"d{k}", f"d{k}", "vendor", "model", names) for k, names in enumerate(of_devices)]
    partitions = [Partition(f"p{k}", "d0", "half", names) for k, names in enumerate(of_partitions)]
    subject = AliasTable(devices, partitions).resolve(resource, device_id)
    known = {(device.uuid, ""): device.aliases for device in devices}
    known |= {(part.device_uuid, part.uuid): part.aliases for part in partitions}
    if subject is not None:
        assert any(
            (alias.id.casefold() in candidates(resource, device_id) and resource.startswith(alias.scope))
            or (not alias.scope and device_id.casefold().startswith(alias.id.casefold()))
            for alias in known[subject]
        )


@given(st.lists(alias_sets, min_size=2, max_size=4), resources)
def test_alias_of_two_devices_in_one_scope_resolves_to_neither(
    of_devices: list[frozenset[Alias]], resource: str
) -> None:
    shared = Alias("shared-name", "")
    devices = [Device(f"d{k}", f"d{k}", "vendor", "model", names | {shared}) for k, names in enumerate(of_devices)]
    assert AliasTable(devices, []).resolve(resource, shared.id) is None


uuids = st.uuids().map(lambda value: f"GPU-{value}")
separators = st.text(st.sampled_from("-_/.:@#"), min_size=1, max_size=3)


@given(st.sets(uuids, min_size=1, max_size=5), st.data())
def test_a_number_behind_a_uuid_is_a_share_of_that_device_and_of_no_other(known: set[str], data: st.DataObject) -> None:
    table = AliasTable([Device(uuid, uuid, "vendor", "model", frozenset({Alias(uuid)})) for uuid in known], [])
    uuid, separator = data.draw(st.sampled_from(sorted(known))), data.draw(separators)
    number = data.draw(st.integers(min_value=0, max_value=999))
    assert table.resolve(data.draw(resources.filter(bool)), f"{uuid}{separator}{number}") in ((uuid, ""), None)
    assert table.resolve("any.example/gpu", f"{uuid}{separator}{number}") == (uuid, "")
    assert table.named(f"{number}{separator}{uuid}{separator}{number}") == {uuid}


@given(st.sets(uuids, min_size=1, max_size=5), st.text())
def test_named_devices_are_those_whose_uuid_stands_between_separators(known: set[str], text: str) -> None:
    table = AliasTable([Device(uuid, uuid, "vendor", "model", frozenset({Alias(uuid)})) for uuid in known], [])
    assert table.named(text) <= {uuid for uuid in known if uuid.casefold() in text.casefold()}
