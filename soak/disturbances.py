"""What disturbs the exporter: in turn, the same for each run. Everything is undone by `SoakNode.rest`."""

import os
import signal
from collections.abc import Callable

import grpc

from soak.node import CARDS, CHANGING, CONFIGURATION, SLICED, STILL, WHOLE, SoakNode, name_of, pid_of
from tests.doubles.energy import energy_steps
from tests.doubles.nvml import RECOVERY_ACTION_FIELD, ValueType
from tests.native.nvml_calls import CALLS

Disturb = Callable[[SoakNode], None]

# NVML return codes.
_UNINITIALIZED, _NOT_SUPPORTED, _NO_PERMISSION, _NOT_FOUND, _TIMEOUT, _UNKNOWN = 1, 3, 4, 6, 10, 999
_HANG_MILLISECONDS = 1500  # longer than the deadline of a poll
_SESSION = ("nvmlInit", "nvmlShutdown", "nvmlSystem", "nvmlDeviceGetCount", "nvmlDeviceGetHandle", "nvmlEventSet")
_READINGS = tuple(call for call in CALLS if not call.startswith(_SESSION))
# Listed and unlisted codes, of programs and of hardware.
_XIDS = (8, 13, 31, 32, 43, 45, 48, 61, 62, 63, 64, 69, 74, 79, 92, 94, 95, 119, 120, 900)
# How many ticks there are from one to the next.
_TICKS_OF_PODS, _TICKS_OF_ENERGY, _TICKS_OF_FAULTS, _TICKS_OF_KUBELET, _TICKS_OF_RELOADS = 5, 3, 6, 9, 11


def _refuse_readings(code: int, index: int) -> Disturb:
    def disturb(node: SoakNode) -> None:
        for call in _READINGS:
            node.nvidia.nvml.fail(call, code, device=index)

    return disturb


def _fail(call: str, code: int, index: int | None = None) -> Disturb:
    return lambda node: node.nvidia.nvml.fail(call, code, device=index)


def _lose_first_for_good(node: SoakNode) -> None:
    node.gpu(WHOLE).present = 0


def _driver_unloaded(node: SoakNode) -> None:
    for call in ("nvmlDeviceGetCount_v2", "nvmlInitWithFlags"):
        node.nvidia.nvml.fail(call, _UNINITIALIZED)


def _energy_reset(node: SoakNode) -> None:
    node.gpu(WHOLE).energy_millijoules = 0


def _errors_of_memory(node: SoakNode) -> None:
    for gpu in node.nvidia.gpus:
        gpu.ecc_volatile_corrected += 1
        gpu.ecc_lifetime_corrected += 1
        gpu.set_field(RECOVERY_ACTION_FIELD, 1 - gpu.ecc_volatile_corrected % 2, ValueType.UNSIGNED_INT)


def _partitions_of_nvidia(node: SoakNode) -> None:
    node.nvidia.partition(CHANGING, "1g.10gb", "2g.20gb")


def _garbage_in_table(node: SoakNode) -> None:
    node.card(WHOLE).write_bytes("gpu_metrics", b"\xff" * 96)


def _errors_of_blocks(node: SoakNode) -> None:
    node.card(SLICED).write("ras/umc_err_count", "ue: 1\nce: 7\nde: 0")


def _endless_processes(node: SoakNode) -> None:
    node.amd.processes.write(1, 7, b"drm-pdev:\t\xff\n" * 100)
    node.amd.processes.end(1)


# Each lasts until the next one.
_FAULTS: tuple[Disturb, ...] = (
    lambda node: node.nvidia.lose(WHOLE),
    lambda node: node.card(WHOLE).fail("hwmon/power1_input"),
    _refuse_readings(_NOT_SUPPORTED, WHOLE),
    lambda node: node.card(SLICED).unbind(),
    _refuse_readings(_NO_PERMISSION, SLICED),
    lambda node: node.repartition("CPX"),
    _refuse_readings(_UNKNOWN, CHANGING),
    _garbage_in_table,
    lambda node: node.nvidia.nvml.delay("nvmlDeviceGetPowerUsage", _HANG_MILLISECONDS, device=WHOLE),
    lambda node: node.card(CHANGING).remove("gpu_busy_percent"),
    _fail("nvmlDeviceGetUtilizationRates", _TIMEOUT),
    _errors_of_blocks,
    _lose_first_for_good,
    _endless_processes,
    _fail("nvmlDeviceGetMigDeviceHandleByIndex", _NOT_FOUND, SLICED),
    _driver_unloaded,
    _energy_reset,
    _partitions_of_nvidia,
    _fail("nvmlEventSetWait_v2", _UNKNOWN),
    _errors_of_memory,
)


