"""Certificates made by the program `openssl`, signed by an authority that exists only in the test."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates.

    Args:
        folder: Where its files are.
        name: Its name, and the beginning of the names of its files.
    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._own = _certificate(folder, name, ())
        self._folder = folder
        self.cert = self._own.cert

    def sign(self, name: str, *alternative_names: str, usage: str = "serverAuth,clientAuth") -> Certificate:
        """Make a certificate, with names such as `DNS:localhost`."""
        authority = ("-CA", str(self._own.cert), "-CAkey", str(self._own.key), "-addext", f"extendedKeyUsage={usage}")
        names = ("-addext", f"subjectAltName={','.join(alternative_names)}") if alternative_names else ()
        return _certificate(self._folder, name, (*authority, *names, "-addext", "basicConstraints=CA:FALSE"))

    def sign_server(self, name: str = "server") -> Certificate:
        """Make a certificate for the loopback interface."""
        return self.sign(name, "DNS:localhost", "IP:127.0.0.1")


def _certificate(folder: Path, name: str, options: tuple[str, ...]) -> Certificate:
    made = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
    files = ("-keyout", str(made.key), "-out", str(made.cert))
    command = ["openssl", "req", "-x509", *_CURVE, "-subj", f"/CN={name}", *files, *options]
    subprocess.run(command, check=True, capture_output=True)
    return made
