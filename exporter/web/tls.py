"""TLS for accepted connections, with the settings of a web configuration file. Imported only if TLS is configured."""

import contextlib
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from collectors.text_file import NotRegularError, TextError, read_text
from exporter.configuration.errors import ConfigError
from exporter.web.tls_names import CURVES, TLS12_SUITES, ClientAuth, TlsVersion
from exporter.web.web_config import Pem, TlsSettings

_VERSIONS = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}
_CERTIFICATES = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL | re.ASCII)
_PRIVATE_KEY = re.compile(r"-----BEGIN (?P<kind>[A-Z ]*)PRIVATE KEY-----", re.ASCII)
_RECORD_BYTES = 16 * 1024  # the largest record (RFC 8446, section 5.1)
_MISMATCH = "KEY_VALUES_MISMATCH"


class _EncryptedError(Exception):
    """The key needs a password."""


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """What accepted connections need for TLS. Reads the files.

    Raises:
        ConfigError: A file cannot be read, or OpenSSL refuses what it holds.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_algorithms(context, settings)
    _load_certificate(context, settings)
    if settings.client_ca is not None:
        _load_authorities(context, settings.client_ca)
    context.verify_mode = _VERIFY[settings.client_auth]
    return context


def _set_algorithms(context: ssl.SSLContext, settings: TlsSettings) -> None:
    context.minimum_version = _VERSIONS[settings.min_version]
    context.maximum_version = _VERSIONS[settings.max_version]
    if not settings.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = [TLS12_SUITES[suite] for suite in settings.cipher_suites if suite in TLS12_SUITES]
    try:
        if suites:
            context.set_ciphers(":".join(suites))
        elif settings.cipher_suites:
            context.minimum_version = ssl.TLSVersion.TLSv1_3  # no suite of TLS 1.2 is allowed
        if settings.curve:
            context.set_ecdh_curve(CURVES[settings.curve])
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"{settings.place}: this machine's OpenSSL refuses the suites or the curve: {error}"
        ) from None


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    cert, key = settings.cert, settings.key
    certificates, key_text = _text(cert), _text(key)
    if _CERTIFICATES.search(certificates) is None:
        raise ConfigError(f"{_source(cert)}: found no certificate, expected PEM")
    private = _PRIVATE_KEY.search(key_text)
    if private is None:
        raise ConfigError(f"{_source(key)}: found no private key, expected PEM")
    try:
        with _in_memory(certificates) as cert_path, _in_memory(key_text) as key_path:
            context.load_cert_chain(cert_path, key_path, _refuse_password)
    except _EncryptedError:
        raise ConfigError(f"{_source(key)}: the key needs a password, expected a key without one") from None
    except ssl.SSLError as error:
        if error.reason == _MISMATCH:
            raise ConfigError(f"{_source(key)}: not the key of the certificate in {_source(cert)}") from None
        raise ConfigError(f"{_source(cert)}: OpenSSL refuses the certificate or its key: {_reason(error)}") from None
    except OSError as error:  # no file in memory, or no /proc to name it
        raise ConfigError(f"{_source(cert)}: cannot be handed to OpenSSL: {error.strerror}") from None


def _load_authorities(context: ssl.SSLContext, client_ca: Pem) -> None:
    certificates = _CERTIFICATES.findall(_text(client_ca))
    if not certificates:
        raise ConfigError(f"{_source(client_ca)}: found no certificate, expected PEM")
    try:
        context.load_verify_locations(cadata="\n".join(certificates))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"{_source(client_ca)}: OpenSSL refuses a certificate: {_reason(error)}") from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority need not be a root, as in Go


def _text(pem: Pem) -> str:
    if pem.path is None:
        return pem.text
    try:
        return read_text(pem.path, "PEM")
    except OSError as error:
        raise ConfigError(f"{_source(pem)}: cannot be read: {error.strerror}") from None
    except NotRegularError:
        raise ConfigError(f"{_source(pem)}: not a regular file") from None
    except TextError as error:
        raise ConfigError(f"{_source(pem)}: {error.problem}") from None


def _source(pem: Pem) -> str:
    return pem.place if pem.path is None else f"{pem.place}: {pem.path}"


def _reason(error: ssl.SSLError | ValueError) -> str:
    """The reason in OpenSSL's words, without the place in its source."""
    reason = error.reason if isinstance(error, ssl.SSLError) else ""
    return reason.lower().replace("_", " ") if reason else "malformed"


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """The path of a file in memory: ssl loads certificates and keys from files only.

    So a configured text needs no writable folder, and a file that is replaced meanwhile is still read only once.
    """
    with os.fdopen(os.memfd_create("pem"), "wb") as file:
        file.write(text.encode())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _refuse_password() -> str:
    raise _EncryptedError


class TlsTransport:
    """The bytes of one connection, encrypted. The handshake takes place inside the first calls of `receive`.

    Args:
        sock: The accepted socket; the transport takes it over.
        context: What `make_context` returns.
        allowed_names: The client's certificate must have one of these names; empty for any.

    Attributes:
        sock: The socket, for waiting and for closing.

    Raises:
        OSError: The client has disconnected.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, allowed_names: frozenset[str]) -> None:
        self._allowed_names = allowed_names
        self._is_accepted = False
        sock.settimeout(0)
        self.sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def receive(self) -> bytes | None:
        """See `Transport`. At most one record, so that OpenSSL keeps nothing that select does not see.

        Raises:
            OSError: The handshake or the connection has failed, or the client's certificate is not allowed.
        """
        try:
            if not self._is_accepted:
                self.sock.do_handshake()
                self._check_names()
                self._is_accepted = True
            return self.sock.recv(_RECORD_BYTES)
        except ssl.SSLWantReadError:
            return None

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        """See `Transport`. Sends record by record, so that it is known how much of a response the client has read."""
        sent = 0
        with contextlib.suppress(ssl.SSLWantWriteError):
            for buffer in buffers:
                view = memoryview(buffer)
                for begin in range(0, len(view), _RECORD_BYTES):
                    sent += self.sock.send(view[begin : begin + _RECORD_BYTES])
        return sent

    def _check_names(self) -> None:
        if self._allowed_names and self._allowed_names.isdisjoint(_names(self.sock)):
            raise ConnectionAbortedError("the client's certificate has no name that is allowed")


def _names(sock: ssl.SSLSocket) -> Iterator[str]:
    """The alternative names in the client's certificate that can be allowed, as Go writes them."""
    certificate: Mapping[str, Any] = sock.getpeercert() or {}
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in ("DNS", "email", "URI"):
            yield name
        elif kind == "IP Address":
            yield str(ipaddress.ip_address(name.strip()))


def encryption(settings: TlsSettings) -> Callable[[socket.socket], TlsTransport]:
    """What makes the transport of an accepted socket. Reads the files.

    Raises:
        ConfigError: A file cannot be read, or OpenSSL refuses what it holds.
    """
    context = make_context(settings)
    allowed_names = frozenset(settings.client_allowed_sans)
    return lambda sock: TlsTransport(sock, context, allowed_names)
