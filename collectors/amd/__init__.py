"""AMD GPUs, read from the kernel's files. Importing this module does not access the hardware."""

from collections.abc import Sequence
from functools import partial

from collectors.amd.names import DRA_DRIVER, PCI_DRIVER, PCI_VENDOR, RESOURCE_PREFIX
from collectors.contract import AbsentError, Collector, CollectorSpec, Node
from collectors.deferred import DeferredCollector, DeferredRows, ReleasingCollector
from collectors.metric import Metric
from collectors.pci import functions_of


def _create(node: Node) -> Collector:
    return DeferredCollector(partial(_verify_presence, node), partial(_create_loaded, node))


def _verify_presence(node: Node) -> None:
    """Raise an AbsentError if the PCI bus has no device of AMD and the driver of its GPUs is not loaded."""
    if not (node.sysfs.names(*PCI_DRIVER) or functions_of(node.sysfs, PCI_VENDOR)):
        raise AbsentError("no AMD GPU on this node")


def _create_loaded(node: Node) -> ReleasingCollector:
    from collectors.amd.factory import create  # noqa: PLC0415 - see `collectors.deferred`

    return create(node)


def _metrics() -> Sequence[Metric]:
    from collectors.amd.collector import METRICS  # noqa: PLC0415 - see `collectors.deferred`

    return METRICS


def _partition_metrics() -> Sequence[Metric]:
    from collectors.amd.collector import PARTITION_METRICS  # noqa: PLC0415 - see `collectors.deferred`

    return PARTITION_METRICS


SPEC = CollectorSpec(
    name="amd",
    metrics=DeferredRows(_metrics),
    resource_prefixes=(RESOURCE_PREFIX, DRA_DRIVER),
    create=_create,
    partition_metrics=DeferredRows(_partition_metrics),
    dra_drivers=(DRA_DRIVER,),
)
