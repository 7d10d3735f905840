"""Resolving device ids of all forms."""

import pytest

from collectors.contract import Alias, Device, Partition
from exporter.attribution.device_ids import (
    AliasTable,
    candidates,
    only_monitors,
    without_replica,
    without_virtual_share,
)

GPU = "nvidia.com/gpu"


@pytest.mark.parametrize(
    ("device_id", "names"),
    [
        ("GPU-4c5f", ("gpu-4c5f",)),
        ("MIG-77aa", ("mig-77aa",)),
        ("GPU-4c5f::3", ("gpu-4c5f::3", "gpu-4c5f")),
        ("MIG-77aa::12", ("mig-77aa::12", "mig-77aa")),
        ("MIG-GPU-4c5f/1/0", ("mig-gpu-4c5f/1/0",)),
        ("MIG-GPU-4c5f/1/0::2", ("mig-gpu-4c5f/1/0::2", "mig-gpu-4c5f/1/0")),
        ("nvidia0", ("nvidia0",)),
        ("nvidia0/gi1", ("nvidia0/gi1",)),
        ("nvidia0/vgpu7", ("nvidia0/vgpu7", "nvidia0")),
        ("nvidia0/gi1/vgpu2", ("nvidia0/gi1/vgpu2", "nvidia0/gi1")),
        ("nvidia0/vgpu", ("nvidia0/vgpu",)),
        ("0000:19:00.0", ("0000:19:00.0",)),
        ("tegra", ("tegra",)),
        ("a::1::2", ("a::1::2", "a")),
        ("::1", ("::1",)),
        ("", ()),
    ],
)
def test_candidates_are_ordered_from_the_most_exact_name_to_the_least(device_id: str, names: tuple[str, ...]) -> None:
    assert candidates(GPU, device_id) == names


