import re
from pathlib import Path

import pytest

from exporter.web.connections import ConnectionLimits
from exporter.web.users import UserLimits, Users
from exporter.web.web_reload import WebReload
from tests.doubles.http_client import BOUND_SECONDS, connect, read_to_end, request, wait_until_closed
from tests.doubles.passwords import USERS, Hashing, basic
from tests.doubles.tls_client import configured, protected

RIGHT, WRONG = basic("alice", "right"), basic("alice", "wrong")
HEADERS = """\
http_server_config:
  headers:
    Content-Security-Policy: default-src 'none'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: ""
"""


@pytest.fixture
def hashing() -> Hashing:
    return Hashing()


@pytest.fixture
def web(tmp_path: Path, hashing: Hashing) -> WebReload:
    """Users whose passwords are hashed by the double."""
    made = configured(tmp_path, USERS)
    made.protection.users = Users({"alice": "right", "bob": "other"}, UserLimits(), matches=hashing.matches)
    return made


def get(path: str, authorization: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n".encode()


@pytest.mark.parametrize("path", ["/metrics", "/none", "/"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": WRONG}, {"Authorization": "Bearer x"}])
def test_without_the_right_password_every_path_gives_a_challenge(
    web: WebReload, path: str, headers: dict[str, str]
) -> None:
    with protected(web) as server:
        answer = request(server, path, **headers)
    assert (answer.status, answer.body) == (401, b"401 a user and a password are needed\n")
    assert answer.headers["www-authenticate"] == 'Basic realm="accelerator-exporter"'


def test_with_the_right_password_pages_are_served(web: WebReload, hashing: Hashing) -> None:
    with protected(web) as server:
        assert [request(server, "/metrics", Authorization=RIGHT).body for _ in range(3)] == [b"page\n"] * 3
        assert request(server, "/none", Authorization=RIGHT).status == 404
        assert request(server, "/metrics", "HEAD", Authorization=RIGHT).body == b""
        assert request(server, "/metrics", "POST", Authorization=RIGHT).status == 405
    assert len(hashing.compared) == 1


def test_health_needs_no_password(web: WebReload) -> None:
    with protected(web) as server:
        assert request(server, "/-/healthy").status == 200
        assert request(server, "/-/healthy", Authorization=WRONG).status == 200


def test_a_real_hash_is_checked(tmp_path: Path) -> None:
    with protected(configured(tmp_path, USERS)) as server:
        assert request(server, "/metrics", Authorization=WRONG).status == 401
        assert request(server, "/metrics", Authorization=RIGHT).status == 200


def test_hashing_delays_no_other_client(web: WebReload, hashing: Hashing) -> None:
    with protected(web) as server:
        assert request(server, "/metrics", Authorization=RIGHT).status == 200
        hashing.begun.clear()
        hashing.released.clear()
        with connect(server) as waiting:
            waiting.sendall(get("/metrics", WRONG) + get("/-/healthy").replace(b"Host", b"Connection: close\r\nHost"))
            assert hashing.begun.wait(BOUND_SECONDS)
            assert request(server, "/metrics", Authorization=RIGHT).status == 200
            assert request(server, "/-/healthy").status == 200
            hashing.released.set()
            assert re.findall(rb"HTTP/1.1 ([0-9]+)", read_to_end(waiting)) == [b"401", b"200"]


def test_a_client_that_disconnects_while_its_password_is_checked_affects_no_other(
    web: WebReload, hashing: Hashing, caplog: pytest.LogCaptureFixture
) -> None:
    with protected(web) as server:
        hashing.released.clear()
        with connect(server) as waiting:
            waiting.sendall(get("/metrics", RIGHT))
            with connect(server) as other:
                other.sendall(get("/metrics", RIGHT))
                waiting.close()
                hashing.released.set()
                assert other.recv(65536).startswith(b"HTTP/1.1 200 ")
        wait_until_closed(server)
    assert caplog.text == ""


def test_a_check_has_a_deadline(web: WebReload, hashing: Hashing) -> None:
    with protected(web, limits=ConnectionLimits(check_seconds=0.2)) as server:
        hashing.released.clear()
        with connect(server) as waiting:
            waiting.sendall(get("/metrics", RIGHT))
            assert read_to_end(waiting) == b""
        hashing.released.set()
        assert request(server, "/metrics", Authorization=RIGHT).status == 200


def test_the_server_stops_while_a_password_is_checked(web: WebReload, hashing: Hashing) -> None:
    hashing.released.clear()
    with protected(web) as server, connect(server) as waiting:
        waiting.sendall(get("/metrics", RIGHT))
        assert hashing.begun.wait(BOUND_SECONDS)
        server.close()
        assert read_to_end(waiting) == b""
    hashing.released.set()


def test_too_many_wrong_passwords_are_not_checked(web: WebReload, hashing: Hashing) -> None:
    with protected(web) as server:
        answers = [request(server, "/metrics", Authorization=basic("alice", str(number))) for number in range(6)]
        assert [answer.status for answer in answers] == [401] * 5 + [429]
        assert answers[-1].headers["retry-after"] == "5"
    assert len(hashing.compared) == 5


def test_a_user_who_is_removed_gets_no_further_response_on_an_open_connection(tmp_path: Path) -> None:
    web = configured(tmp_path, USERS)
    with protected(web) as server, connect(server) as kept:
        kept.sendall(get("/metrics", RIGHT))
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        (tmp_path / "web.yml").write_text(USERS.replace("alice", "bob"))
        web.refresh()
        kept.sendall(get("/metrics", RIGHT))
        assert kept.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_requests_are_limited_but_not_those_for_health(tmp_path: Path) -> None:
    with protected(configured(tmp_path, "rate_limit: {interval: 1h, burst: 2}\n")) as server:
        assert [request(server, path).status for path in ("/metrics", "/none", "/metrics")] == [200, 404, 429]
        assert request(server, "/-/healthy").status == 200


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/none"])
def test_configured_headers_are_in_every_response_in_place_of_its_own(tmp_path: Path, path: str) -> None:
    with protected(configured(tmp_path, HEADERS)) as server, connect(server) as sock:
        sock.sendall(get(path).replace(b"Host", b"Connection: close\r\nHost"))
        head = read_to_end(sock).partition(b"\r\n\r\n")[0].decode().splitlines()
    assert head.count("Content-Security-Policy: default-src 'none'") == 1
    assert head.count("X-Frame-Options: deny") == 1
    assert head.count("X-Content-Type-Options: nosniff") == 1
    assert [line for line in head if line.startswith("X-XSS-Protection") or "our own" in line] == []
