"""`make sbom` lists every distribution that the image installs, with its version and hashes."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def test_sbom_has_every_locked_distribution(tmp_path: Path) -> None:
    file = tmp_path / "sbom.cdx.json"
    subprocess.run(["make", "--silent", "sbom", f"SBOM={file}"], cwd=ROOT, check=True, capture_output=True, timeout=120)
    sbom = json.loads(file.read_text())
    locked = dict(_LOCKED.findall((ROOT / "requirements" / "run.txt").read_text()))

    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "accelerator-exporter")
    assert {component["name"]: component["version"] for component in sbom["components"]} == locked
    assert all(component["externalReferences"][0]["hashes"] for component in sbom["components"])
