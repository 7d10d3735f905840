"""The web configuration: TLS, users, headers and a rate limit, in the file format of Prometheus's exporters.

Source: prometheus/exporter-toolkit, docs/web-configuration.md and web/tls_config.go. What is refused here although that
toolkit accepts it is listed in docs/web-configuration.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.configuration.errors import ConfigError
from exporter.web.tls_names import TLS12_SUITES, ClientAuth, TlsVersion
from exporter.web.web_config_file import HEADERS, RATE_LIMIT, TLS, USERS, Values, read_values
from exporter.web.web_config_types import BURST


@dataclass(frozen=True, slots=True)
class Pem:
    """A PEM text: a certificate, a key or several certificates.

    Attributes:
        place: Where it is configured, for error messages.
        path: The file that holds it; None if the text is in the configuration.
        text: The text; empty if it is in a file.
    """

    place: str
    path: Path | None
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS.

    Attributes:
        place: Where it is configured, for error messages.
        cert: The certificate of the server, with its chain.
        key: Its private key.
        client_ca: The authorities that sign certificates of clients; None if clients need none.
        client_auth: Whether a client needs a certificate.
        client_allowed_sans: A client's certificate must have one of these names; empty for any name.
        min_version: The oldest version that is accepted.
        max_version: The newest version that is accepted.
        cipher_suites: The suites for TLS 1.2, by the names of Go; empty for the usual ones.
        prefer_server_cipher_suites: Whether the order of the server's suites decides, not that of the client's.
        curve: The only elliptic curve, by its name in Go; empty for the usual ones.
    """

    place: str
    cert: Pem
    key: Pem
    client_ca: Pem | None
    client_auth: ClientAuth
    client_allowed_sans: tuple[str, ...]
    min_version: TlsVersion
    max_version: TlsVersion
    cipher_suites: tuple[str, ...]
    prefer_server_cipher_suites: bool
    curve: str


@dataclass(frozen=True, slots=True)
class RequestLimit:
    """A limit on requests of all clients together.

    Attributes:
        interval_seconds: The time in which one more request is allowed.
        burst: How many requests are allowed at once.
    """

    interval_seconds: float
    burst: int


@dataclass(frozen=True, slots=True)
class WebConfig:
    """A web configuration. Without arguments: plain HTTP for everyone.

    Attributes:
        tls: TLS; None for plain HTTP.
        headers: What responses have in addition, names and values.
        users: The bcrypt hash of each user's password; empty if nobody needs one.
        rate_limit: The limit on requests; None for none.
    """

    tls: TlsSettings | None = None
    headers: tuple[tuple[str, str], ...] = ()
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    rate_limit: RequestLimit | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        pems = () if self.tls is None else (self.tls.cert, self.tls.key, self.tls.client_ca)
        return tuple(pem.path for pem in pems if pem is not None and pem.path is not None)


def read_web_config(path: Path) -> WebConfig:
    """Read a web configuration file. The files that it names are not read.

    Raises:
        ConfigError: It cannot be read or is invalid.
    """
    sections = read_values(path)
    headers, users = sections[HEADERS].by_key, sections[USERS].by_key
    return WebConfig(
        _tls(sections[TLS], path.parent),
        tuple((name, value.value) for name, value in headers.items() if value.value),
        {name: value.value for name, value in users.items()},
        _rate_limit(sections[RATE_LIMIT]),
    )


def _tls(values: Values, folder: Path) -> TlsSettings | None:
    if not values.by_key:
        return None
    cert, key, client_ca = (_pem(values, name, folder) for name in ("cert", "key", "client_ca"))
    if cert is None or key is None:
        missing = "cert" if cert is None else "key"
        raise ConfigError(f"{values.place}: found neither {missing}_file nor {missing}, expected one of them")
    _check_clients(values, client_ca)
    _check_algorithms(values)
    return TlsSettings(
        values.place,
        cert,
        key,
        client_ca,
        values.get("client_auth_type", ClientAuth.NONE),
        values.get("client_allowed_sans", ()),
        values.get("min_version", TlsVersion.TLS12),
        values.get("max_version", TlsVersion.TLS13),
        values.get("cipher_suites", ()),
        values.get("prefer_server_cipher_suites", True),
        values.get("curve_preferences", ("",))[0],
    )


def _pem(values: Values, name: str, folder: Path) -> Pem | None:
    """The text that a key holds, or the file that the key with `_file` at its end names."""
    text, path = values.by_key.get(name), values.by_key.get(f"{name}_file")
    if text and path:
        raise ConfigError(f"{path.place}: given together with {name}, expected one of them")
    if path:
        return Pem(path.place, folder / path.value, "")
    return Pem(text.place, None, text.value) if text else None


def _check_clients(values: Values, client_ca: Pem | None) -> None:
    """Refuse what would leave clients unverified although their certificates are configured."""
    policy = values.get("client_auth_type", ClientAuth.NONE)
    if client_ca and policy is ClientAuth.NONE:
        raise ConfigError(f"{client_ca.place}: given without client_auth_type, expected {ClientAuth.REQUIRED}")
    if client_ca is None and policy is not ClientAuth.NONE:
        place = values.by_key["client_auth_type"].place
        raise ConfigError(f"{place}: given without client_ca_file, expected the authorities of the clients")
    if values.get("client_allowed_sans") and policy is not ClientAuth.REQUIRED:
        place = values.by_key["client_allowed_sans"].place
        raise ConfigError(f"{place}: given without client_auth_type, expected {ClientAuth.REQUIRED}")


def _check_algorithms(values: Values) -> None:
    """Refuse combinations that allow nothing, and what Python's ssl cannot do."""
    lowest, highest = (values.get(key, None) for key in ("min_version", "max_version"))
    if (lowest, highest) == (TlsVersion.TLS13, TlsVersion.TLS12):
        place = values.by_key["min_version"].place
        raise ConfigError(f"{place}: found {lowest}, expected at most max_version, which is {highest}")
    suites = values.get("cipher_suites", ())
    if suites and highest is TlsVersion.TLS12 and not any(suite in TLS12_SUITES for suite in suites):
        place = values.by_key["cipher_suites"].place
        raise ConfigError(f"{place}: found no suite of TLS 1.2, expected one because max_version is {highest}")
    if len(values.get("curve_preferences", ())) > 1:
        place = values.by_key["curve_preferences"].place
        raise ConfigError(f"{place}: found several curves, expected one: Python's ssl takes one or chooses itself")


def _rate_limit(values: Values) -> RequestLimit | None:
    interval_seconds = values.get("interval", 0.0)
    if not interval_seconds:
        return None
    if "burst" not in values.by_key:
        raise ConfigError(f"{values.place}: found no burst, expected {BURST.expected}")
    return RequestLimit(interval_seconds, values.get("burst"))