def test_each_form_does_not_change_other_forms() -> None:
    assert without_replica("GPU-1::0") == "GPU-1"
    assert without_replica("nvidia0/vgpu1") == "nvidia0/vgpu1"
    assert without_virtual_share("nvidia0/vgpu1") == "nvidia0"
    assert without_virtual_share("/vgpu1") == "/vgpu1"
    assert without_virtual_share("GPU-1::0") == "GPU-1::0"


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("gpu.intel.com/monitoring", True),
        ("gpu.intel.com/i915_monitoring", True),
        ("gpu.intel.com/xe_monitoring", True),
        ("gpu.intel.com/i915", False),
        ("monitoring.example.com/gpu", False),
        ("example.com/premonitoring", False),
    ],
)
def test_resources_that_only_monitor_are_recognized_by_their_name(resource: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert only_monitors(resource) is expected
    assert bool(candidates(resource, "all")) is not expected


def aliases(*names: str, scope: str = "") -> frozenset[Alias]:
    return frozenset(Alias(name, scope) for name in names)


def device(uuid: str, *groups: frozenset[Alias]) -> Device:
    return Device(uuid, uuid, "vendor", "model", frozenset().union(*groups))


TWO_GPUS = AliasTable(
    [
        device("GPU-a", aliases("GPU-a", "0000:19:00.0", "00000000:19:00.0"), aliases("nvidia0", scope="nvidia.com/")),
        device("GPU-b", aliases("GPU-b", "0000:3B:00.0"), aliases("nvidia1", scope="nvidia.com/")),
    ],
    [
        Partition(
            "MIG-b1",
            "GPU-b",
            "1g.10gb",
            aliases("MIG-b1", "MIG-GPU-b/1/0") | aliases("nvidia1/gi1", scope="nvidia.com/"),
        )
    ],
)


@pytest.mark.parametrize(
    ("resource", "device_id", "subject"),
    [
        (GPU, "GPU-a", ("GPU-a", "")),
        (GPU, "gpu-A", ("GPU-a", "")),
        (GPU, "GPU-a::7", ("GPU-a", "")),
        ("team.example.com/any-name", "GPU-a", ("GPU-a", "")),
        (GPU, "0000:3b:00.0", ("GPU-b", "")),
        ("nvidia.com/mig-1g.10gb", "MIG-b1", ("GPU-b", "MIG-b1")),
        ("nvidia.com/mig-1g.10gb.shared", "MIG-b1::4", ("GPU-b", "MIG-b1")),
        ("nvidia.com/mig-1g.10gb", "MIG-GPU-b/1/0", ("GPU-b", "MIG-b1")),
        (GPU, "nvidia0", ("GPU-a", "")),
        (GPU, "nvidia0/vgpu3", ("GPU-a", "")),
        (GPU, "nvidia1/gi1", ("GPU-b", "MIG-b1")),
        (GPU, "nvidia1/gi1/vgpu0", ("GPU-b", "MIG-b1")),
        (GPU, "nvidia1/gi2", None),
        (GPU, "nvidia1/gi2/vgpu0", None),
        (GPU, "MIG-GPU-b/2/0", None),
        (GPU, "GPU-c", None),
        (GPU, "", None),
        ("example.com/gpu", "nvidia0", None),
        ("nvidia.com.example.com/gpu", "nvidia0", None),
        ("nvidia.com/monitoring", "GPU-a", None),
    ],
)
def test_an_id_resolves_to_the_subject_it_names(resource: str, device_id: str, subject: tuple[str, str] | None) -> None:
    assert TWO_GPUS.resolve(resource, device_id) == subject


def test_a_name_of_two_devices_in_one_scope_matches_neither() -> None:
    table = AliasTable([device("a", aliases("0", "a")), device("b", aliases("0", "b"))], [])
    assert table.resolve(GPU, "0") is None
    assert table.resolve(GPU, "0::1") is None
    assert table.resolve(GPU, "a") == ("a", "")


def test_a_name_of_a_device_and_of_its_partition_matches_neither() -> None:
    table = AliasTable([device("a", aliases("0"))], [Partition("p", "a", "half", aliases("0"))])
    assert table.resolve(GPU, "0") is None


def test_a_name_given_twice_in_two_cases_is_one_name() -> None:
    table = AliasTable([device("a", aliases("GPU-A", "gpu-a"))], [])
    assert table.resolve(GPU, "Gpu-A") == ("a", "")


def test_an_ambiguous_name_is_not_replaced_by_a_less_exact_one() -> None:
    table = AliasTable([device("a", aliases("x::1", "x")), device("b", aliases("x::1"))], [])
    assert table.resolve(GPU, "x::1") is None
    assert table.resolve(GPU, "x::2") == ("a", "")


def test_the_same_name_matches_another_device_in_another_scope() -> None:
    table = AliasTable(
        [
            device("chip", aliases("0", scope="example.com/chip")),
            device("core", aliases("0", scope="example.com/chipcore")),
            device("other", aliases("0", scope="example.org/")),
        ],
        [],
    )
    assert table.resolve("example.com/chip", "0") == ("chip", "")
    assert table.resolve("example.com/chipcore", "0") == ("core", "")
    assert table.resolve("example.org/gpu", "0") == ("other", "")
    assert table.resolve("example.net/gpu", "0") is None


def test_an_empty_table_resolves_nothing() -> None:
    assert AliasTable([], []).resolve(GPU, "GPU-a") is None


U1, U2 = "GPU-4c5f1b7a-2f55-4c6e-9d1e-6a1f00000001", "GPU-4c5f1b7a-2f55-4c6e-9d1e-6a1f00000002"
BARE = U1.removeprefix("GPU-")
SLICE = "MIG-aaaaaaaa-0000-4000-8000-000000000001"
SHARES = AliasTable(
    [
        device(U1, aliases(U1, "0000:19:00.0"), aliases("nvidia0", scope="nvidia.com/")),
        device(U2, aliases(U2, "0000:3b:00.0", "0")),
    ],
    [Partition(SLICE, U2, "1g.10gb", aliases(SLICE, f"MIG-{U2}/1/0"))],
)


@pytest.mark.parametrize("resource", [GPU, "volcano.sh/vgpu-number", "aliyun.com/gpu-mem"])
@pytest.mark.parametrize(
    ("device_id", "subject"),
    [
        (f"{U1}-0", (U1, "")),
        (f"{U1}-17", (U1, "")),
        (f"{U1}-_-3", (U1, "")),
        (f"{U1}__3", (U1, "")),
        (f"{U1}/3", (U1, "")),
        (f"{U1}.3", (U1, "")),
        (f"{U1}@3", (U1, "")),
        (f"{U1}-share-3", (U1, "")),
        (f"{U1.lower()}-3::1", (U1, "")),
        (f"{U1}x3", (U1, "")),
        (BARE, (U1, "")),
        (f"{BARE.upper()}-3", (U1, "")),
        (f"{BARE}::1", (U1, "")),
        (f"{BARE}vgpu3", (U1, "")),
        (f"{U2}-3", (U2, "")),
        (f"{SLICE}-3", (U2, SLICE)),
        (f"{SLICE}-_-3", (U2, SLICE)),
        (f"MIG-{U2}/1/0-3", (U2, SLICE)),
        # Behind the uuid of a partitioned device, words may name a partition.
        (f"{U2}/gi3", None),
        (f"{U2}-cpx_nps4-3", None),
        (f"{U2}x3", None),
        # Another known name behind the uuid.
        (f"{U2}/{SLICE}", None),
        (f"{U1}-{U2}", None),
        # The uuid of another device.
        (f"{U1}0", None),
        (f"{U1[:-1]}-3", None),
        (f"x{U1}-3", None),
        (f"MIG-{U2}/2/0", None),
        # Names of places are not unique, and short names are indexes.
        ("0000:19:00.0-3", None),
        ("0-3", None),
    ],
)
def test_an_id_that_begins_with_a_uuid_is_a_share_of_it(
    resource: str, device_id: str, subject: tuple[str, str] | None
) -> None:
    assert SHARES.resolve(resource, device_id) == subject


def test_a_share_of_a_resource_that_only_monitors_is_not_resolved() -> None:
    assert SHARES.resolve("example.com/monitoring", f"{U1}-3") is None


def test_the_longest_uuid_begins_the_id() -> None:
    table = AliasTable([device("GPU-4c5f", aliases("GPU-4c5f")), device("GPU-4c5f-01", aliases("GPU-4c5f-01"))], [])
    assert table.resolve(GPU, "GPU-4c5f-01-3") == ("GPU-4c5f-01", "")
    assert table.resolve(GPU, "GPU-4c5f-02") == ("GPU-4c5f", "")


def test_an_id_keeps_its_meaning_while_its_name_is_unknown() -> None:
    """The uuid of a removed partition may begin with that of its device."""
    earlier = (U1, f"{U1}-cpx-3")
    assert SHARES.resolve(GPU, f"{U1}-cpx-3", earlier) == earlier
    assert SHARES.resolve(GPU, "amdgpu_xcp_3", earlier) == earlier
    assert SHARES.resolve(GPU, U2, earlier) == (U2, "")


@pytest.mark.parametrize(
    ("device_id", "devices"),
    [
        (f"numa0/{U1}", {U1}),
        (f"slot_{U1.upper()}#4", {U1}),
        ("pci-0000:19:00.0-vf1", {U1}),
        (f"MIG-{U2}/9/0", {U2}),
        (f"{U1}+{SLICE}", {U1, U2}),
        (f"x{U1}", {U1}),
        (f"vgpu{BARE}of4", {U1}),
        (f"{BARE}{U2}", {U1, U2}),
        (f"{U1}f", set()),
        ("10000:19:00.0", set()),
        ("eth0", set()),
        ("nvidia0", set()),
        ("0", set()),
        ("", set()),
    ],
)
def test_an_id_names_the_devices_whose_unique_names_it_contains(device_id: str, devices: set[str]) -> None:
    assert SHARES.named(device_id) == devices
