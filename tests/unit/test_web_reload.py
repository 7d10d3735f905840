import logging
import os
from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.web.access import Access
from exporter.web.web_reload import WebReload
from tests.doubles.certificates import Authority

OPEN = frozenset({"/-/healthy"})
LIMIT = "rate_limit: {interval: 1h, burst: 1}\n"


def replace(path: Path, content: str) -> None:
    """As Kubernetes and certificate managers do: the new file takes the place of the old one."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Authority(tmp_path).sign_server()
    path = tmp_path / "web.yml"
    path.write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}\n")
    return path


def never(access: Access) -> None:
    raise AssertionError(access)


def test_nothing_is_read_again_while_nothing_has_changed(path: Path) -> None:
    web = WebReload(path, OPEN)
    before = web.protection
    web.refresh()
    assert web.protection is before


@pytest.mark.parametrize("name", ["web.yml", "server.crt", "server.key"])
def test_each_file_is_watched(path: Path, name: str) -> None:
    web = WebReload(path, OPEN)
    before = web.protection
    file = path.with_name(name)
    replace(file, file.read_text())
    web.refresh()
    assert web.protection is not before
    assert web.successful


def test_a_request_reads_the_files_again(path: Path) -> None:
    web = WebReload(path, OPEN)
    before = web.protection
    web.refresh(1)
    assert web.protection is not before
    before = web.protection
    web.refresh(1)
    assert web.protection is before


@pytest.mark.parametrize(("name", "content"), [("web.yml", "tls: {}\n"), ("server.crt", "x"), ("server.key", "x")])
def test_a_broken_file_leaves_the_old_protection_and_is_logged_once(
    path: Path, name: str, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    web = WebReload(path, OPEN)
    before, good = web.protection, path.with_name(name).read_text()
    replace(path.with_name(name), content)
    for _ in range(3):
        web.refresh()
    assert web.protection is before
    assert not web.successful
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.messages[0].startswith("web configuration not reloaded, the old one stays in force: ")
    replace(path.with_name(name), good)
    web.refresh()
    assert web.successful
    assert web.protection is not before


def test_a_file_that_the_new_configuration_names_is_waited_for(path: Path) -> None:
    web = WebReload(path, OPEN)
    replace(path, path.read_text().replace("server.", "new."))
    web.refresh()
    assert not web.successful
    for suffix in ("crt", "key"):
        os.link(path.with_name(f"server.{suffix}"), path.with_name(f"new.{suffix}"))
    web.refresh()
    assert web.successful


def test_a_file_that_is_removed_leaves_the_old_protection(path: Path) -> None:
    web = WebReload(path, OPEN)
    before = web.protection
    path.unlink()
    web.refresh()
    assert (web.protection, web.successful) == (before, False)


def test_an_invalid_file_at_the_start_is_an_error(path: Path) -> None:
    path.with_name("server.crt").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        WebReload(path, OPEN)


def test_what_a_limit_has_counted_is_kept_unless_the_limit_changes(path: Path) -> None:
    replace(path, LIMIT)
    web = WebReload(path, OPEN)
    assert web.protection.check("/metrics", "", b"", never) is Access.ALLOWED
    assert web.protection.check("/metrics", "", b"", never) is Access.LIMITED
    assert web.protection.check("/-/healthy", "", b"", never) is Access.ALLOWED
    web.refresh(1)
    assert web.protection.check("/metrics", "", b"", never) is Access.LIMITED
    replace(path, LIMIT.replace("burst: 1", "burst: 2"))
    web.refresh()
    assert web.protection.check("/metrics", "", b"", never) is Access.ALLOWED


def test_users_are_kept_unless_they_change(path: Path) -> None:
    users = "basic_auth_users: {alice: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG}\n"
    replace(path, users)
    web = WebReload(path, OPEN)
    before = web.protection.users
    assert before is not None
    replace(path, users + LIMIT)
    web.refresh()
    assert web.protection.users is before
    replace(path, users.replace("alice", "bob"))
    web.refresh()
    assert web.protection.users is not before
