"""Names for machines and devices that have none of their own, unique in a cluster and stable over reboots."""

import uuid

from collectors.sysfs import Root

# What firmware writes where nobody set a product uuid, besides text that is no uuid at all ("Not Settable").
_PLACEHOLDERS = frozenset(
    {
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
    }
)


def machine_identity(sysfs: Root, node_name: str | None, hostname: str) -> str:
    """A name of this machine that no other in the cluster has.

    Args:
        sysfs: The root of the host's `/sys`. Its DMI product uuid comes first: it survives a new name or a new
            installation. Only root can read it.
        node_name: The Kubernetes node name, second; None or empty where unknown.
        hostname: The machine's own name, the last resort.
    """
    return _product_uuid(sysfs) or node_name or hostname


def made_uuid(vendor: str, machine: str, address: str) -> str:
    """A uuid for a device that has none: the same for the same slot of the same machine, unlike any other.

    Args:
        vendor: Lower case; starts the uuid, so that it is never taken for one of the vendor's own.
        machine: From `machine_identity`.
        address: The device's PCI address or kernel name on that machine.
    """
    return f"{vendor}-{uuid.uuid5(uuid.NAMESPACE_OID, f'{machine}/{address}')}"


def _product_uuid(sysfs: Root) -> str | None:
    text = sysfs.text("class", "dmi", "id", "product_uuid")
    try:
        product = str(uuid.UUID(text))
    except (TypeError, ValueError):
        return None
    return None if product in _PLACEHOLDERS else product
