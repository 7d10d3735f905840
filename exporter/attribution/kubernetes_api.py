"""A small client of the Kubernetes API server, for use in a pod: get and watch. Imported only where an option needs it.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ and, for the files and variables of a pod,
https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/.
"""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

from exporter.attribution.api_error import (
    ApiError,
    ApiExpiredError,
    ApiForbiddenError,
    ApiNotFoundError,
    ApiTooLargeError,
)
from exporter.attribution.json_fields import JsonObject, text
from exporter.attribution.timed_socket import TimedSocket

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_DEADLINE_SECONDS = 10.0
# The server sends a bookmark about once a minute: staging/src/k8s.io/apiserver/pkg/storage/cacher/cacher.go.
_IDLE_SECONDS = 150.0
_LATE_SECONDS = 30.0  # how long after its own limit the server may end a watch
_TOKEN_BYTES = 64 * 1024
_ERROR_BYTES = 16 * 1024
_RECEIVE_BYTES = 64 * 1024
# An object is at most 1.5 MiB in etcd, and its JSON somewhat larger. Decoded, it takes up to ten times as much memory.
MOST_BYTES = 4 * 1024 * 1024
_HIGHEST_PORT = 65_535
_LONGEST_RETRY_AFTER_SECONDS = 60.0

_ERRORS: Mapping[int, type[ApiError]] = {
    403: ApiForbiddenError,
    404: ApiNotFoundError,
    410: ApiExpiredError,
}

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ApiServer:
    """The API server, as a pod knows it.

    Attributes:
        host: Its address.
        port: Its port.
        service_account: The directory with the files `token` and `ca.crt`. They are replaced from time to time.
    """

    host: str
    port: int
    service_account: Path = SERVICE_ACCOUNT


