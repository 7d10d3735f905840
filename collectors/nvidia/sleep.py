"""Devices that the kernel puts to sleep: when not to read them, and when to close the library so that they can sleep.

A device with runtime power management sleeps while no process has it open. Opening the library wakes it, and an open
library keeps it awake: see "PCI-Express Runtime D3 (RTD3) Power Management" in the driver's README. The driver enables
this by default on notebooks only. Reading its file `information` in procfs, which has the uuid, also wakes the device.
Source: the kernel's `Documentation/ABI/testing/sysfs-devices-power`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from collectors import catalog
from collectors.contract import Node, Reading, Sample
from collectors.metric import Cadence, Metric
from collectors.nvidia.devices import DeviceEntry

_DEVICES = ("bus", "pci", "devices")
_ASLEEP = frozenset({"suspending", "suspended"})
_AUTOMATIC = "auto"
_RUNTIME_D3 = "Runtime D3 status"
_ENABLED = "Enabled"
_QUIET_SECONDS = 30.0
_FALLING_ASLEEP_SECONDS = 60.0
_WORK = (catalog.UTILIZATION, catalog.PROCESSES)


def sleep_states(node: Node, addresses: Iterable[str]) -> dict[str, bool]:
    """Whether the kernel has suspended each device or is suspending it. Does not wake devices.

    Args:
        node: The machine.
        addresses: PCI addresses, as the kernel writes them, of functions bound to NVIDIA's driver.
    """
    states = {address: node.sysfs.text(*_DEVICES, address, "power", "runtime_status") for address in addresses}
    return {address: state in _ASLEEP for address, state in states.items()}


def can_sleep(node: Node, address: str) -> bool:
    """Whether kernel and driver let a device sleep when no process has it open.

    Distributions set `control` to `auto` for all kinds of cards; the driver decides whether that has an effect.

    Args:
        node: The machine.
        address: The PCI address of the device, as the kernel writes it.
    """
    if node.sysfs.text(*_DEVICES, address, "power", "control") != _AUTOMATIC:
        return False
    text = node.procfs.text("driver", "nvidia", "gpus", address, "power") or ""
    fields = (line.partition(":") for line in text.splitlines())
    return any(name == _RUNTIME_D3 and value.strip().startswith(_ENABLED) for name, _, value in fields)


class SleepPolicy:
    """Decides when the library may be open. Does no I/O.

    Args:
        can_sleep: Whether the device at an address would fall asleep if no process had it open.
        clock: Monotonic seconds.

    Attributes:
        asleep: Addresses of the devices that were asleep at the last check. An open library must not read them.
    """

    def __init__(self, can_sleep: Callable[[str], bool], clock: Callable[[], float]) -> None:
        self._can_sleep = can_sleep
        self._clock = clock
        self._quiet_since: dict[Metric, float] = {}
        self._released_at: float | None = None
        self._stayed_awake = False
        self.asleep: frozenset[str] = frozenset()

    def record_work(self, samples: Collection[Sample]) -> None:
        """Record whether samples of an open library show a process or load on any device."""
        for metric in _WORK:
            values = [sample.value for sample in samples if sample.metric is metric]
            if any(values):
                self._quiet_since.pop(metric, None)
                self._stayed_awake = False
            elif values:
                self._quiet_since.setdefault(metric, self._clock())

    def may_be_open(self, states: Mapping[str, bool], *, is_open: bool) -> bool:
        """Whether the library may be open now.

        Args:
            states: Whether each device is asleep, by address.
            is_open: Whether the library is open now.

        Returns:
            False while all devices sleep. Also False after no device has worked for a while and all devices can sleep,
            until a device that was asleep is awake again, because it has work. If the devices do not fall asleep,
            something else keeps them awake: then they are read again, and not released again before they have worked.
        """
        self.asleep = frozenset(address for address, sleeps in states.items() if sleeps)
        if self.asleep:
            self._stayed_awake = False
        if states and len(self.asleep) == len(states):
            self._released_at = None
            self._quiet_since.clear()
            return False
        if is_open:
            return not self._release(states.keys())
        if self._released_at is None:
            return True
        if self._clock() - self._released_at < _FALLING_ASLEEP_SECONDS:
            return False
        self._released_at = None
        self._stayed_awake = True
        return True

    def _release(self, addresses: Collection[str]) -> bool:
        now = self._clock()
        quiet = len(self._quiet_since) == len(_WORK) and now - max(self._quiet_since.values()) >= _QUIET_SECONDS
        if self._stayed_awake or not quiet or not addresses or not all(map(self._can_sleep, addresses)):
            return False
        self._released_at = now
        self._quiet_since.clear()
        return True


def closed_reading(
    entries: Collection[DeviceEntry], events: Callable[[str], Iterable[Sample]], due: frozenset[Cadence]
) -> Reading:
    """A reading while the library is closed: the identity and events of devices, without their current state.

    Args:
        entries: The devices.
        events: Returns the samples of events of the device with a uuid.
        due: The cadences to read.
    """
    samples = [Sample(catalog.INFO, entry.device.uuid, 1.0, labels=entry.identity.info) for entry in entries]
    samples += (sample for entry in entries for sample in events(entry.device.uuid))
    return Reading(
        devices=tuple(entry.device for entry in entries),
        samples=tuple(sample for sample in samples if sample.metric.cadence in due),
    )
