"""The types of the values in a web configuration file."""

import re
from collections.abc import Collection
from pathlib import Path

from collectors.wording import did_you_mean
from exporter.configuration.value_types import RefusedError, ValueType
from exporter.durations import parse_duration
from exporter.web.tls_names import CURVES as GO_CURVES
from exporter.web.tls_names import (
    FORBIDDEN_VERSIONS,
    TLS12_SUITES,
    TLS13_SUITES,
    UNVERIFIED_CLIENT_AUTH,
    ClientAuth,
    TlsVersion,
)

_PATH_BYTES = 4_095
_HEADER_CHARACTERS = 4_096
_MOST_BURST = 1_000_000
_LONGEST_INTERVAL_SECONDS = 3600.0
# The salt of 128 bits is 22 characters of 6 bits; the last 4 bits are zero, or the library refuses it.
_HASH = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_LOWEST_COST, _HIGHEST_COST = 4, 18


def _parse_path(text: str) -> Path:
    if not text or not text.isprintable() or len(text.encode()) > _PATH_BYTES:
        raise RefusedError
    return Path(text)


def _parse_pem(text: str) -> str:
    if not text:
        raise RefusedError
    return text


def _parse_client_auth(text: str) -> ClientAuth:
    if text in UNVERIFIED_CLIENT_AUTH:
        raise RefusedError("because a certificate that nobody verifies proves nothing")
    return ClientAuth(_one_of(text, [policy.value for policy in ClientAuth]))


def _parse_version(text: str) -> TlsVersion:
    if text in FORBIDDEN_VERSIONS:
        raise RefusedError("because RFC 8996 forbids older versions")
    return TlsVersion(_one_of(text, [version.value for version in TlsVersion]))


def _parse_suite(text: str) -> str:
    return _one_of(text, (*TLS12_SUITES, *TLS13_SUITES))


def _parse_curve(text: str) -> str:
    return _one_of(text, GO_CURVES)


def _parse_http2(text: str) -> bool:
    if text != "false":
        raise RefusedError
    return False


def _parse_interval(text: str) -> float:
    seconds = 0.0 if text == "0" else parse_duration(text)
    if seconds is None or seconds > _LONGEST_INTERVAL_SECONDS:
        raise RefusedError
    return seconds


def _parse_burst(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,7}", text) is None or not 1 <= int(text) <= _MOST_BURST:
        raise RefusedError
    return int(text)


def _parse_header(text: str) -> str:
    if not text.isascii() or not text.isprintable() or len(text) > _HEADER_CHARACTERS or text != text.strip():
        raise RefusedError
    return text


def _parse_frame_options(text: str) -> str:
    return _one_of(text, ("deny", "sameorigin"))


def _parse_content_type_options(text: str) -> str:
    return _one_of(text, ("nosniff",))


def is_hash(text: str) -> bool:
    """Whether a text is a bcrypt hash that can be checked in reasonable time: cost 18 takes half a minute."""
    match = _HASH.fullmatch(text)
    return match is not None and _LOWEST_COST <= int(match["cost"]) <= _HIGHEST_COST


def _one_of(text: str, known: Collection[str]) -> str:
    if text not in known:
        nearest = did_you_mean(text, known)
        raise RefusedError(f"did you mean {nearest}?" if nearest else "")
    return text


HASH_EXPECTED = (
    f"a bcrypt hash, which begins with $2a$, $2b$ or $2y$ and has a cost from {_LOWEST_COST} to {_HIGHEST_COST}"
)
PATH = ValueType("FILE", "the path of a file", _parse_path)
PEM = ValueType("PEM", "a PEM text", _parse_pem)
NAMES = ValueType("NAME", "a DNS name, IP address, e-mail address or URI", str, is_list=True)
SUITES = ValueType("SUITE", "a cipher suite of Go's crypto/tls that is not insecure", _parse_suite, is_list=True)
CURVES = ValueType("CURVE", f"one of {', '.join(GO_CURVES)}", _parse_curve, is_list=True)
CLIENT_AUTH = ValueType("POLICY", f"one of {', '.join(ClientAuth)}", _parse_client_auth)
VERSION = ValueType("VERSION", f"one of {', '.join(TlsVersion)}", _parse_version)
HTTP2 = ValueType("false", "false, because the exporter speaks HTTP/1.1", _parse_http2, in_yaml="a boolean")
INTERVAL = ValueType("DURATION", "0, or a duration up to 1h", _parse_interval, in_yaml="an integer")
BURST = ValueType("INT", f"a whole number from 1 to {_MOST_BURST}", _parse_burst, in_yaml="an integer")
HEADER = ValueType("TEXT", f"at most {_HEADER_CHARACTERS} printable ASCII characters", _parse_header)
# The first part of it is a number, and often the only one.
HEADER_OR_NUMBER = ValueType("TEXT", HEADER.expected, _parse_header, in_yaml="an integer")
FRAME_OPTIONS = ValueType("TEXT", "deny or sameorigin", _parse_frame_options)
CONTENT_TYPE_OPTIONS = ValueType("TEXT", "nosniff", _parse_content_type_options)
