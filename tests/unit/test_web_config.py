import json
from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.web.tls_names import TLS12_SUITES, TLS13_SUITES, ClientAuth, TlsVersion
from exporter.web.web_config import Pem, RequestLimit, TlsSettings, WebConfig, read_web_config

DATA = Path(__file__).parent.parent / "data" / "web"
GOOD = DATA / "good"
EXPECTED: dict[str, str] = json.loads((DATA / "expected.json").read_text())
HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"


def error_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_web_config(path)
    return str(caught.value)


def written(folder: Path, content: str) -> Path:
    path = folder / "web.yml"
    path.write_text(content)
    return path


def test_every_invalid_file_is_in_the_table() -> None:
    assert {path.name for path in DATA.glob("*.yml")} == set(EXPECTED)


@pytest.mark.parametrize(("name", "line"), EXPECTED.items(), ids=EXPECTED)
def test_an_invalid_file_gives_its_one_line(name: str, line: str) -> None:
    assert error_of(DATA / name) == line.format(file=DATA / name)


def test_a_file_can_set_everything_and_its_paths_are_relative_to_it() -> None:
    file = GOOD / "everything.yml"
    place = f"{file}:{{}}: tls_server_config"
    assert read_web_config(file) == WebConfig(
        TlsSettings(
            place.format(1),
            Pem(f"{place.format(2)}.cert_file", GOOD / "server.crt", ""),
            Pem(f"{place.format(3)}.key_file", Path("/etc/tls/server.key"), ""),
            Pem(f"{place.format(4)}.client_ca_file", GOOD / "ca" / "clients.crt", ""),
            ClientAuth.REQUIRED,
            ("prometheus", "spiffe://cluster.local/ns/monitoring/sa/prometheus", "10.0.0.1"),
            TlsVersion.TLS12,
            TlsVersion.TLS13,
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
            prefer_server_cipher_suites=False,
            curve="CurveP256",
        ),
        (
            ("Content-Security-Policy", "default-src 'none'"),
            ("X-Frame-Options", "sameorigin"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-XSS-Protection", "0"),
        ),
        {"alice": HASH, "1234": HASH.replace("$2y", "$2b")},
        RequestLimit(0.5, 20),
    )


def test_the_files_to_watch_are_those_that_it_names() -> None:
    named = [GOOD / "server.crt", Path("/etc/tls/server.key"), GOOD / "ca" / "clients.crt"]
    assert list(read_web_config(GOOD / "everything.yml").files) == named
    assert WebConfig().files == ()


@pytest.mark.parametrize("name", ["empty.yml", "empty_sections.yml"])
def test_without_a_value_nothing_is_protected(name: str) -> None:
    assert read_web_config(GOOD / name) == WebConfig()


def test_certificate_key_and_authorities_can_be_in_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "tls_server_config:\n  cert: A\n  key: B\n  client_ca: C\n  client_auth_type: VerifyClientCertIfGiven\n",
    )
    config = read_web_config(path)
    assert config.files == ()
    assert config.tls is not None
    pems = (config.tls.cert, config.tls.key, config.tls.client_ca)
    assert [pem.text for pem in pems if pem is not None] == ["A", "B", "C"]


def test_what_is_secret_is_not_in_the_text_of_the_object(tmp_path: Path) -> None:
    path = written(tmp_path, f"tls_server_config:\n  cert_file: a\n  key: SECRET\nbasic_auth_users:\n  alice: {HASH}\n")
    shown = repr(read_web_config(path))
    assert "SECRET" not in shown
    assert HASH not in shown


def test_a_secret_that_is_refused_is_not_in_the_error() -> None:
    assert "hunter2" in (DATA / "user_plain_password.yml").read_text()
    assert "hunter2" not in error_of(DATA / "user_plain_password.yml")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    assert error_of(path) == f"{path}: cannot read the web configuration file: No such file or directory"


@pytest.mark.parametrize("suite", [*TLS12_SUITES, *TLS13_SUITES])
def test_every_suite_can_be_named(tmp_path: Path, suite: str) -> None:
    path = written(tmp_path, f"tls_server_config: {{cert_file: a, key_file: b, cipher_suites: [{suite}]}}\n")
    config = read_web_config(path)
    assert config.tls is not None
    assert config.tls.cipher_suites == (suite,)
