"""Counters of NVLinks: bytes and errors, as sums over the links of a device or of each link.

What a driver counts depends on the generation of the links, so the fields are in groups. A group is used if the driver
answers one of its fields, and then no other: two groups may count the same errors. A counter comes from the same group
for a whole session of the driver. The exception is the oldest group: its 0 may be false, so it is used only until
another group answers, as long as it has never counted an error. Then the counts of that group are the new base: the
errors that it has counted before are no rise.

Source: the `NVML_FI_DEV_NVLINK_*` fields of `nvml.h`, in releases 470 to 590. Whether they can be read for all links
together is from DCGM, `NvmlFieldRequiresNvLinkAggregate` of `DcgmCMUtils.cpp`.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias, TypeVar, cast

from collectors import catalog
from collectors.contract import CollectorError, UnavailableError, UnsupportedError
from collectors.metric import Metric
from collectors.nvidia import field_values
from collectors.nvidia.errors import InvalidValueError, NoDataError
from collectors.nvidia.field_calls import fields_of_links
from collectors.nvidia.field_values import Field, read_fields
from collectors.nvidia.interconnect import ACTIVE, NVLINK, STATE, STATES, links_of
from collectors.nvidia.nvml import ABSENT_MARKS, Batch, Handle, Nvml, Queries, Query
from collectors.query import BatchItem, PermanentlyUnsupportedError, RawValue
from collectors.units import bytes_from_kibibytes

_R = TypeVar("_R")
_ReadBatch: TypeAlias = Callable[[Nvml, Handle, Sequence[Hashable]], Sequence[float | CollectorError]]

_ALL_LINKS = 0xFFFFFFFF
# The groups of fields for errors.
_LINKS, _GENERATION_5, _OLDEST = "links", "generation 5", "oldest"

# NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX and _RX: KiB without protocol overhead, of one link or of all links.
_KIBIBYTES = {"transmit": 138, "receive": 139}
# NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES and _RCV_BYTES, fifth generation, driver 560: bytes, of one link or of all links.
# Whether they include protocol overhead is not stated.
_BYTES_5 = {"transmit": 202, "receive": 204}
# NVML_FI_DEV_NVLINK_ERROR_DL_*, up to Hopper, driver 520: of one link only. CRC errors are not separated here.
_ERRORS = {"replay": 161, "recovery": 162, "crc": 163}
# NVML_FI_DEV_NVLINK_COUNT_*, fifth generation, driver 560: of one link or of all links. Fields that count the same
# errors again are not used: malformed packets and buffer overruns (206, 207), which are assumed to be included in the
# receive errors (208), a total according to NVML, as in InfiniBand, where the names are from; how recoveries ended
# (213, 214); the remaining symbol errors (219). The rates of bit errors are not used because they are packed floats,
# and the errors of C2C (231 to 233) because no source states whether they are of one link or of all links.
_ERRORS_5 = {
    "receive": 208,
    "receive_remote": 209,
    "receive_general": 210,
    "link_integrity": 211,
    "transmit_discard": 212,
    "recovery": 215,
    "symbol": 221,
}
# NVML_FI_DEV_NVLINK_*_ERROR_COUNT_TOTAL: the sum over all links. The last choice: on Hopper some drivers refuse them
# and others answer 0 while the links count errors.
_OLDEST_ERRORS = {"crc_flit": 38, "crc_data": 45, "replay": 52, "recovery": 59}
# Errors of one link that do not concern the device.
_LINK_ERRORS = (NoDataError, UnavailableError)


class LinkCounters:
    """The counters of the single links of one device, in one session of the driver.

    A link that is down counts nothing, whether it is refused or answers an error or 0: its last count remains, so that
    the sum over all links does not fall. If a link that is up is refused, its last count remains too. The count of a
    link that is up may fall: then it was reset. If no link answers, nothing is known.

    An impossible count of one link is an error of this link only, and its last count remains.

    Attributes:
        wrong: By field number and link, the error for an impossible count in the last reading.
    """

    def __init__(self) -> None:
        self._links: Sequence[int] = ()
        self._counts: dict[int, dict[int, float]] = {}  # by field number and link
        self.wrong: dict[int, dict[int, InvalidValueError]] = {}

    def read(self, nvml: Nvml, handle: Handle, numbers: Sequence[int]) -> list[Mapping[int, float] | CollectorError]:
        """For each field number, the counts of the links that have answered in this session, or the error.

        One call reads the fields and the states of all links.

        Raises:
            UnsupportedError: The device has no link.
            CollectorError: The call as a whole failed.
        """
        links = self._links = self._links or links_of(NVLINK, nvml, handle)
        values = read_fields(nvml, handle, fields_of_links((STATE[NVLINK], *numbers), links))
        of_field = [values[begin : begin + len(links)] for begin in range(0, len(values), len(links))]
        down = [_is_down(state) for state in of_field[0]]
        errors = [self._update(number, answers, down) for number, answers in zip(numbers, of_field[1:], strict=True)]
        return [error or self._counts[number] for number, error in zip(numbers, errors, strict=True)]

    def first_wrong(self, number: int) -> tuple[InvalidValueError, ...]:
        """The error of the first link with an impossible count: one fault, and not one for each link."""
        return tuple(self.wrong[number].values())[:1]

    def _update(
        self, number: int, answers: Sequence[float | CollectorError], down: Sequence[bool]
    ) -> CollectorError | None:
        """Keep the counts of a field. Returns the error if one link that is up has failed, or if none has answered."""
        self.wrong[number] = {}
        error: CollectorError = UnsupportedError(f"nvmlDeviceGetFieldValues({number}): no link supports it")
        answered = False
        for link, answer in zip(self._links, answers, strict=True):
            count = _checked(number, link, answer)
            if isinstance(count, UnsupportedError):
                continue
            if down[link] and isinstance(count, _LINK_ERRORS):
                error = NoDataError(str(count))
                continue
            if isinstance(count, InvalidValueError):
                error = self.wrong[number][link] = count
                answered = answered or link in self._counts.get(number, {})
                continue
            if isinstance(count, CollectorError):
                return count
            answered = True
            counts = self._counts.setdefault(number, {})
            if not down[link] or count >= counts.get(link, 0.0):
                counts[link] = count
        return None if answered else error


def _is_down(state: float | CollectorError) -> bool:
    """Whether a link is known not to be active: it is inactive or asleep."""
    return not isinstance(state, CollectorError) and state in STATES and state != ACTIVE


def _checked(number: int, link: int, value: float | CollectorError) -> float | CollectorError:
    """The count of one link, or an error: in a sum, an impossible value would not be seen."""
    if isinstance(value, CollectorError):
        return value
    if value < 0 or value in ABSENT_MARKS:
        return InvalidValueError(f"nvmlDeviceGetFieldValues({number}), link {link}: found {value}, expected a count")
    return float(value)


class _ErrorSource:
    """The group of fields that the errors of one device come from: the first that is not refused as a whole.

    It is the same for the whole session, because different groups count the same errors; but the oldest group only if
    it has counted an error.

    Attributes:
        links: The counters of its links.
    """

    def __init__(self) -> None:
        self.links = LinkCounters()
        self._group = ""
        self._doubtful = True  # the oldest group has counted nothing
        self._bases: dict[str, float] | None = None  # by kind, since another group has replaced the oldest

    def read(self, group: str, read: Callable[[], Sequence[_R]]) -> Sequence[_R]:
        """Read fields of a group.

        Raises:
            PermanentlyUnsupportedError: Another group is in use.
            NoDataError: Another group has replaced this one.
            CollectorError: The call as a whole failed.
        """
        replaces = self._group == _OLDEST and self._doubtful and group != _OLDEST
        if self._group not in ("", group) and not replaces:
            if group == _OLDEST and self._bases is not None:
                raise NoDataError("NVLink errors are now read from newer fields")
            raise PermanentlyUnsupportedError("NVLink errors are read from other fields in this session")
        results = read()
        if not all(isinstance(result, UnsupportedError) for result in results):
            self._group = group
            self._bases = {} if replaces else self._bases
        if group == _OLDEST:
            self._doubtful = self._doubtful and not any(map(_is_count, results))
        return results

    def rise(self, kind: str, count: float) -> float:
        """A count, without what it had when its group replaced the oldest one. A lower count is a new base."""
        if self._bases is None or kind not in _OLDEST_ERRORS or count in ABSENT_MARKS:
            return count
        base = self._bases[kind] = min(self._bases.get(kind, count), count)
        return count - base


def _is_count(result: object) -> bool:
    return isinstance(result, int | float) and result > 0 and result not in ABSENT_MARKS


def _bytes_items(
    numbers: Mapping[str, int], convert: Callable[[float], float], suffix: str = "", *, wide: bool = False
) -> Iterator[BatchItem]:
    """Items for the sums of the driver; with a suffix, the fallbacks of those without."""
    for direction, number in numbers.items():
        name, labels = f"nvlink bytes, {direction}", (NVLINK, direction, "")
        yield field_values.item(
            name + suffix,
            catalog.INTERCONNECT_BYTES,
            Field(number, _ALL_LINKS, wide),
            convert,
            labels,
            fallback_for=name if suffix else "",
        )


def _error_name(group: str, kind: str) -> str:
    return f"nvlink {kind} errors, {group}"


def _errors_batch(
    source: _ErrorSource,
    group: str,
    keys: Mapping[str, Hashable],
    read: _ReadBatch,
    fallback_for: str = "",
    errors_of: Callable[[Hashable], Iterable[InvalidValueError]] = lambda _: (),
) -> Batch:
    """A batch for the sums of one group of fields.

    Args:
        source: Where the errors of the device come from.
        group: The group.
        keys: The key of each kind.
        read: Reads the sums of keys.
        fallback_for: The item that these replace.
        errors_of: The errors in a part of the last sum of a key.
    """

    def raw_values(kind: str, key: Hashable, count: float) -> Iterator[RawValue | InvalidValueError]:
        yield RawValue(catalog.INTERCONNECT_ERRORS, source.rise(kind, count), labels=(NVLINK, kind, ""))
        yield from errors_of(key)

    rows = (catalog.INTERCONNECT_ERRORS,)
    return Batch(
        tuple(
            BatchItem(
                _error_name(group, kind), rows, key, partial(raw_values, kind, key), fallback_for, group == _OLDEST
            )
            for kind, key in keys.items()
        ),
        read,
    )


def _sums_of_driver(
    source: _ErrorSource, group: str, nvml: Nvml, handle: Handle, keys: Sequence[Hashable]
) -> Sequence[float | CollectorError]:
    return source.read(group, lambda: read_fields(nvml, handle, cast("Sequence[Field]", keys)))


def _sums_of_links(
    source: _ErrorSource, nvml: Nvml, handle: Handle, keys: Sequence[Hashable]
) -> Sequence[float | CollectorError]:
    numbers = cast("Sequence[int]", keys)
    found = source.read(_LINKS, lambda: source.links.read(nvml, handle, numbers))
    return [_sum(counts, source.links.wrong[number]) for number, counts in zip(numbers, found, strict=True)]


def _sum(
    counts: Mapping[int, float] | CollectorError, wrong: Mapping[int, InvalidValueError]
) -> float | CollectorError:
    """The sum over all links. Without a link that has no count yet, it would rise by all its errors later."""
    if isinstance(counts, CollectorError):
        return counts
    return next((error for link, error in wrong.items() if link not in counts), sum(counts.values()))


# With the other fields of the device, in one call.
FIELDS: tuple[BatchItem, ...] = tuple(_bytes_items(_KIBIBYTES, bytes_from_kibibytes))
_FALLBACK_FIELDS = tuple(_bytes_items(_BYTES_5, float, f", {_GENERATION_5}", wide=True))


def sums() -> Queries:
    """The queries of one device in one session, after those for `FIELDS`: sums over all its links.

    A fallback is in a later batch than what it replaces, so that the first reading already has its values.
    """
    source = _ErrorSource()
    newest = {kind: Field(number, _ALL_LINKS) for kind, number in _ERRORS_5.items()}
    oldest = {kind: Field(number) for kind, number in _OLDEST_ERRORS.items()}
    return (
        field_values.batch(*_FALLBACK_FIELDS),
        _errors_batch(
            source,
            _LINKS,
            _ERRORS,
            partial(_sums_of_links, source),
            errors_of=lambda number: source.links.first_wrong(cast("int", number)),
        ),
        _errors_batch(
            source, _GENERATION_5, newest, partial(_sums_of_driver, source, _GENERATION_5), _error_name(_LINKS, "crc")
        ),
        _errors_batch(
            source, _OLDEST, oldest, partial(_sums_of_driver, source, _OLDEST), _error_name(_GENERATION_5, "symbol")
        ),
    )


def _of_each(
    row: Metric,
    label: str,
    counts: Mapping[int, float] | CollectorError,
    wrong: Iterable[InvalidValueError],
    convert: Callable[[float], float] = float,
) -> Iterator[RawValue | InvalidValueError]:
    if isinstance(counts, CollectorError):
        raise counts
    for link, count in counts.items():
        yield RawValue(row, count, convert, (NVLINK, label, str(link)))
    yield from wrong


def _bytes_of_each(
    links: LinkCounters,
    direction: str,
    number: int,
    convert: Callable[[float], float],
    nvml: Nvml,
    handle: Handle,
) -> Iterator[RawValue | InvalidValueError]:
    [counts] = links.read(nvml, handle, [number])
    return _of_each(catalog.INTERCONNECT_BYTES, direction, counts, links.first_wrong(number), convert)


def _errors_of_each(
    source: _ErrorSource, group: str, kind: str, number: int, nvml: Nvml, handle: Handle
) -> Iterator[RawValue | InvalidValueError]:
    [counts] = source.read(group, lambda: source.links.read(nvml, handle, [number]))
    return _of_each(catalog.INTERCONNECT_ERRORS, kind, counts, source.links.first_wrong(number))


def of_each_link() -> Queries:
    """The queries of one device in one session: each of its links, instead of the sums."""
    source = _ErrorSource()
    bytes_rows, error_rows = (catalog.INTERCONNECT_BYTES,), (catalog.INTERCONNECT_ERRORS,)
    return (
        *(
            Query(
                f"nvlink bytes of links, {direction}",
                bytes_rows,
                partial(_bytes_of_each, source.links, direction, number, bytes_from_kibibytes),
            )
            for direction, number in _KIBIBYTES.items()
        ),
        *(
            Query(
                f"nvlink bytes of links, {direction}, {_GENERATION_5}",
                bytes_rows,
                partial(_bytes_of_each, source.links, direction, number, float),
                fallback_for=f"nvlink bytes of links, {direction}",
            )
            for direction, number in _BYTES_5.items()
        ),
        *(
            Query(_error_name(_LINKS, kind), error_rows, partial(_errors_of_each, source, _LINKS, kind, number))
            for kind, number in _ERRORS.items()
        ),
        *(
            Query(
                _error_name(_GENERATION_5, kind),
                error_rows,
                partial(_errors_of_each, source, _GENERATION_5, kind, number),
                fallback_for=_error_name(_LINKS, "crc"),
            )
            for kind, number in _ERRORS_5.items()
        ),
    )
