"""Reads a page of an exporter, with a bound for its size and one for the time."""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from urllib.parse import SplitResult, urlsplit

from collectors.wording import OneLineError
from exporter.attribution.timed_socket import TimedSocket
from exporter.configuration.errors import ConfigError, shown

# As long as Prometheus waits for a scrape by default.
DEADLINE_SECONDS = 10.0
# A node with 16 devices in seven partitions has about 1 MiB. Parsed, it takes up to thirty times as much memory.
MOST_BYTES = 4 * 1024 * 1024
_MOST_TARGETS = 64
_PORTS = {"http": 80, "https": 443}
_EXPECTED = "expected an address such as http://localhost:9410/metrics"
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_SERVICE_PARTS = 2


class UnreachableError(OneLineError):
    """No connection to the endpoint can be made. The text says why."""


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """What is read.

    Attributes:
        scheme: `http` or `https`.
        host: A name or an address.
        port: The port.
        path: The path, with its query.
        ca_file: The certificates that are trusted; None for those of the system.
    """

    scheme: str
    host: str
    port: int
    path: str
    ca_file: Path | None = None

    @property
    def url(self) -> str:
        """The whole address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def service(self) -> tuple[str, str]:
        """Name and namespace of the Service that the host names, as in `name.namespace.svc`; empty if it names none."""
        name, _, rest = self.host.partition(".svc")
        parts = name.split(".")
        named = ".svc" in self.host and len(parts) == _SERVICE_PARTS and (not rest or rest.startswith("."))
        return (parts[0], parts[1]) if named and all(map(_LABEL.fullmatch, parts)) else ("", "")


def parse_target(url: str, ca_file: Path | None) -> ScrapeTarget:
    """The target of an address.

    Args:
        url: As the operator has written it.
        ca_file: The certificates to trust.

    Raises:
        ConfigError: It cannot be used.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"--url: found {shown(url)}, {error}, {_EXPECTED}") from None
    if not _is_usable(url, parts):
        raise ConfigError(f"--url: found {shown(url)}, {_EXPECTED}")
    if ca_file is not None and parts.scheme != "https":
        raise ConfigError("--ca-file: given with an address that is not https")
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    return ScrapeTarget(parts.scheme, parts.hostname or "", port or _PORTS[parts.scheme], path, ca_file)


def _is_usable(url: str, parts: SplitResult) -> bool:
    if parts.port == 0 or not parts.hostname or ".." in parts.hostname:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return plain and parts.scheme in _PORTS and "@" not in parts.netloc


def every_target(target: ScrapeTarget) -> Sequence[ScrapeTarget]:
    """A target for each address of a host, such as the pods of a headless Service, but at most so many.

    With TLS the name is needed for the certificate, so that there is only one.
    """
    if target.scheme == "https":
        return (target,)
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return (target,)
    addresses = sorted({str(address[0]) for *_, address in found})
    return tuple(replace(target, host=address) for address in addresses[:_MOST_TARGETS])


@dataclass(frozen=True, slots=True)
class Page:
    """What an endpoint has answered.

    Attributes:
        content_type: As it was sent; empty if it was not.
        body: The body, or the part of it that came.
        problem: Why the answer is not complete or cannot be used; empty if it can.
    """

    content_type: str = ""
    body: bytes = b""
    problem: str = ""


def read_page(
    target: ScrapeTarget,
    accept: str = "",
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Page:
    """Read the endpoint once.

    Args:
        target: What to read.
        accept: The formats to ask for; empty for none, as the official test does.
        deadline_seconds: For everything together.
        clock: Monotonic seconds.

    Raises:
        UnreachableError: No connection can be made.
    """
    with _connected(target, deadline_seconds, clock) as connected:
        try:
            return _page(target, accept, connected)
        except TimeoutError:
            return Page(problem=f"no complete answer within {deadline_seconds:g} s")
        except (OSError, ValueError, http.client.HTTPException) as error:
            return Page(problem=f"no complete answer: {str(error) or type(error).__name__}")


def _page(target: ScrapeTarget, accept: str, connected: TimedSocket) -> Page:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.auto_open = 0  # it has its connection already
    connection.sock = cast("socket.socket", connected)
    headers = {"Connection": "close", "User-Agent": "accelerator-exporter"}
    connection.request("GET", target.path, headers={**headers, **({"Accept": accept} if accept else {})})
    with connection.getresponse() as response:
        body = response.read(MOST_BYTES + 1)
        missing = response.length or 0
        content_type = response.headers.get("Content-Type") or ""
        encoding = response.headers.get("Content-Encoding") or "identity"
        problem = ""
        if len(body) > MOST_BYTES:
            problem = f"the answer is larger than {MOST_BYTES} bytes"
        elif missing:
            problem = f"the connection was closed {missing} bytes before the end of the answer"
        elif response.status != http.client.OK:
            problem = f"the status is {response.status} {response.reason}".rstrip()
        elif encoding != "identity":
            problem = f"the answer has the encoding {encoding}, which was not asked for"
        return Page(content_type, body[:MOST_BYTES], problem)


@contextmanager
def _connected(target: ScrapeTarget, seconds: float, clock: Callable[[], float]) -> Iterator[TimedSocket]:
    """Connect.

    Raises:
        UnreachableError: It is not possible.
    """
    ends = clock() + seconds
    try:
        connection = socket.create_connection((target.host, target.port), seconds)
        try:
            connection.settimeout(max(ends - clock(), 0.001))
            encrypted = _encrypted(target, connection) if target.scheme == "https" else connection
        except BaseException:
            connection.close()
            raise
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be encoded
        raise UnreachableError(f"{target.url}: {_reason(error, seconds)}") from None
    connected = TimedSocket(encrypted, max(ends - clock(), 0.0), clock)
    try:
        yield connected
    finally:
        connected.close()


def _reason(error: OSError | ValueError, seconds: float) -> str:
    """Why no connection can be made, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = "name the file with its certificate authority by --ca-file"
        return f"the certificate is not trusted: {error.verify_message}; {advice}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "unknown").replace("_", " ").lower()
        return f"TLS fails: {reason}; does https belong to this port?"
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s; is the exporter running there?"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{reason}; is the exporter running there?"


def _encrypted(target: ScrapeTarget, connection: socket.socket) -> socket.socket:
    # Python's stricter default context refuses the certificates of some clusters: their CA has no key identifier.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if target.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(target.ca_file)
    except ssl.SSLError:
        raise ConfigError(f"--ca-file: {target.ca_file}: found no certificate in PEM form") from None
    except OSError as error:
        raise ConfigError(f"--ca-file: {target.ca_file}: {error.strerror or error}") from None
    return context.wrap_socket(connection, server_hostname=target.host)
