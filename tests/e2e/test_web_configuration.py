"""TLS and users of the real process: clients, a real Prometheus, rotation, what is loaded, what is refused."""

import contextlib
import re
import ssl
from collections.abc import Iterator, Mapping
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from tests.doubles.certificates import Authority
from tests.doubles.exporter_process import ExporterProcess, exporter, run_once, wait_until
from tests.doubles.http_client import BOUND_SECONDS
from tests.doubles.passwords import basic
from tests.doubles.scraping import often, scraping
from tests.doubles.tls_client import MUTUAL, TLS, trusting

PASSWORD = "correct horse battery staple"  # noqa: S105 - of this test
USERS = "basic_auth_users:\n  prometheus: $2b$10$ITnhyvdYBDH8QYbUVkJd3e.wybSuxAp2jxPget5IGmw/6CMJvkw1y\n"
RELOADED = "accelerator_exporter_config_last_reload_successful"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path)
    authority.sign_server()
    return authority


@contextlib.contextmanager
def serving(
    folder: Path, text: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[ExporterProcess]:
    (folder / "web.yml").write_text(text)
    flag = f"--web.config.file={folder / 'web.yml'}"
    with exporter(folder, "--simulate", flag, *arguments, environment=environment) as running:
        yield running


def get(address: str, context: ssl.SSLContext, path: str, password: str = "") -> tuple[int, str]:
    headers = {"Authorization": basic("prometheus", password)} if password else {}
    connection = HTTPSConnection(address, timeout=BOUND_SECONDS, context=context)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def plain_address(running: ExporterProcess) -> str:
    """The second address in the log."""
    found = re.search(r"address=\S+?,([0-9.:]+)", running.log.read_text())
    assert found is not None
    return found[1]


def test_prometheus_scrapes_with_its_own_settings_for_tls_and_users(tmp_path: Path, authority: Authority) -> None:
    own = authority.sign("client", "DNS:prometheus")
    text = f"{MUTUAL}  client_allowed_sans: [prometheus]\n{USERS}"
    with serving(tmp_path, text, "--web.plain-listen-address=127.0.0.1:0") as running:
        tls = {"ca_file": str(authority.cert), "cert_file": str(own.cert), "key_file": str(own.key)}
        user = {"username": "prometheus", "password": PASSWORD}
        both = {"scheme": "https", "tls_config": tls, "basic_auth": user}
        right = often([{"targets": [running.address]}]) | both | {"job_name": "right"}
        wrong = right | {"job_name": "wrong", "basic_auth": user | {"password": "wrong"}}
        without = right | {"job_name": "without", "tls_config": {"ca_file": str(authority.cert)}}
        plain = often([{"targets": [plain_address(running)]}]) | {"job_name": "plain"}
        with scraping(tmp_path, right, wrong, without, plain) as prometheus:
            prometheus.wait_for_all(
                {
                    "right": 'up{job="right"} == 1 and on () count(accelerator_device_info{job="right"})',
                    "wrong": 'up{job="wrong"} == 0',
                    "without": 'up{job="without"} == 0',
                    "plain": 'up{job="plain"} == 1',
                }
            )


def test_certificates_users_and_errors_are_picked_up_while_serving(tmp_path: Path, authority: Authority) -> None:
    context = trusting(authority.cert)
    with serving(tmp_path, TLS + USERS) as running:
        assert get(running.address, context, "/-/healthy")[0] == 200
        assert get(running.address, context, "/metrics")[0] == 401
        assert get(running.address, context, "/metrics", PASSWORD)[0] == 200
        first = ssl.get_server_certificate(("127.0.0.1", running.port))
        authority.sign_server()
        wait_until(lambda: ssl.get_server_certificate(("127.0.0.1", running.port)) != first)
        (tmp_path / "web.yml").write_text(TLS)
        wait_until(lambda: get(running.address, context, "/metrics")[0] == 200)
        (tmp_path / "server.key").write_text("x")
        wait_until(lambda: f"\n{RELOADED} 0.0\n" in get(running.address, context, "/metrics")[1])
    logged = running.log.read_text()
    assert logged.count("web configuration not reloaded") == 1
    assert "found no private key" in logged


def loaded(running: ExporterProcess) -> set[str]:
    """The modules that the process has imported, as Python lists them with PYTHONPROFILEIMPORTTIME."""
    return set(re.findall(r"^import time: .*\| +(\S+)$", running.log.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [(TLS, {"ssl"}), (USERS, {"bcrypt"})],
    ids=["TLS", "users"],
)
def test_ssl_and_bcrypt_are_imported_only_if_configured(
    tmp_path: Path, authority: Authority, text: str, expected: set[str]
) -> None:
    assert authority.cert.exists()
    with serving(tmp_path, text, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as running:
        assert "yaml" in loaded(running)
        assert loaded(running) & {"ssl", "bcrypt"} == expected


def test_nothing_of_it_is_imported_without_a_file(tmp_path: Path) -> None:
    with exporter(tmp_path, "--simulate", environment={"PYTHONPROFILEIMPORTTIME": "1"}) as running:
        assert "yaml" in loaded(running)
        assert loaded(running) & {"ssl", "bcrypt", "exporter.web.web_config"} == set()


@pytest.mark.parametrize("arguments", [["--check-config"], ["--simulate"]])
def test_an_invalid_file_gives_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "web.yml").write_text(TLS)
    result = run_once([*arguments, f"--web.config.file={tmp_path / 'web.yml'}"], {})
    place = f"{tmp_path}/web.yml:2: tls_server_config.cert_file: {tmp_path}/server.crt"
    expected = f"accelerator-exporter: {place}: cannot be read: No such file or directory\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", expected)


def test_a_valid_file_passes_the_check(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "web.yml").write_text(TLS + USERS)
    assert authority.cert.exists()
    result = run_once(["--check-config"], {"ACCELERATOR_EXPORTER_WEB_CONFIG_FILE": str(tmp_path / "web.yml")})
    assert (result.returncode, result.stdout, result.stderr) == (0, "configuration is valid\n", "")
