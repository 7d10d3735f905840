"""Reads the configuration again: when its file changes, and on request."""

import logging
from collections.abc import Callable
from pathlib import Path

from exporter.configuration.errors import ConfigError
from exporter.configuration.file_signature import signature_of
from exporter.configuration.settings import OPTIONS, Settings
from exporter.configuration.value_types import ALL

_log = logging.getLogger(__name__)


class Reload:
    """Watches the configuration. Used by one thread.

    Args:
        load: Reads flags, environment and file as at the start.
        file: The configuration file, if there is one.

    Attributes:
        successful: True while the configuration in force is the one last read.
    """

    def __init__(self, load: Callable[[], Settings], file: Path | None) -> None:
        self._load = load
        self._file = file
        self._seen = signature_of(file)
        self._requests = 0
        self.successful = True

    def changed(self, current: Settings, requests: int = 0) -> Settings | None:
        """The new settings, if the configuration was read again and is valid; else None.

        Args:
            current: The settings in force.
            requests: How often it was requested so far to read the configuration again.
        """
        signature = signature_of(self._file)
        if signature == self._seen and requests == self._requests:
            return None
        self._seen, self._requests = signature, requests
        try:
            settings = self._load()
            _refuse_fixed(current, settings)
        except ConfigError as error:
            self.successful = False
            _log.error("configuration not reloaded, the old one stays in force: %s", error)
            return None
        self.successful = True
        _log.info("configuration reloaded")
        return settings


def _refuse_fixed(current: Settings, settings: Settings) -> None:
    """Refuse a change of an option that needs a restart.

    Raises:
        ConfigError: Such an option has changed.
    """
    for option in OPTIONS:
        before, after = (option.value_in(each) for each in (current, settings))
        if before != after and not option.reloadable:
            was, now = (",".join(value) or ALL if isinstance(value, tuple) else value for value in (before, after))
            raise ConfigError(f"{option.key}: changed from {was} to {now}, restart the exporter for it")
