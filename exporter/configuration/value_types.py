"""The types of option values, each with its parser and its description."""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from collectors.wording import did_you_mean
from exporter.durations import parse_duration, spell_duration
from exporter.web.listen import MAX_PORT, ListenError
from exporter.web.listen import parse as parse_listen_address

T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)

# The word for every name of a list.
ALL = "all"
# Pages that the exporter serves in addition to the telemetry path.
FIXED_PATHS = ("/", "/-/healthy", "/-/ready")

_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,62}")
_URL_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?")
_SIZE = re.compile(r"(?P<number>[0-9]{1,9})(?P<unit>[KM]iB)")
_SIZE_UNITS = {"MiB": 1024 * 1024, "KiB": 1024}
_NODE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# As the API server requires them: DNS subdomains, and DNS labels.
_DRIVER = re.compile(r"(?=.{1,63}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Other common spellings of a boolean; YAML 1.1 parses most of them as booleans.
_SPELLINGS = {
    **dict.fromkeys(("true", "yes", "on", "y", "1", "enabled"), "true"),
    **dict.fromkeys(("false", "no", "off", "n", "0", "disabled"), "false"),
}
# sockaddr_un holds 108 bytes, the last of them zero.
_SOCKET_PATH_BYTES = 107
_PATH_BYTES = 4_095


class RefusedError(Exception):
    """The text does not match the type. The message is a suggestion for people, or empty."""


@dataclass(frozen=True, slots=True)
class ValueType(Generic[T_co]):
    """One type of value.

    Attributes:
        placeholder: What stands for a value in `--help`.
        expected: What a value looks like, to follow the word "expected".
        parse: Makes the value from text; raises RefusedError.
        in_yaml: What YAML takes its values for where that is not text, such as "a boolean"; else empty.
        is_list: True if a list of texts in YAML means the texts with commas between them.
    """

    placeholder: str
    expected: str
    parse: Callable[[str], T_co]
    in_yaml: str = ""
    is_list: bool = False


def _parse_addresses(text: str) -> tuple[str, ...]:
    addresses = tuple(address.strip(" ") for address in text.split(","))
    for address in addresses:
        try:
            parse_listen_address(address)
        except ListenError:
            raise RefusedError(_address_proposal(address)) from None
        if addresses.count(address) > 1:
            raise RefusedError(f"each of them once: {address} is repeated")
    return addresses


def _parse_optional_addresses(text: str) -> tuple[str, ...]:
    return _parse_addresses(text) if text else ()


def _address_proposal(text: str) -> str:
    if text.isascii() and text.isdigit():
        return f"did you mean :{text}?"
    host, _, port = text.rpartition(":")
    proposal = f"[{host}]:{port}"
    try:
        ipaddress.IPv6Address(host)
        parse_listen_address(proposal)
    except (ValueError, ListenError):
        return ""
    return f"did you mean {proposal}?"


def _parse_url_path(text: str) -> str:
    segments = text.split("/")
    if _URL_PATH.fullmatch(text) is None or text in FIXED_PATHS or "." in segments or ".." in segments:
        raise RefusedError(f"did you mean /{text}?" if _URL_PATH.fullmatch(f"/{text}") else "")
    return text


def _parse_path(text: str) -> Path:
    if not text.startswith("/") or not text.isprintable() or len(text.encode()) > _PATH_BYTES:
        raise RefusedError
    return Path(text)


def _parse_file(text: str) -> Path | None:
    if not text.isprintable() or len(text.encode()) > _PATH_BYTES:
        raise RefusedError
    return Path(text) if text else None


def _parse_directories(text: str) -> tuple[Path, ...]:
    """The directories in a list; nothing is an empty list."""
    written = [each.strip() for each in text.split(",")] if text else []
    if len(set(written)) < len(written):
        raise RefusedError("each of them once")
    return tuple(_parse_path(each) for each in written)


def _parse_drivers(text: str) -> tuple[str, ...]:
    """The names in a list; nothing is an empty list."""
    written = [each.strip() for each in text.split(",")] if text else []
    if any(_DRIVER.fullmatch(each) is None for each in written):
        raise RefusedError
    return tuple(dict.fromkeys(written))


def _parse_namespace(text: str) -> str:
    if text and _NAMESPACE.fullmatch(text) is None:
        raise RefusedError
    return text


def _parse_socket(text: str) -> Path:
    path = _parse_path(text)
    if len(text.encode()) > _SOCKET_PATH_BYTES:
        raise RefusedError
    return path


def _parse_node_name(text: str) -> str | None:
    if text and _NODE_NAME.fullmatch(text) is None:
        raise RefusedError
    return text or None


def _parse_switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise RefusedError(f"did you mean {_SPELLINGS[text.lower()]}?" if text.lower() in _SPELLINGS else "")
    return text == "true"


def choice(members: type[E]) -> ValueType[E]:
    """One value of a closed list."""
    values = [member.value for member in members]

    def parse(text: str) -> E:
        if text not in values:
            nearest = did_you_mean(text.lower(), values)
            raise RefusedError(f"did you mean {nearest}?" if nearest else "")
        return members(text)

    return ValueType("|".join(values), f"one of {', '.join(values)}", parse)


def names(known: Callable[[], Iterable[str]], what: str) -> ValueType[tuple[str, ...]]:
    """Different names out of a list, in the order in which they are written; or the word for all of them, as ().

    Args:
        known: Returns the names in the list.
        what: The list, for people.
    """

    def parse(text: str) -> tuple[str, ...]:
        if text == ALL:
            return ()
        written = tuple(name.strip() for name in text.split(","))
        if ALL in written:
            raise RefusedError("not both")
        listed = sorted(known())
        for name in written:
            if name not in listed:
                nearest = did_you_mean(name.lower(), (*listed, ALL))
                instead = f" instead of {name}" if len(written) > 1 else ""
                proposal = f"did you mean {nearest}{instead}?"
                raise RefusedError(proposal if name and nearest else f"which are {', '.join(listed)}")
            if written.count(name) > 1:
                raise RefusedError(f"each of them once: {name} is repeated")
        return written

    return ValueType(f"{ALL}|NAMES", f"{ALL}, or the names of {what} with commas between them", parse, is_list=True)


def duration(shortest: str, longest: str) -> ValueType[float]:
    """Seconds, from a lower to an upper bound, both inclusive and written as durations."""
    low, high = _seconds(shortest), _seconds(longest)

    def parse(text: str) -> float:
        seconds = parse_duration(text)
        if seconds is None or not low <= seconds <= high:
            raise RefusedError(_duration_proposal(text, low, high))
        return seconds

    return ValueType("DURATION", f"a duration from {shortest} to {longest}", parse)


def size(smallest: str, largest: str) -> ValueType[int]:
    """Bytes, from a lower to an upper bound, both inclusive and written as sizes."""
    low, high = _bytes(smallest), _bytes(largest)

    def parse(text: str) -> int:
        found = _parse_size(text)
        if found is None or not low <= found <= high:
            proposal = next(
                (f"{text}{unit}" for unit in _SIZE_UNITS if low <= (_parse_size(text + unit) or 0) <= high), ""
            )
            raise RefusedError(f"did you mean {proposal}?" if proposal else "")
        return found

    return ValueType("SIZE", f"a size from {smallest} to {largest}", parse)


def label_name(used: Collection[str]) -> ValueType[str]:
    """The name of a label, except names with another meaning. Names that begin with two underscores are Prometheus's.

    Source: https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels.

    Args:
        used: The names with another meaning.
    """

    def parse(text: str) -> str:
        if _LABEL.fullmatch(text) is None or text in used:
            proposal = re.sub(r"[^a-zA-Z0-9_]", "_", text)
            fits = _LABEL.fullmatch(proposal) is not None and proposal not in used
            raise RefusedError(f"did you mean {proposal}?" if fits else "")
        return text

    expected = "the name of a label: letters, digits and underscores, at most 63, and no label that series have anyway"
    return ValueType("LABEL", expected, parse)


def _parse_size(text: str) -> int | None:
    found = _SIZE.fullmatch(text)
    return int(found["number"]) * _SIZE_UNITS[found["unit"]] if found else None


def _bytes(bound: str) -> int:
    found = _parse_size(bound)
    if found is None:
        raise ValueError(f"the bound {bound} is no size")
    return found


def _seconds(bound: str) -> float:
    seconds = parse_duration(bound)
    if seconds is None:
        raise ValueError(f"the bound {bound} is no duration")
    return seconds


def _duration_proposal(text: str, low: float, high: float) -> str:
    """The number with a unit, if the result is within the bounds."""
    number = text.removesuffix("s")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", number) is None:
        return ""
    proposals = [spell_duration(float(number))] if "." in number else [f"{number}s", f"{number}ms"]
    within = [proposal for proposal in proposals if low <= _seconds(proposal) <= high]
    return f"did you mean {within[0]}?" if within and within[0] != text else ""


ADDRESSES = ValueType(
    "ADDRESSES",
    f'an address such as ":9410", "127.0.0.1:9410" or "[::1]:9410", with a port from 0 to {MAX_PORT}, or several with '
    "commas between them",
    _parse_addresses,
    is_list=True,
)
OPTIONAL_ADDRESSES = ValueType(ADDRESSES.placeholder, ADDRESSES.expected, _parse_optional_addresses, is_list=True)
URL_PATH = ValueType(
    "PATH", f"a URL path such as /metrics, but not {', '.join(FIXED_PATHS[:-1])} or {FIXED_PATHS[-1]}", _parse_url_path
)
DIRECTORY = ValueType("DIRECTORY", "an absolute path", _parse_path)
FILE = ValueType("FILE", "the path of a file", _parse_file)
DIRECTORIES = ValueType("DIRECTORIES", "absolute paths with commas between them", _parse_directories, is_list=True)
DRIVERS = ValueType("DRIVERS", "names of DRA drivers with commas between them", _parse_drivers, is_list=True)
NAMESPACE = ValueType("NAME", "the name of a namespace: small letters, digits and dashes, at most 63", _parse_namespace)
SOCKET = ValueType("PATH", f"the absolute path of a socket, at most {_SOCKET_PATH_BYTES} bytes", _parse_socket)
SWITCH = ValueType("true|false", "true or false", _parse_switch, in_yaml="a boolean")
NODE_NAME = ValueType("NAME", "a host name: letters, digits, dots and dashes, at most 253", _parse_node_name)
