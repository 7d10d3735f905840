import contextlib
import http.client
import shutil
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.web.connections import ConnectionLimits
from exporter.web.response import Response
from exporter.web.server import Server
from tests.doubles.certificates import Authority, Certificate
from tests.doubles.http_client import BOUND_SECONDS, connect, port_of, read_to_end, wait_until_closed
from tests.doubles.tls_client import MUTUAL, TLS, configured, connected, protected, request, trusting

LARGE = bytes(range(256)) * 4096
GET = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates of a server and of clients, and one by an authority that is not trusted."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    authority.sign_server()
    authority.sign_server("second")
    authority.sign(
        "client", "DNS:prometheus", "IP:2001:db8::1", "email:ops@example.com", "URI:spiffe://example/prometheus"
    )
    authority.sign("nameless")
    authority.sign("server-only", "DNS:prometheus", usage="serverAuth")
    Authority(folder, "other-ca").sign("stranger", "DNS:prometheus")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def client(folder: Path, name: str = "") -> ssl.SSLContext:
    own = Certificate(folder / f"{name}.crt", folder / f"{name}.key") if name else None
    return trusting(folder / "ca.crt", own)


def received(sock: ssl.SSLSocket) -> bytes:
    """A response with the page, whose head and body can arrive one after the other."""
    data = bytearray()
    while not data.endswith(b"page\n"):
        chunk = sock.recv(65536)
        assert chunk, data
        data += chunk
    return bytes(data)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pages_are_encrypted(folder: Path, version: ssl.TLSVersion) -> None:
    context = client(folder)
    context.maximum_version = version
    with protected(configured(folder, TLS)) as server:
        assert request(server, context).body == b"page\n"
        assert request(server, context, "/none").status == 404


def test_a_connection_is_kept_and_can_be_used_in_a_row_and_in_advance(folder: Path) -> None:
    with protected(configured(folder, TLS)) as server, connected(server, client(folder)) as sock:
        for _ in range(3):
            sock.sendall(GET)
            assert received(sock).endswith(b"page\n")
        sock.sendall(GET * 50 + GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert read_to_end(sock).count(b"page\n") == 51


def test_a_request_can_arrive_byte_by_byte(folder: Path) -> None:
    with protected(configured(folder, TLS)) as server, connected(server, client(folder)) as sock:
        for byte in GET:
            sock.sendall(bytes([byte]))
        assert received(sock).endswith(b"page\n")


def large(_headers: Mapping[str, str]) -> Response:
    return Response(200, "application/octet-stream", LARGE)


def test_a_large_body_arrives_while_another_client_does_not_read_its_own(folder: Path) -> None:
    context = client(folder)
    with protected(configured(folder, TLS), {"/metrics": large}) as server, connected(server, context) as blocked:
        blocked.sendall(GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert [request(server, context).body for _ in range(3)] == [LARGE] * 3
        assert read_to_end(blocked).endswith(b"\r\n\r\n" + LARGE)


@pytest.mark.parametrize("first_bytes", [GET, b"\x00" * 100, b"\x16\x03\x01\x02\x00\x01\x00", b""])
def test_a_client_without_tls_gets_no_page_and_affects_no_other(folder: Path, first_bytes: bytes) -> None:
    limits = ConnectionLimits(request_seconds=0.3)
    with protected(configured(folder, TLS), limits=limits) as server, contextlib.closing(connect(server)) as sock:
        sock.sendall(first_bytes)
        assert request(server, client(folder)).status == 200
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in read_to_end(sock)
        wait_until_closed(server)


def test_a_refused_request_is_answered(folder: Path) -> None:
    with protected(configured(folder, TLS)) as server, connected(server, client(folder)) as sock:
        sock.sendall(b"garbage\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")


def refused_by(server: Server, context: ssl.SSLContext) -> bool:
    """Whether the client gets no response. With TLS 1.3 it learns this only when it reads."""
    try:
        request(server, context)
    except (OSError, http.client.HTTPException):
        return True
    return False


@pytest.mark.parametrize(
    ("name", "is_refused"),
    [("", True), ("stranger", True), ("server-only", True), ("nameless", False), ("client", False)],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_mutual_tls(folder: Path, name: str, version: ssl.TLSVersion, *, is_refused: bool) -> None:
    context = client(folder, name)
    context.maximum_version = version
    with protected(configured(folder, MUTUAL)) as server:
        assert refused_by(server, context) is is_refused


@pytest.mark.parametrize(("name", "is_refused"), [("", False), ("stranger", True), ("client", False)])
def test_a_certificate_is_verified_if_given(folder: Path, name: str, *, is_refused: bool) -> None:
    text = MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    with protected(configured(folder, text)) as server:
        assert refused_by(server, client(folder, name)) is is_refused


@pytest.mark.parametrize(
    ("allowed", "is_refused"),
    [
        ("prometheus", False),
        ("2001:db8::1", False),
        ("ops@example.com", False),
        ("spiffe://example/prometheus", False),
        ("other, prometheus", False),
        ("Prometheus", True),
        ("prometheus.example, client", True),
    ],
)
def test_a_client_needs_one_of_the_allowed_names(folder: Path, allowed: str, *, is_refused: bool) -> None:
    names = ", ".join(f'"{name}"' for name in allowed.split(", "))
    with protected(configured(folder, f"{MUTUAL}  client_allowed_sans: [{names}]\n")) as server:
        assert refused_by(server, client(folder, "client")) is is_refused
        assert refused_by(server, client(folder, "nameless"))


def test_a_session_that_is_resumed_has_the_same_name(folder: Path) -> None:
    context = client(folder, "client")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with protected(configured(folder, f"{MUTUAL}  client_allowed_sans: [prometheus]\n")) as server:
        with connected(server, context) as first:
            first.sendall(GET)
            assert received(first)
            session = first.session
        with (
            contextlib.closing(connect(server)) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as second,
        ):
            second.sendall(GET)
            assert received(second).endswith(b"page\n")
            assert second.session_reused


class Scraper(threading.Thread):
    """Scrapes until it is told to stop, and counts; every second connection is kept for a few scrapes."""

    def __init__(self, server: Server, context: ssl.SSLContext) -> None:
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self.scrapes = 0
        self.errors: list[str] = []
        self._server = server
        self._context = context

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                self._scrape(1 + self.scrapes % 2 * 3)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))

    def _scrape(self, times: int) -> None:
        port = port_of(self._server)
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=BOUND_SECONDS, context=self._context)
        with contextlib.closing(connection):
            for _ in range(times):
                connection.request("GET", "/metrics")
                response = connection.getresponse()
                if (response.status, response.read()) != (200, b"page\n"):
                    self.errors.append(str(response.status))
                self.scrapes += 1


