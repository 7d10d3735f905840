from pathlib import Path

import pytest

from collectors.identity import machine_identity, made_uuid
from tests.doubles.sysfs_tree import SysfsTree

PRODUCT_UUID = "4C4C4544-0042-3510-8051-B4C04F4D3233"


def identity(path: Path, product_uuid: str | None, node_name: str | None = "node-7") -> str:
    tree = SysfsTree(path)
    if product_uuid is not None:
        tree.write(f"{product_uuid}\n".encode(), "class", "dmi", "id", "product_uuid")
    return machine_identity(tree.root, node_name, "host-7")


def test_the_identity_is_the_product_uuid_in_one_spelling_and_the_node_name(tmp_path: Path) -> None:
    assert identity(tmp_path, PRODUCT_UUID) == f"{PRODUCT_UUID.lower()}/node-7"


def test_cloned_machines_with_one_product_uuid_generate_different_uuids(tmp_path: Path) -> None:
    made = {made_uuid("amd", identity(tmp_path, PRODUCT_UUID, node), "0000:3b:00.0") for node in ("node-7", "node-8")}
    assert len(made) == 2


@pytest.mark.parametrize("node_name", [None, ""])
def test_without_a_node_name_the_product_uuid_is_used_alone(tmp_path: Path, node_name: str | None) -> None:
    assert identity(tmp_path, PRODUCT_UUID, node_name) == PRODUCT_UUID.lower()


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
        "Not Settable",
        "Not Specified",
        "0",
        "",
    ],
)
def test_without_a_product_uuid_the_node_name_is_used(tmp_path: Path, garbage: str | None) -> None:
    assert identity(tmp_path, garbage) == "node-7"


@pytest.mark.parametrize("node_name", [None, ""])
def test_without_a_node_name_the_host_name_is_used(tmp_path: Path, node_name: str | None) -> None:
    assert identity(tmp_path, None, node_name) == "host-7"


def test_a_generated_uuid_is_stable_and_starts_with_the_vendor() -> None:
    assert made_uuid("nvidia", "machine", "0000:3b:00.0") == "nvidia-5f9ba511-8d8b-529e-b9ac-c3407a05cf1c"


def test_generated_uuids_differ_by_machine_and_by_address() -> None:
    made = {made_uuid("nvidia", machine, address) for machine in ("a", "b") for address in ("0:1", "0:2")}
    assert len(made) == 4
