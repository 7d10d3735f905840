"""Reads the web configuration again when it or a file that it names changes: certificates change while serving."""

import logging
from collections.abc import Collection
from pathlib import Path

from exporter.configuration.errors import ConfigError
from exporter.configuration.file_signature import FileSignature, signature_of
from exporter.web.protection import Protection
from exporter.web.web_config import read_web_config

_log = logging.getLogger(__name__)


class WebReload:
    """Watches a web configuration file and the files that it names. `refresh` belongs to one thread.

    Args:
        path: The web configuration file.
        open_paths: Paths that need no password.

    Attributes:
        protection: The protection by what was read last and was valid.
        successful: True while that is what was read last.

    Raises:
        ConfigError: The file, or one that it names, is invalid.
    """

    def __init__(self, path: Path, open_paths: Collection[str]) -> None:
        self._path = path
        self._open_paths = open_paths
        self._seen: dict[Path, FileSignature | None] = {}
        self._requests = 0
        self.successful = True
        self.protection = self._read(None)

    def refresh(self, requests: int = 0) -> None:
        """Read the files again if one has changed. If one is invalid, the protection stays.

        Args:
            requests: How often it was requested so far to read them again.
        """
        now = {path: signature_of(path) for path in self._seen}
        if now == self._seen and requests == self._requests:
            return
        self._requests = requests
        self._seen = now
        try:
            self.protection = self._read(self.protection)
        except ConfigError as error:
            self.successful = False
            _log.error("web configuration not reloaded, the old one stays in force: %s", error)
            return
        self.successful = True
        _log.info("web configuration reloaded")

    def _read(self, before: Protection | None) -> Protection:
        """Read the files. Their signatures are taken first: a file that changes meanwhile is read again."""
        signature = signature_of(self._path)
        config = read_web_config(self._path)
        self._seen = {self._path: signature} | {path: signature_of(path) for path in config.files}
        return Protection(config, self._open_paths, before)