def server_of_pod(environ: Mapping[str, str]) -> ApiServer | None:
    """Return the API server of the pod's cluster; None outside Kubernetes.

    Args:
        environ: The environment.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    known = host and port.isascii() and port.isdigit() and int(port) <= _HIGHEST_PORT
    return ApiServer(host, int(port)) if known else None


class KubernetesApi:
    """Gets and watches objects. Each call is a connection of its own; several threads may call.

    Args:
        server: The server.
        deadline_seconds: For a whole call, or until a watch begins.
        idle_seconds: How long a watch may send nothing at all.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        server: ApiServer,
        *,
        deadline_seconds: float = _DEADLINE_SECONDS,
        idle_seconds: float = _IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._deadline_seconds = deadline_seconds
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._open: set[TimedSocket] = set()
        self._closed = False

    def get(self, path: str, query: Query | None = None) -> JsonObject:
        """Return an object or a list.

        Args:
            path: The path, `/api/v1/namespaces/ml/pods/train`.
            query: Parameters.

        Raises:
            ApiError: There is no answer that can be used.
        """
        with self._response(path, query or {}) as (response, _):
            body = response.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise ApiTooLargeError(f"{path}: the answer is larger than {MOST_BYTES} bytes")
        return _decoded(body, path)

    def watch(self, path: str, query: Query, seconds: int, opened: Callable[[], None]) -> Iterator[JsonObject]:
        """Yield the events of a watch, until the server or the connection ends it.

        Args:
            path: The path of a list.
            query: Parameters, with the resource version to start from.
            seconds: After which time the server is to end it.
            opened: Called once the server has accepted it; the first event may come much later.

        Raises:
            ApiError: It could not be started, or an event cannot be used.
        """
        parameters = {**query, "watch": "true", "timeoutSeconds": str(seconds)}
        with self._response(path, parameters) as (response, connected):
            connected.allow(seconds + _LATE_SECONDS, self._idle_seconds)
            opened()
            for line in _lines(response, path):
                yield _decoded(line, path)

    def close(self) -> None:
        """End all calls; later ones fail. Safe to call twice, from any thread."""
        with self._lock:
            self._closed = True
            for each in self._open:
                each.interrupt()

    @contextmanager
    def _response(self, path: str, query: Query) -> Iterator[tuple[http.client.HTTPResponse, TimedSocket]]:
        """Yield a response with status 200 whose body is still to be read.

        The files are replaced while the exporter runs: each call reads them, and again if a new token came meanwhile.

        Raises:
            ApiError: The call failed, or reading fails.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            with ExitStack() as connections:
                token = self._token()
                response, connected = self._request(connections, target, token)
                if response.status == http.client.UNAUTHORIZED and (newer := self._token()) != token:
                    response, connected = self._request(connections, target, newer)
                if response.status != http.client.OK:
                    raise _refusal(response, path)
                yield response, connected
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise ApiError(f"{path} of the API server at {self._server.host}:{self._server.port}: {reason}") from error

    def _token(self) -> str:
        path = self._server.service_account / "token"
        with path.open("rb") as file:
            token = file.read(_TOKEN_BYTES).strip()
        if not token or not all(0x21 <= byte <= 0x7E for byte in token):  # noqa: PLR2004 - printable ASCII
            raise ApiError(f"{path} holds no token")  # its text must not be shown
        return token.decode()

    def _request(self, connections: ExitStack, target: str, token: str) -> tuple[http.client.HTTPResponse, TimedSocket]:
        connected = connections.enter_context(self._connected())
        connection = http.client.HTTPConnection(self._server.host, self._server.port)
        connection.auto_open = 0  # a connection of its own would not be encrypted
        connection.sock = cast("socket.socket", connected)
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {token}",
            "Connection": "close",
            "User-Agent": "accelerator-exporter",
        }
        connection.request("GET", target, headers=headers)
        return connection.getresponse(), connected

    @contextmanager
    def _connected(self) -> Iterator[TimedSocket]:
        ends = self._clock() + self._deadline_seconds
        # Python's stricter default context refuses the certificates of some clusters: their CA has no key identifier.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._server.service_account / "ca.crt")
        address = (self._server.host, self._server.port)
        with socket.create_connection(address, self._deadline_seconds) as raw:
            raw.settimeout(max(ends - self._clock(), 0.001))  # the handshake as a whole
            with context.wrap_socket(raw, server_hostname=self._server.host) as encrypted:
                connected = TimedSocket(encrypted, max(ends - self._clock(), 0.0), self._clock)
                self._add(connected)
                try:
                    yield connected
                finally:
                    with self._lock:
                        self._open.discard(connected)

    def _add(self, connected: TimedSocket) -> None:
        with self._lock:
            if self._closed:
                raise ApiError("the client is closed")
            self._open.add(connected)


def _lines(response: http.client.HTTPResponse, path: str) -> Iterator[bytes]:
    """Yield the lines of a stream as they come. A stream that breaks ends like one that the server ends."""
    pending = bytearray()
    while True:
        try:
            data = response.read1(_RECEIVE_BYTES)
        except (OSError, ValueError, http.client.HTTPException):
            return
        if not data:
            return
        pending += data
        if b"\n" not in data:
            if len(pending) > MOST_BYTES:
                raise ApiTooLargeError(f"{path}: an event is larger than {MOST_BYTES} bytes")
            continue
        *lines, rest = bytes(pending).split(b"\n")
        pending = bytearray(rest)
        yield from (line for line in lines if line.strip())


def _decoded(body: bytes, path: str) -> JsonObject:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ApiError(f"{path}: the answer is no JSON object")
    return found


def _refusal(response: http.client.HTTPResponse, path: str) -> ApiError:
    """The error for a status. The server explains it in an object of kind Status, and proxies in plain text."""
    body = response.read(_ERROR_BYTES)
    try:
        message = text(_decoded(body, path), "message")
    except ApiError:
        message = ""
    wait = response.headers.get("Retry-After") or ""
    seconds = min(float(wait), _LONGEST_RETRY_AFTER_SECONDS) if wait.isascii() and wait.isdigit() else 0.0
    kind = _ERRORS.get(response.status, ApiError)
    return kind(f"{path}: {response.status} {message or response.reason}", seconds)
