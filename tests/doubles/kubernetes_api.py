"""A small API server over real TLS: the group resource.k8s.io, pods and other objects, as much as the exporter uses."""

import json
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from exporter.attribution.kubernetes_api import ApiServer
from tests.doubles.kubernetes_objects import Json, as_v1beta1

_GROUP = "/apis/resource.k8s.io"
_OTHER_GROUPS = ("/apis/autoscaling/", "/apis/custom.metrics.k8s.io")
_PATIENCE_SECONDS = 20.0
_STEP_SECONDS = 0.2


class Call(NamedTuple):
    """A request: what it is for, its path, its parameters, its token."""

    kind: str
    path: str
    query: dict[str, str]
    token: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response instead of the right one.

    Attributes:
        status: The status.
        headers: Further headers.
        body: Instead of a Status object.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class ApiServerDouble:
    """The server. Everything may be changed while it runs, with the lock where two things change together.

    Args:
        folder: For its certificate, and the service account's directory.

    Attributes:
        versions: The served versions of the group.
        token: The accepted token.
        slices: By name.
        claims: By namespace and name; so are pods.
        objects: All others, by path.
        calls: All requests.
        watches: How many watches have begun: what happens from then on is sent to the last one.
        refusals: By kind of call: what to answer instead, the next first; the last for ever if it is in `refused`.
        silent: Whether watches send nothing, not even an end.
        drip_seconds: Pause before each byte of an answer.
    """

    def __init__(self, folder: Path) -> None:
        self.versions: tuple[str, ...] = ("v1",)
        self.token = "token-1"  # noqa: S105 - of a double
        self.slices: dict[str, Json] = {}
        self.claims: dict[tuple[str, str], Json] = {}
        self.pods: dict[tuple[str, str], Json] = {}
        self.objects: dict[str, Json] = {}
        self.calls: list[Call] = []
        self.refusals: dict[str, deque[Refusal]] = {}
        self.refused: dict[str, Refusal] = {}
        self.silent = False
        self.drip_seconds = 0.0
        self.changed = threading.Condition()
        self.version = 100
        self.oldest = 0
        self.events: list[tuple[int, Json]] = []
        self.cuts = 0
        self.watches = 0
        self.service_account = folder
        self._write_files(folder)
        self._server = _Server(folder, self)
        self.server = ApiServer("127.0.0.1", self._server.server_address[1], folder)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    def write_token(self, token: str) -> None:
        """Replace the token in the service account's directory."""
        (self.service_account / "token").write_text(f"{token}\n")

    def refuse(self, kind: str, *refusals: Refusal) -> None:
        """Answer the next calls of a kind so."""
        self.refusals.setdefault(kind, deque()).extend(refusals)

    def put(self, *slices: Json) -> None:
        """Add or replace slices, and send events."""
        with self.changed:
            for each in slices:
                name = each["metadata"]["name"]
                self._send("MODIFIED" if name in self.slices else "ADDED", each)
                self.slices[name] = each

    def delete(self, *names: str) -> None:
        """Delete slices, and send events."""
        with self.changed:
            for name in names:
                self._send("DELETED", self.slices.pop(name))

    def bookmark(self) -> None:
        """Send a bookmark: something beside the slices has changed."""
        with self.changed:
            self._send("BOOKMARK", {"kind": "ResourceSlice", "metadata": {}})

    def send(self, event: Json) -> None:
        """Send an event as it is."""
        with self.changed:
            self.version += 1
            self.events.append((self.version, event))
            self.changed.notify_all()

    def compact(self) -> None:
        """Forget all events: a watch can only start from now."""
        with self.changed:
            self.version += 1
            self.oldest = self.version

    def cut(self) -> None:
        """End all watches."""
        with self.changed:
            self.cuts += 1
            self.changed.notify_all()

    def of_kind(self, kind: str) -> list[Call]:
        """The calls of a kind so far."""
        return [call for call in self.calls if call.kind == kind]

    def _send(self, kind: str, item: Json) -> None:
        self.version += 1
        item["metadata"] = {**item["metadata"], "resourceVersion": str(self.version)}
        self.events.append((self.version, {"type": kind, "object": item}))
        self.changed.notify_all()

    def _write_files(self, folder: Path) -> None:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        names = ("-subj", "/CN=kubernetes", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
        files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.crt"))
        subprocess.run(["openssl", "req", "-x509", *curve, *names, *files], check=True, capture_output=True)
        self.write_token(self.token)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path, double: ApiServerDouble) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.double = double
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "ca.crt", folder / "key.pem")

    def get_request(self) -> tuple[Any, Any]:
        """The handshake is left to the handler's thread: it must not hold up the next client."""
        connection, address = self.socket.accept()
        connection.settimeout(_PATIENCE_SECONDS)
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients end calls as they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Nothing is logged."""

    def do_GET(self) -> None:
        double = self.server.double
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        parts = url.path.strip("/").split("/")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        kind = _kind(url.path, query)
        double.calls.append(Call(kind, url.path, query, token))
        planned = double.refusals.get(kind)
        if planned or kind in double.refused:
            self._refuse(planned.popleft() if planned else double.refused[kind])
        elif token != double.token:
            self._refuse(Refusal(401))
        elif kind == "object":
            self._refuse(Refusal(404)) if url.path not in double.objects else self._json(double.objects[url.path])
        elif kind == "group":
            self._json({"versions": [{"version": version} for version in double.versions]})
        elif kind != "pod" and parts[2] not in double.versions:
            self._refuse(Refusal(404, body=b"404 page not found\n"))
        elif kind == "list":
            self._list(query, parts[2])
        elif kind == "watch":
            self._watch(query, parts[2])
        else:
            objects = double.claims if kind == "claim" else double.pods
            found = objects.get((parts[-3], parts[-1]))
            self._refuse(Refusal(404)) if found is None else self._json(found)

    def _list(self, query: dict[str, str], version: str) -> None:
        double = self.server.double
        with double.changed:
            start, _, listed_at = query.get("continue", "").partition("@")
            if listed_at and int(listed_at) < double.oldest:
                self._refuse(Refusal(410))
                return
            chosen = [_in_version(each, version) for each in self._selected(query)]
            first, limit = int(start or 0), int(query.get("limit", "500"))
            # With this version the server answers out of its cache, which has no pages.
            last = len(chosen) if query.get("resourceVersion") == "0" else first + limit
            metadata = {"resourceVersion": str(double.version)}
            if last < len(chosen):
                metadata["continue"] = f"{last}@{listed_at or double.version}"
            self._json({"metadata": metadata, "items": chosen[first:last]})

    def _selected(self, query: dict[str, str]) -> list[Json]:
        field_name, _, value = query["fieldSelector"].partition("=")
        assert field_name == "spec.nodeName"
        return [each for _, each in sorted(self.server.double.slices.items()) if each["spec"]["nodeName"] == value]

    def _watch(self, query: dict[str, str], version: str) -> None:
        double = self.server.double
        after = int(query["resourceVersion"])
        with double.changed:
            if after < double.oldest:
                self._refuse(Refusal(410))
                return
            sent = sum(1 for at, _ in double.events if at <= after)
            cuts = double.cuts
            double.watches += 1
        self.send_response(200)
        self._agree_to_close()
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        ends = time.monotonic() + int(query["timeoutSeconds"])
        while double.cuts == cuts and time.monotonic() < ends:
            with double.changed:
                due = [] if double.silent else double.events[sent:]
                if not due:
                    double.changed.wait(_STEP_SECONDS)
            for _, event in due:
                item = _in_version(event["object"], version) if "spec" in event["object"] else event["object"]
                self._write_chunk(json.dumps({**event, "object": item}).encode() + b"\n")
            sent += len(due)
        with suppress(OSError):
            self.wfile.write(b"0\r\n\r\n")

    def _write_chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _json(self, item: Json) -> None:
        self._respond(200, json.dumps(item).encode(), {"Content-Type": "application/json"})

    def _refuse(self, refusal: Refusal) -> None:
        status = {"kind": "Status", "code": refusal.status, "message": f"refused with {refusal.status}"}
        self._respond(refusal.status, refusal.body or json.dumps(status).encode(), refusal.headers)

    def _agree_to_close(self) -> None:
        """Say that the connection ends with this response, where the client asks for it, as Go's server does."""
        if self.headers.get("Connection") == "close":
            self.send_header("Connection", "close")

    def _respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        self._agree_to_close()
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if not self.server.double.drip_seconds:
            self.wfile.write(body)
            return
        with suppress(OSError):
            for byte in body:
                time.sleep(self.server.double.drip_seconds)
                self.wfile.write(bytes([byte]))


def _kind(path: str, query: dict[str, str]) -> str:
    if path == _GROUP:
        return "group"
    if path.startswith(_OTHER_GROUPS):
        return "object"
    if path.endswith("/resourceslices"):
        return "watch" if query.get("watch") == "true" else "list"
    return "claim" if "/resourceclaims/" in path else "pod"


def _in_version(item: Json, version: str) -> Json:
    return as_v1beta1(item) if version == "v1beta1" else item
