import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from exporter.configuration.errors import ConfigError
from exporter.web.tls import make_context
from exporter.web.web_config import TlsSettings, read_web_config
from tests.doubles.certificates import Authority

MUTUAL = "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority and a certificate of a server."""
    folder = tmp_path_factory.mktemp("certificates")
    Authority(folder).sign_server()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def settings(
    folder: Path, more: str = "", *, files: str = "cert_file: server.crt, key_file: server.key"
) -> TlsSettings:
    path = folder / "web.yml"
    lines = "".join(f"  {each.strip()}\n" for each in files.split(","))
    path.write_text(f"tls_server_config:\n{lines}{more}")
    config = read_web_config(path)
    assert config.tls is not None
    return config.tls


def error_of(made: TlsSettings) -> str:
    with pytest.raises(ConfigError) as caught:
        make_context(made)
    return str(caught.value)


def encrypt(key: Path) -> None:
    command = ["openssl", "pkcs8", "-topk8", "-in", str(key), "-passout", "pass:secret"]
    key.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)


def exchange(folder: Path) -> None:
    """Replace the key by that of the authority."""
    shutil.copy(folder / "ca.key", folder / "server.key")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda folder: (folder / "server.crt").unlink(), "2: {cert}: cannot be read: No such file or directory"),
        (lambda folder: (folder / "server.key").unlink(), "3: {key}: cannot be read: No such file or directory"),
        (lambda folder: (folder / "ca.crt").unlink(), "4: {ca}: cannot be read: No such file or directory"),
        (lambda folder: (folder / "server.crt").write_text("x"), "2: {cert}: found no certificate, expected PEM"),
        (lambda folder: (folder / "server.key").write_text("x"), "3: {key}: found no private key, expected PEM"),
        (lambda folder: (folder / "ca.crt").write_text(""), "4: {ca}: found no certificate, expected PEM"),
        (lambda folder: (folder / "ca.crt").write_bytes(b"\xff"), "4: {ca}: byte 0xff is not UTF-8, expected UTF-8"),
        (exchange, "3: {key}: not the key of the certificate in {source}:2: {cert}"),
        (
            lambda folder: encrypt(folder / "server.key"),
            "3: {key}: the key needs a password, expected a key without one",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_in_one_line(
    folder: Path, change: Callable[[Path], object], line: str
) -> None:
    configured = settings(folder, MUTUAL)
    make_context(configured)
    change(folder)
    section = "tls_server_config"
    expected = line.format(
        cert=f"{section}.cert_file: {folder}/server.crt",
        key=f"{section}.key_file: {folder}/server.key",
        ca=f"{section}.client_ca_file: {folder}/ca.crt",
        source=folder / "web.yml",
    )
    assert error_of(configured) == f"{folder}/web.yml:{expected}"


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("server.crt", "OpenSSL refuses the certificate or its key"),
        ("server.key", "OpenSSL refuses the certificate or its key"),
        ("ca.crt", "OpenSSL refuses a certificate"),
    ],
)
def test_what_openssl_refuses_is_an_error(folder: Path, name: str, refused: str) -> None:
    path = folder / name
    begin, *_, end = path.read_text().splitlines()
    path.write_text(f"{begin}\nAAAA\n{end}\n")
    assert f": {refused}: " in error_of(settings(folder, MUTUAL))


def test_without_files_in_memory_tls_is_refused_in_one_line(folder: Path, mocker: MockerFixture) -> None:
    configured = settings(folder)
    mocker.patch("os.memfd_create", side_effect=PermissionError(1, "Operation not permitted"))
    assert error_of(configured).endswith("server.crt: cannot be handed to OpenSSL: Operation not permitted")


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    configured = settings(folder)
    (folder / "server.key").unlink()
    subprocess.run(["mkfifo", str(folder / "server.key")], check=True)
    assert error_of(configured).endswith("server.key: not a regular file")


def test_texts_can_be_in_the_configuration(folder: Path) -> None:
    def block(name: str) -> str:
        return "|\n" + "".join(f"    {line}\n" for line in (folder / name).read_text().splitlines())

    more = f"  cert: {block('server.crt')}  key: {block('server.key')}  client_ca: {block('ca.crt')}"
    context = make_context(settings(folder, more, files="client_auth_type: VerifyClientCertIfGiven"))
    assert context.verify_mode is ssl.CERT_OPTIONAL
    assert len(context.get_ca_certs()) == 1


def test_authorities_can_have_comments_in_any_language(folder: Path) -> None:
    authority = folder / "ca.crt"
    authority.write_text(f"# Zertifizierungsstelle f\u00fcr B\u00e4ume\n{authority.read_text() * 2}")
    assert len(make_context(settings(folder, MUTUAL)).get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)),
        ("  min_version: TLS13\n", (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)),
        ("  max_version: TLS12\n", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)),
        ("  cipher_suites: [TLS_AES_128_GCM_SHA256]\n", (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)),
    ],
)
def test_versions(folder: Path, more: str, expected: tuple[ssl.TLSVersion, ssl.TLSVersion]) -> None:
    context = make_context(settings(folder, more))
    assert (context.minimum_version, context.maximum_version) == expected


def test_suites_for_tls_1_2_are_the_named_ones_in_their_order(folder: Path) -> None:
    names = ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
    context = make_context(settings(folder, f"  cipher_suites: [{', '.join(names)}]\n"))
    suites = [suite["name"] for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"]
    assert suites == ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"]


@pytest.mark.parametrize(("text", "prefers"), [("true", True), ("false", False)])
def test_whose_order_of_suites_decides(folder: Path, text: str, *, prefers: bool) -> None:
    context = make_context(settings(folder, f"  prefer_server_cipher_suites: {text}\n"))
    assert bool(context.options & ssl.OP_CIPHER_SERVER_PREFERENCE) is prefers


@pytest.mark.parametrize("curve", ["X25519", "CurveP256", "CurveP384", "CurveP521"])
def test_every_curve_can_be_named(folder: Path, curve: str) -> None:
    make_context(settings(folder, f"  curve_preferences: [{curve}]\n"))
