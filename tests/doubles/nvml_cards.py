"""Cards of the NVML double, read from data files: their values, the sources of the values, and what is unsupported.

Whatever a file does not state, the card does not support.
"""

import uuid
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from tests.doubles.nvml import GPM_METRICS
from tests.native.layout import Number
from tests.native.nvml_state import Device, MigDevice, ValueType

FOLDER = Path(__file__).parents[1] / "data" / "nvidia"
CARDS = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))

_MIB = 1 << 20
_ALL_LINKS = 0xFFFFFFFF
_ADDRESS = "0000:3b:00.0"
_CYCLES = (248, 249, 250, 257, 258, 259, 260)
# Errors of NVLinks by generation: up to 3 and 5 the driver adds them up, of generation 4 each link counts its own.
_ERRORS_3, _ERRORS_4, _ERRORS_5 = (38, 45, 52, 59), (161, 162, 163), (206, 207, 208, 209, 210, 211, 212, 215, 221)
_UINT, _WIDE = ValueType.UNSIGNED_INT, ValueType.UNSIGNED_LONG_LONG


@dataclass(frozen=True)
class Card:
    """One data file.

    Attributes:
        title: Model name for people.
        generation: Generation for people.
        driver: Its version.
        absent: Why there is no series of a device family, by the family's stem.
        source: Where the recorded values are from; empty where there are none.
        recorded: Members of `Device` with values of a real card.
        recorded_fields: Field values of a real card, by field id.
        assumed: Members of `Device` with assumed values.
        assumed_fields: Assumed field values, by field id.
        partition_absent: Why there is no series of a partition family.
        nvlinks: Number of links, all up.
        nvlink_speed: MB/s of each link.
        nvlink_generation: Their generation, which decides how errors are counted.
        c2c: Number of links to the CPU.
        gpm: Whether the card has activity counters.
        cycles: Whether the activity counters count cycles.
        pcie_bytes: Whether the driver counts the bytes of PCIe.
        mig: Its MIG devices.
    """

    title: str
    generation: str
    driver: str
    absent: dict[str, str]
    source: str = ""
    recorded: dict[str, Any] = field(default_factory=dict)
    recorded_fields: dict[int, float] = field(default_factory=dict)
    assumed: dict[str, Any] = field(default_factory=dict)
    assumed_fields: dict[int, float] = field(default_factory=dict)
    partition_absent: dict[str, str] = field(default_factory=dict)
    nvlinks: int = 0
    nvlink_speed: int = 0
    nvlink_generation: int = 3
    c2c: int = 0
    gpm: bool = False
    cycles: bool = False
    pcie_bytes: bool = False
    mig: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        twice = (self.recorded.keys() & self.assumed.keys()) | (
            self.recorded_fields.keys() & self.assumed_fields.keys()
        )
        assert not twice, f"{self.title}: both recorded and assumed: {twice}"
        assert bool(self.source) == bool(self.recorded), f"{self.title}: recorded values need a source"

    def device(self) -> Device:
        """The card as a device of the double."""
        device = Device()
        for name, member in Device.FIELDS.items():
            if isinstance(member, Number):
                setattr(device, name, None)
        device.present, device.minor_number, device.pci_address = 1, 0, _ADDRESS
        device.pci_device_id = device.pci_subsystem_id = 0
        device.uuid = f"GPU-{uuid.uuid5(uuid.NAMESPACE_OID, self.title)}"
        for name, value in {**self.recorded, **self.assumed}.items():
            setattr(device, name, value)
        for number, value in {**self.recorded_fields, **self.assumed_fields}.items():
            device.set_field(number, value, _UINT)
        self._add_links(device)
        device.gpm_supported = int(self.gpm)
        if self.gpm:
            device.set_gpm(dict.fromkeys((*GPM_METRICS, *(_CYCLES if self.cycles else ())), 0.0))
        if self.mig:
            device.mig = [self._mig_device(index) for index in range(self.mig["count"])]
        return device

    def _add_links(self, device: Device) -> None:
        for count, count_field, state, speed, rate in (
            (self.nvlinks, 91, 165, 164, self.nvlink_speed),
            (self.c2c, 170, 171, 172, 40_000),  # speed of a C2C link, assumed
        ):
            if count:
                device.set_field(count_field, count, _UINT)
            for link in range(count):
                device.set_field(state, 1, _UINT, scope=link)
                device.set_field(speed, rate, _UINT, scope=link)
        if self.nvlinks:
            for number in (138, 139):
                device.set_field(number, 0, _WIDE, scope=_ALL_LINKS)
        self._add_link_errors(device)
        for number in (197, 198) if self.pcie_bytes else ():
            device.set_field(number, 0, _WIDE)

    def _add_link_errors(self, device: Device) -> None:
        each, together = range(self.nvlinks), (_ALL_LINKS,) if self.nvlinks else ()
        numbers, scopes = {
            3: (_ERRORS_3, (0,) if self.nvlinks else ()),
            4: (_ERRORS_4, each),
            5: (_ERRORS_5, (*each, *together)),
        }[self.nvlink_generation]
        for number in numbers:
            for scope in scopes:
                device.set_field(number, 0, _WIDE, scope=scope)

    def _mig_device(self, index: int) -> MigDevice:
        mig = MigDevice()
        mig.present, mig.gpu_instance, mig.compute_instance = 1, 7 + index, 0
        mig.gpu_instance_profile = None
        mig.uuid = f"MIG-{uuid.uuid5(uuid.NAMESPACE_OID, f'{self.title} {index}')}"
        mig.name = f"{self.recorded.get('name', self.assumed.get('name'))} MIG {self.mig['profile']}"
        mig.gpu_instance_slices = mig.compute_instance_slices = self.mig["slices"]
        mig.memory_mebibytes = self.mig["memory_mebibytes"]
        mig.memory_total_bytes = mig.memory_mebibytes * _MIB
        if self.gpm:
            mig.set_gpm(dict.fromkeys(GPM_METRICS, 0.0))
        return mig


def card(name: str) -> Card:
    """The card of a data file; an unknown key fails.

    Args:
        name: Name of the file, without its suffix.
    """
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    unknown = content.keys() - {each.name for each in fields(Card)}
    assert not unknown, f"{name}.yaml: unknown keys {sorted(unknown)}"
    return Card(**content)
