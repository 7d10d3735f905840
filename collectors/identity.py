"""Generates names for machines and devices without a usable name: unique in a cluster and stable over reboots."""

import re

from collectors.sysfs import Root

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Values that firmware reports if no product uuid was set. Others are not even uuids ("Not Settable").
_PLACEHOLDERS = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
    }
)


def machine_identity(sysfs: Root, node_name: str | None, hostname: str) -> str:
    """A name of this machine that is unique in the cluster: product uuid and node name, or the one that is known.

    Cloned virtual machines, and boards whose firmware has one uuid for all, share the product uuid. The host name is
    used only if neither is known: in a container it is the pod's name, which changes with the pod.

    Args:
        sysfs: The root of the host's `/sys`, for the DMI product uuid. Only root can read it (the kernel's
            `drivers/firmware/dmi-id.c`).
        node_name: The Kubernetes node name; None or empty if unknown.
        hostname: The machine's own name.
    """
    return "/".join(filter(None, (product_uuid(sysfs), node_name))) or hostname


def made_uuid(vendor: str, machine: str, address: str) -> str:
    """A uuid for a device without one: always the same for a slot of a machine, and different from all others.

    Args:
        vendor: The vendor in lower case. The uuid starts with it, so that it is never confused with a vendor's uuid.
        machine: The result of `machine_identity`.
        address: The device's PCI address or kernel name on that machine.
    """
    from uuid import NAMESPACE_OID, uuid5  # noqa: PLC0415 - with its hash it takes 4 MiB, and most vendors give uuids

    return f"{vendor}-{uuid5(NAMESPACE_OID, f'{machine}/{address}')}"


def product_uuid(sysfs: Root) -> str | None:
    """The DMI product uuid of the machine; None if it is unreadable or a placeholder of the firmware."""
    product = (sysfs.text("class", "dmi", "id", "product_uuid") or "").lower()
    return product if _UUID.fullmatch(product) and product not in _PLACEHOLDERS else None
