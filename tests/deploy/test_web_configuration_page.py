"""The page on the web configuration: its examples work."""

import re
from pathlib import Path

import yaml

from exporter.web.tls_names import CURVES, ClientAuth
from exporter.web.web_config import read_web_config
from exporter.web.web_config_file import HEADERS, HTTP, TLS, USERS
from tests.doubles.kustomize import Manifest, apply, refused

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "web-configuration.md").read_text()
HERE = ROOT / "deploy" / "kubernetes" / "mine"  # the folder of the reader
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
EXAMPLE, KUSTOMIZATION, SCRAPE = BLOCKS
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
OPTIONAL = re.compile(r"^( *)# (- op|  path|  value)", re.MULTILINE)


def daemon_set(kustomization: str) -> Manifest:
    manifests = apply(yaml.safe_load(kustomization), HERE)
    assert refused(manifests, ["1.29", "1.37"]) == []
    (found,) = (manifest for manifest in manifests if manifest["kind"] == "DaemonSet")
    pod: Manifest = found["spec"]["template"]["spec"]
    return pod


def test_the_example_is_a_valid_file(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text(EXAMPLE)
    config = read_web_config(path)
    assert config.files == (tmp_path / "tls.crt", tmp_path / "tls.key")
    assert list(config.users) == ["prometheus"]


def test_the_manifest_mounts_the_secret_and_names_the_file_in_it() -> None:
    pod = daemon_set(KUSTOMIZATION)
    (container,) = pod["containers"]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "web")
    (variable,) = (each for each in container["env"] if each["name"] == "ACCELERATOR_EXPORTER_WEB_CONFIG_FILE")
    assert Path(variable["value"]).parent == Path(mount["mountPath"])
    assert [volume["secret"] for volume in pod["volumes"] if volume["name"] == "web"] == [
        {"secretName": "accelerator-exporter-web"}
    ]
    assert {container[probe]["httpGet"]["scheme"] for probe in PROBES} == {"HTTPS"}


def test_the_operations_for_mutual_tls_send_the_probes_to_the_plain_address() -> None:
    (container,) = daemon_set(OPTIONAL.sub(r"\1\2", KUSTOMIZATION))["containers"]
    (variable,) = (each for each in container["env"] if each["name"] == "ACCELERATOR_EXPORTER_WEB_PLAIN_LISTEN_ADDRESS")
    assert variable["value"] == ":9411"
    assert {container[probe]["httpGet"]["port"] for probe in PROBES} == {9411}


def test_the_scrape_settings_are_yaml() -> None:
    assert set(yaml.safe_load(SCRAPE)) == {"scheme", "tls_config", "basic_auth"}


def test_every_key_and_name_is_on_the_page() -> None:
    names = (TLS, HTTP, HEADERS, USERS, *ClientAuth, *CURVES)
    assert [name for name in names if f"`{name}" not in TEXT] == []
