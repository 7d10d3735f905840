"""Accelerators on the PCI bus, and whether a collector reads them."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from collectors.pci import PciFunction, functions_of
from collectors.sysfs import Root
from collectors.vendors import is_accelerator, vendor_of
from exporter.check.facts import CollectorFacts, PciFacts, PciState


class _Reader(NamedTuple):
    """The collector that lists a device, and whether the device is lost."""

    collector: str
    lost: bool


def accelerators_on_bus(sysfs: Root) -> tuple[PciFunction, ...]:
    """Return every PCI function that is an accelerator, of any vendor, by address."""
    return tuple(filter(is_accelerator, functions_of(sysfs)))


def pci_facts(
    functions: Iterable[PciFunction], collectors: Sequence[CollectorFacts], excluded: Collection[str] = ()
) -> tuple[PciFacts, ...]:
    """Match the accelerators on the bus with the devices that collectors read.

    Args:
        functions: The functions from `accelerators_on_bus`.
        collectors: The collectors that run.
        excluded: Names of installed collectors that do not run.
    """
    readers = {
        device.device: _Reader(collector.name, device.lost)
        for collector in collectors
        if collector.reading
        for device in collector.reading.devices
    }
    names = {collector.name for collector in collectors}
    return tuple(_facts(function, readers.get(function.address), names, excluded) for function in functions)


def _facts(
    function: PciFunction, reader: _Reader | None, names: Collection[str], excluded: Collection[str]
) -> PciFacts:
    vendor = vendor_of(function.vendor)
    collector = reader.collector if reader else (vendor.name if vendor is not None and vendor.name in names else "")
    out = vendor is not None and vendor.name in excluded
    return PciFacts(
        address=function.address,
        vendor=vendor.title if vendor is not None else f"vendor 0x{function.vendor:04x}",
        ids=f"{function.vendor:04x}:{function.device:04x}",
        driver=function.driver,
        state=PciState.EXCLUDED if out and reader is None else _state(function, reader, collector),
        collector=collector,
    )


def _state(function: PciFunction, reader: _Reader | None, collector: str) -> PciState:
    if function.passed_through and not (reader is not None and reader.lost):
        return PciState.PASSED_THROUGH  # a collector lists it and reads nothing of it
    if reader is not None:
        return PciState.LOST if reader.lost else PciState.READ
    if function.virtual:
        return PciState.VIRTUAL
    return PciState.NOT_READ if collector else PciState.NO_COLLECTOR
