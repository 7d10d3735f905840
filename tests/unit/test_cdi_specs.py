"""Which device nodes the CDI specs of a node have for a claim's device, and why there are none."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.attribution.cdi_files import CdiMissing
from exporter.attribution.cdi_specs import CdiAnswer, CdiSpecs
from tests.doubles.collectors import Clock

UID, OTHER_UID = "7d9f3c1a-0b52-4c7e-9a51-2f6f1f0f4a11", "0a0a0a0a-0b52-4c7e-9a51-2f6f1f0f4a11"
KIND = "k8s.accel.example/claim"


def spec_text(devices: Mapping[str, str], kind: str = KIND, common: tuple[str, ...] = ()) -> str:
    """A spec in which each device has one node."""

    def edits(*paths: str) -> dict[str, object]:
        return {"deviceNodes": [{"path": path} for path in paths]}

    document = {
        "cdiVersion": "0.5.0",
        "kind": kind,
        "devices": [{"name": name, "containerEdits": edits(path)} for name, path in devices.items()],
        "containerEdits": edits(*common),
    }
    return json.dumps(document)


def refreshed(*directories: Path) -> CdiSpecs:
    specs = CdiSpecs(directories)
    specs.refresh()
    return specs


@pytest.mark.parametrize(
    ("cdi_devices", "device", "name", "uid"),
    [
        # NVIDIA: k8s.gpu.nvidia.com/claim=<claimUID>-<device>. The list accumulates.
        ([f"{KIND}={UID}-gpu-7"], "gpu-7", f"{UID}-gpu-7", UID),
        ([f"{KIND}={UID}-gpu-0", f"{KIND}={UID}-gpu-0-mig-1g24gb-19-0"], "gpu-0", f"{UID}-gpu-0", UID),
        (
            [f"{KIND}={UID}-gpu-0", f"{KIND}={UID}-gpu-0-mig-1g24gb-19-0"],
            "gpu-0-mig-1g24gb-19-0",
            f"{UID}-gpu-0-mig-1g24gb-19-0",
            UID,
        ),
        # AMD adds `common`.
        ([f"{KIND}=common", f"{KIND}={UID}-gpu-1-129"], "gpu-1-129", f"{UID}-gpu-1-129", UID),
        # Intel: intel.com/gpu=<device>; of Gaudi also one for the claim.
        ([f"{KIND}=0000-1b-00-0-0x0bda"], "0000-1b-00-0-0x0bda", "0000-1b-00-0-0x0bda", ""),
        ([f"{KIND}=0000-1b-00-0-0x1020", f"{KIND}={UID}"], "0000-1b-00-0-0x1020", "0000-1b-00-0-0x1020", ""),
        ([f"{KIND}={UID.upper()}-accel3"], "accel3", f"{UID.upper()}-accel3", UID.upper()),
        ([f"{KIND}=accel3", f"{KIND}=accel3"], "accel3", "accel3", ""),
    ],
)
def test_the_cdi_device_has_exactly_the_name_of_the_device(
    tmp_path: Path, cdi_devices: list[str], device: str, name: str, uid: str
) -> None:
    listed = {each.partition("=")[2]: f"/dev/of-{index}" for index, each in enumerate(cdi_devices)}
    (tmp_path / "a.json").write_text(spec_text(listed))
    assert refreshed(tmp_path).nodes(cdi_devices, device) == CdiAnswer((listed[name],), uid)


@pytest.mark.parametrize(
    ("cdi_devices", "missing"),
    [
        ([], CdiMissing.NO_ENTRY),
        ([f"{KIND}={UID}-gpu-70", f"{KIND}={UID}-igpu-7", f"{KIND}={UID}-"], CdiMissing.NO_ENTRY),
        ([f"{KIND}={UID[:-1]}-gpu-7", f"{KIND}={UID}gpu-7", f"{KIND}={'x' * 36}-gpu-7"], CdiMissing.NO_ENTRY),
        ([f"{KIND}-gpu-7", "gpu-7", "=", ""], CdiMissing.NO_ENTRY),
        ([f"{KIND}={UID}-gpu-7", f"{KIND}={OTHER_UID}-gpu-7"], CdiMissing.AMBIGUOUS),
        ([f"{KIND}={UID}-gpu-7", f"{KIND}=gpu-7"], CdiMissing.AMBIGUOUS),
        ([f"{KIND}=gpu-7", "other.example/claim=gpu-7"], CdiMissing.AMBIGUOUS),
    ],
)
def test_a_device_that_none_or_several_cdi_devices_name_is_not_guessed(
    tmp_path: Path, cdi_devices: list[str], missing: CdiMissing
) -> None:
    names = {each.partition("=")[2] for each in cdi_devices} - {""} or {"gpu-7"}
    (tmp_path / "a.json").write_text(spec_text(dict.fromkeys(names, "/dev/accel7")))
    assert refreshed(tmp_path).nodes(cdi_devices, "gpu-7") == CdiAnswer(missing=missing)


def test_the_spec_is_that_of_the_kind(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(spec_text({"x": "/dev/one"}, "one.example/gpu"))
    (tmp_path / "b.json").write_text(spec_text({"x": "/dev/two"}, "two.example/gpu", ("/dev/two-ctl",)))
    specs = refreshed(tmp_path)
    assert specs.nodes(["one.example/gpu=x"], "x").paths == ("/dev/one",)
    assert specs.nodes(["two.example/gpu=x"], "x").paths == ("/dev/two", "/dev/two-ctl")
    assert specs.nodes(["two.example/npu=x"], "x").missing == CdiMissing.NOT_FOUND


def test_the_first_directory_counts(tmp_path: Path) -> None:
    dynamic, static = tmp_path / "run", tmp_path / "etc"
    for directory in (dynamic, static):
        directory.mkdir()
        (directory / "a.json").write_text(spec_text({"x": f"/dev/{directory.name}", directory.name: "/dev/own"}))
    specs = refreshed(dynamic, static, dynamic)
    assert specs.nodes([f"{KIND}=x"], "x").paths == ("/dev/run",)
    assert specs.nodes([f"{KIND}=etc"], "etc").paths == ("/dev/own",)
    (dynamic / "a.json").unlink()
    assert specs.refresh()
    assert specs.nodes([f"{KIND}=x"], "x").paths == ("/dev/etc",)


@pytest.mark.parametrize("conflict", ["run", "etc"])
def test_a_device_that_two_files_of_a_directory_have_is_unresolved_whatever_the_other_directory_has(
    tmp_path: Path, conflict: str
) -> None:
    for name in ("run", "etc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.json").write_text(spec_text({"x": "/dev/x", "y": "/dev/y"}))
    (tmp_path / conflict / "b.json").write_text(spec_text({"x": "/dev/x"}))
    specs = refreshed(tmp_path / "run", tmp_path / "etc")
    assert specs.nodes([f"{KIND}=x"], "x") == CdiAnswer(missing=CdiMissing.CONFLICT)
    assert specs.nodes([f"{KIND}=y"], "y").paths == ("/dev/y",)
    (tmp_path / conflict / "b.json").unlink()
    assert specs.refresh()
    assert specs.nodes([f"{KIND}=x"], "x").paths == ("/dev/x",)


def test_a_claim_of_a_spec_without_device_nodes_has_its_uid(tmp_path: Path) -> None:
    """NVIDIA's driver writes only a variable for a device that is already bound to vfio-pci."""
    document = {"kind": KIND, "devices": [{"name": f"{UID}-gpu-7", "containerEdits": {"env": ["A=b"]}}]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    answer = refreshed(tmp_path).nodes([f"{KIND}={UID}-gpu-7"], "gpu-7")
    assert answer == CdiAnswer(claim_uid=UID, missing=CdiMissing.NO_DEVICE_NODES)


def test_without_a_directory_nothing_is_found_until_one_appears(tmp_path: Path) -> None:
    cdi_devices = [f"{KIND}={UID}-gpu-7"]
    specs = CdiSpecs((tmp_path / "run", tmp_path / "etc"))
    assert specs.nodes(cdi_devices, "gpu-7").missing == CdiMissing.NOT_YET_READ
    assert specs.refresh()
    assert specs.nodes(cdi_devices, "gpu-7") == CdiAnswer(claim_uid=UID, missing=CdiMissing.NO_DIRECTORY)
    assert not specs.refresh()
    (tmp_path / "etc").mkdir()
    assert specs.refresh()
    assert specs.nodes(cdi_devices, "gpu-7") == CdiAnswer(claim_uid=UID, missing=CdiMissing.NOT_FOUND)
    (tmp_path / "etc" / "late.json").write_text(spec_text({f"{UID}-gpu-7": "/dev/accel7"}))
    assert specs.refresh()
    assert specs.nodes(cdi_devices, "gpu-7") == CdiAnswer(("/dev/accel7",), UID)
    (tmp_path / "etc" / "late.json").unlink()
    (tmp_path / "etc").rmdir()
    assert specs.refresh()
    assert specs.nodes(cdi_devices, "gpu-7").missing == CdiMissing.NO_DIRECTORY


def test_no_directories_at_all() -> None:
    assert refreshed().nodes([f"{KIND}=x"], "x") == CdiAnswer(missing=CdiMissing.NO_DIRECTORY)


def test_an_answer_says_when_the_files_were_looked_at_and_whether_a_file_of_the_claim_is_gone(tmp_path: Path) -> None:
    clock = Clock(5.0)
    specs = CdiSpecs([tmp_path], clock=clock)
    listed = (f"k8s.acme.example/claim={UID}-gpu-0",)
    assert specs.nodes(listed, "gpu-0").may_have_ended
    specs.refresh()
    clock.now = 6.0
    specs.refresh()
    found = specs.nodes(listed, "gpu-0")
    assert (found.as_of, found.missing, found.may_have_ended) == (6.0, CdiMissing.NOT_FOUND, True)
    assert not specs.nodes(("k8s.acme.example/gpu=gpu-0",), "gpu-0").may_have_ended
