"""When the configuration is reloaded, and whether it is applied."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.configuration.load import load_settings
from exporter.configuration.reload import Reload
from exporter.configuration.settings import Settings

DEFAULTS = load_settings({}, {}, None)
CHANGED = replace(DEFAULTS, poll=replace(DEFAULTS.poll, max_age=99.0))
FIXED = replace(DEFAULTS, web=replace(DEFAULTS.web, telemetry_path="/elsewhere"))


class Loader:
    """Returns the settings of the test, and counts the calls."""

    def __init__(self) -> None:
        self.result: Settings | ConfigError = CHANGED
        self.loads = 0

    def __call__(self) -> Settings:
        self.loads += 1
        if isinstance(self.result, ConfigError):
            raise self.result
        return self.result


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("first")
    return path


@pytest.fixture
def loader() -> Loader:
    return Loader()


def test_unchanged_file_is_not_read(file: Path, loader: Loader) -> None:
    assert Reload(loader, file).changed(DEFAULTS) is None
    assert loader.loads == 0


def test_a_change_is_read_once(file: Path, loader: Loader) -> None:
    reload = Reload(loader, file)
    for content in ("another", "yet another"):
        file.write_text(content)
        assert reload.changed(DEFAULTS) == CHANGED
        assert reload.changed(DEFAULTS) is None

    assert loader.loads == 2


def test_deleted_or_new_file_is_a_change(file: Path, loader: Loader) -> None:
    reload = Reload(loader, file)
    file.unlink()
    assert (reload.changed(DEFAULTS), reload.changed(DEFAULTS)) == (CHANGED, None)
    file.write_text("first")
    assert (reload.changed(DEFAULTS), reload.changed(DEFAULTS)) == (CHANGED, None)


def test_reload_request_is_applied_once_even_without_a_file(loader: Loader) -> None:
    reload = Reload(loader, None)
    assert reload.changed(DEFAULTS) is None

    assert (reload.changed(DEFAULTS, 2), reload.changed(DEFAULTS, 2)) == (CHANGED, None)


def test_invalid_configuration_is_reported_once_until_a_valid_one(
    file: Path, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    reload = Reload(loader, file)
    assert reload.successful
    loader.result = ConfigError("config.yaml:1: no such option")
    file.write_text("a bad one")
    assert (reload.changed(DEFAULTS), reload.changed(DEFAULTS), reload.successful) == (None, None, False)
    loader.result = CHANGED
    file.write_text("a good one")
    assert (reload.changed(DEFAULTS), reload.successful) == (CHANGED, True)

    assert [record.levelno for record in caplog.records if record.levelno > logging.INFO] == [logging.ERROR]
    assert "config.yaml:1: no such option" in caplog.text


def test_changed_fixed_option_keeps_the_old_configuration(
    file: Path, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    reload = Reload(loader, file)
    loader.result = FIXED
    file.write_text("another")

    assert (reload.changed(DEFAULTS), reload.successful) == (None, False)
    assert "web.telemetry_path: changed from /metrics to /elsewhere, restart the exporter for it" in caplog.text
