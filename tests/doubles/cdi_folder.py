"""A directory of CDI specs, as DRA drivers write them: one file for each claim and driver while it is prepared."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.doubles.kubelet_claims import Claim, Driver

Nodes = Mapping[str, Sequence[str]]


class CdiFolder:
    """The directory. It need not exist before the first claim is prepared.

    Args:
        path: Replaces `/var/run/cdi`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def spec_path(self, claim: Claim, driver: Driver) -> Path:
        """The file of a claim."""
        vendor, _, kind = driver.kind.partition("/")
        return self.path / f"{vendor}-{kind}_{claim.uid}.yaml"

    def prepare(self, claim: Claim, nodes: Nodes, common: Sequence[str] = ()) -> None:
        """Write the specs of a claim; a reader finds each complete.

        Args:
            claim: The claim.
            nodes: The device nodes of each of its devices, by the driver's name of the device.
            common: The device nodes that every device has, such as `/dev/kfd`.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for driver in dict.fromkeys(result.driver for result in claim.results):
            replace(self.spec_path(claim, driver), self.spec(claim, driver, nodes, common))

    def spec(self, claim: Claim, driver: Driver, nodes: Nodes, common: Sequence[str] = ()) -> str:
        """The text of a spec: JSON, which is YAML too, in a file whose name ends in `.yaml`."""
        own = {claim.cdi_name(result): result.device for result in claim.results if result.driver is driver}
        devices = [{"name": name, "containerEdits": _edits(nodes[device])} for name, device in own.items()]
        devices += [{"name": name, "containerEdits": {"env": ["A=1"]}} for name in driver.always]
        document: dict[str, object] = {"cdiVersion": "0.6.0", "kind": driver.kind, "devices": devices}
        if common:
            document["containerEdits"] = _edits(common)
        return json.dumps(document)

    def unprepare(self, claim: Claim) -> None:
        """Delete the specs of a claim."""
        for driver in dict.fromkeys(result.driver for result in claim.results):
            self.spec_path(claim, driver).unlink(missing_ok=True)


def _edits(paths: Sequence[str]) -> dict[str, object]:
    return {"deviceNodes": [{"path": path} for path in paths]}


def replace(path: Path, text: str) -> None:
    """Write a file beside and rename it over the path, as the CDI libraries do."""
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text)
    beside.replace(path)
