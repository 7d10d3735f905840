"""Cards with NVLinks whose errors and bytes the driver counts differently."""

from collectors import catalog
from collectors.query_runner import QueryResult
from tests.doubles.nvidia_device import values
from tests.doubles.nvml import Device, ValueType, h100

UINT, WIDE = ValueType.UNSIGNED_INT, ValueType.UNSIGNED_LONG_LONG
ALL_LINKS = 0xFFFFFFFF
COUNT, STATE = 91, 165
OF_LINKS = (161, 162, 163)
OLDEST = {"crc_flit": 38, "crc_data": 45, "replay": 52, "recovery": 59}
NEWEST = {
    "receive": 208,
    "receive_remote": 209,
    "receive_general": 210,
    "link_integrity": 211,
    "transmit_discard": 212,
    "recovery": 215,
    "symbol": 221,
}


def linked(count: int) -> Device:
    """A card whose links are up and count nothing that the driver would report."""
    card = h100(0)
    card.fields = ()
    card.set_field(COUNT, count, UINT)
    for link in range(count):
        card.set_field(STATE, 1, UINT, scope=link)
    return card


def hopper(count: int = 3) -> Device:
    """Link n counts n, 10 n and 100 n errors of the three kinds."""
    card = linked(count)
    for link in range(count):
        for number, factor in zip(OF_LINKS, (1, 10, 100), strict=True):
            card.set_field(number, factor * link, WIDE, scope=link)
    return card


def with_sums(card: Device, value: int) -> Device:
    """With the sums over all links of the oldest drivers."""
    for number in OLDEST.values():
        card.set_field(number, value, WIDE)
    return card


def blackwell(count: int = 2) -> Device:
    card = linked(count)
    for number in NEWEST.values():
        card.set_field(number, number, WIDE, scope=ALL_LINKS)
        for link in range(count):
            card.set_field(number, link, WIDE, scope=link)
    return card


def errors(result: QueryResult) -> dict[str, float]:
    """The sums over the links, by kind."""
    found = values(result, catalog.INTERCONNECT_ERRORS)
    assert {(fabric, link) for fabric, _, link in found} <= {("nvlink", "")}
    return {kind: value for (_, kind, _), value in found.items()}