def served_by(server: Server, context: ssl.SSLContext) -> str:
    """The common name in the server's certificate."""
    with connected(server, context) as sock:
        certificate: Mapping[str, Any] = sock.getpeercert() or {}
        return str(certificate["subject"][0][0][1])


def rotate(folder: Path, name: str) -> None:
    """Replace certificate and key at once, as the kubelet does: by a symbolic link to the folder of both."""
    version = folder / f"version-{name}"
    version.mkdir(exist_ok=True)
    for suffix in ("crt", "key"):
        shutil.copy(folder / f"{name}.{suffix}", version / f"tls.{suffix}")
    new = folder / "new"
    new.symlink_to(version)
    new.replace(folder / "current")


def test_200_rotations_while_scraping_cost_no_scrape(folder: Path) -> None:
    rotate(folder, "server")
    web, context = configured(folder, TLS.replace(": server.", ": current/tls.")), client(folder)
    with protected(web) as server:
        scraper = Scraper(server, context)
        scraper.start()
        for number in range(200):
            before, name = web.protection, ("second", "server")[number % 2]
            rotate(folder, name)
            web.refresh()
            assert web.protection is not before
            if number % 20 < 2:
                assert served_by(server, context) == name
        scraper.stopping.set()
        scraper.join(BOUND_SECONDS)
    assert scraper.errors == []
    assert scraper.scrapes > 0


def test_certificate_and_key_can_be_replaced_one_after_the_other(folder: Path) -> None:
    web, context = configured(folder, TLS), client(folder)
    with protected(web) as server:
        for suffix, name in (("crt", "server"), ("key", "second")):
            shutil.copy(folder / f"second.{suffix}", folder / "new")
            (folder / "new").replace(folder / f"server.{suffix}")
            web.refresh()
            assert served_by(server, context) == name