def _kubelet_restarts(node: SoakNode) -> None:
    node.nvidia.kubelet.kill()
    node.nvidia.kubelet.start()


def _kubelet_fails(node: SoakNode) -> None:
    node.nvidia.kubelet.status = (grpc.StatusCode.UNAVAILABLE, "not yet")


def _kubelet_is_slow(node: SoakNode) -> None:
    node.nvidia.kubelet.status = None
    node.nvidia.kubelet.delay_seconds = _HANG_MILLISECONDS / 1000


def _kubelet_rejects(node: SoakNode) -> None:
    node.nvidia.kubelet.delay_seconds = 0.0
    node.nvidia.kubelet.reject_next = 3


_KUBELET: tuple[Disturb, ...] = (
    _kubelet_restarts,
    _kubelet_fails,
    _kubelet_is_slow,
    _kubelet_rejects,
    lambda node: node.nvidia.kubelet.stop(),
    _kubelet_restarts,
)
_CONFIGURATIONS = (
    f"{CONFIGURATION}log: {{level: debug, format: json}}\n",
    CONFIGURATION.replace("fast_interval: 200ms", "fast_interval: 100ms"),
    f"{CONFIGURATION}log: {{levle: debug}}\n",
    CONFIGURATION.replace("timeout: 1s", "timeout: 2s, hold: 90s"),
    "poll: [",
    CONFIGURATION,
)


class Disturbances:
    """All of them; `tick` is called several times per second.

    After each rest they begin anew, in the same order: what a rest leaves in memory depends on what was before it, so
    only equal disturbances leave equal numbers of blocks. Pods and processes are others each time.

    Args:
        node: The node.
        pid: The exporter's process.
    """

    def __init__(self, node: SoakNode, pid: int) -> None:
        self._node = node
        self._pid = pid
        self._number = self._energy_ticks = 0
        self._since_rest = 0
        self._use_energy = energy_steps(node.nvidia, node.amd)

    def tick(self) -> None:
        """Disturb: an error of a device and other processes each time, the rest from time to time."""
        self._number += 1
        self._since_rest += 1
        number, node = self._since_rest, self._node
        node.nvidia.nvml.happen(number // len(_XIDS) % CARDS, _XIDS[number % len(_XIDS)])
        node.run_processes(pid_of(self._number))
        if number % _TICKS_OF_PODS == 0:
            pods = self._number // _TICKS_OF_PODS
            node.list_pods(name_of(2 * pods), name_of(2 * pods + 1))
        if number % _TICKS_OF_FAULTS == 0:
            node.repair()
            _FAULTS[number // _TICKS_OF_FAULTS % len(_FAULTS)](node)
        if number % _TICKS_OF_KUBELET == 0:
            _KUBELET[number // _TICKS_OF_KUBELET % len(_KUBELET)](node)
        if number % _TICKS_OF_RELOADS == 0:
            self._reload(_CONFIGURATIONS[number // _TICKS_OF_RELOADS % len(_CONFIGURATIONS)])
        self.use_energy()

    def use_energy(self) -> None:
        """Only let the devices use energy. A counter that stands still would be taken for a frozen one."""
        self._energy_ticks += 1
        if self._energy_ticks % _TICKS_OF_ENERGY == 0:
            self._use_energy()

    def rest(self) -> None:
        """Undo everything."""
        self._since_rest = 0
        self._node.rest()
        self._reload(CONFIGURATION)

    def still(self) -> None:
        """Let the exporter read nothing until `move`."""
        self._reload(STILL)

    def move(self) -> None:
        """Let the exporter read again."""
        self._reload(CONFIGURATION)

    def _reload(self, configuration: str) -> None:
        self._node.configuration.write_text(configuration, encoding="utf-8")
        os.kill(self._pid, signal.SIGHUP)
