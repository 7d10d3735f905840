"""When the configuration is read again, and what becomes of what was read."""

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
    """Gives what a test puts into it, and counts how often."""

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


def test_an_untouched_file_is_not_read(file: Path, loader: Loader) -> None:
    assert Reload(loader, file).changed(DEFAULTS) is None
    assert loader.loads == 0


def test_a_change_is_read_once(file: Path, loader: Loader) -> None:
    reload = Reload(loader, file)
    for content in ("another", "yet another"):
        file.write_text(content)
        assert reload.changed(DEFAULTS) == CHANGED
        assert reload.changed(DEFAULTS) is None

    assert loader.loads == 2


def test_a_file_that_goes_and_one_that_comes_are_changes(file: Path, loader: Loader) -> None:
    reload = Reload(loader, file)
    file.unlink()
    assert (reload.changed(DEFAULTS), reload.changed(DEFAULTS)) == (CHANGED, None)
    file.write_text("first")
    assert (reload.changed(DEFAULTS), reload.changed(DEFAULTS)) == (CHANGED, None)


def test_a_request_is_carried_out_once_also_without_a_file(loader: Loader) -> None:
    reload = Reload(loader, None)
    assert reload.changed(DEFAULTS) is None
    reload.reload_requested.set()

    assert (reload.changed(DEFAULTS), reload.changed(DEFAULTS)) == (CHANGED, None)


def test_a_bad_configuration_is_reported_once_and_over_with_the_next_good_one(
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


def test_an_option_that_is_fixed_while_it_runs_keeps_everything_as_it_was(
    file: Path, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    reload = Reload(loader, file)
    loader.result = FIXED
    file.write_text("another")

    assert (reload.changed(DEFAULTS), reload.successful) == (None, False)
    assert "web.telemetry_path: changed from /metrics to /elsewhere, restart the exporter for it" in caplog.text
