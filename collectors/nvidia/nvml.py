"""Calls of NVML. Only this module imports its binding and converts its errors to errors of the contract.

Values are returned as NVML reports them, in its units and unchecked; `readings` converts them to base units. At the end
of the module are the queries of `collectors.query` and their runner, typed for NVML.
"""

import ctypes
import time
from collections.abc import Callable, Mapping
from copy import copy
from enum import IntEnum
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, NewType, TypeAlias, TypeVar

from collectors import query, query_runner
from collectors.contract import SubjectKey
from collectors.nvidia.errors import (
    InvalidArgumentError,
    InvalidValueError,
    LibraryMissingError,
    NoDataError,
    NvmlCode,
    from_code,
)
from collectors.nvidia.field_calls import FieldCalls
from collectors.nvidia.names import LIBRARY
from collectors.query import PermanentlyUnsupportedError

Handle = NewType("Handle", object)
_T = TypeVar("_T")

_CORE_SENSOR = 0  # NVML_TEMPERATURE_GPU
_DISABLED, _ENABLED = 0, 1  # nvmlEnableState_t
# NVML's marks for "not available", with 32 and 64 bits.
ABSENT_MARKS = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})


class ClockType(IntEnum):
    """`nvmlClockType_t`."""

    GRAPHICS = 0
    SM = 1
    MEMORY = 2
    VIDEO = 3


class Utilization(NamedTuple):
    """Percent of the last sampling period in which kernels ran, and in which memory was read or written."""

    gpu: int
    memory: int


class Memory(NamedTuple):
    """Bytes of frame buffer. In version 1 of the call `reserved` is None and `used` includes it."""

    total: int
    used: int
    reserved: int | None


class PowerRange(NamedTuple):
    """The range in which the power limit can be set, in milliwatts."""

    lowest: int
    highest: int


class MigSlices(NamedTuple):
    """Compute slices of a MIG device, and of its GPU instance."""

    own: int
    of_gpu_instance: int


class Placement(NamedTuple):
    """Where a GPU instance is on its device: the id of its profile, its first memory slice, and their number."""

    profile_id: int
    start: int
    size: int


class Nvml:
    """An open session with the library.

    Every method raises `UnsupportedError`, `UnavailableError`, `DeviceLostError`, `NoDataError` or `SessionError`.

    Args:
        binding: The module `pynvml` with the library loaded and initialised.

    Attributes:
        fields: The calls for field values.
    """

    def __init__(self, binding: ModuleType) -> None:
        self._binding = binding
        self.fields = FieldCalls(self._fill_field_values)

    def for_one_device(self) -> "Nvml":
        """The same session, for the thread that reads one device: polls of its field values share nothing."""
        other = copy(self)
        other.fields = FieldCalls(self._fill_field_values)
        return other

    def structure(self, name: str) -> Any:  # noqa: ANN401 - the binding's structures have no types
        """A new ctypes structure of the binding, for calls that fill one."""
        return getattr(self._binding, name)()

    def structures(self, name: str, count: int) -> Any:  # noqa: ANN401 - as above
        """A new array of structures of the binding."""
        return (getattr(self._binding, name) * count)()

    def shutdown(self) -> None:
        """End the session: nvmlShutdown."""
        self.call("nvmlShutdown", read=_ignore)

    def driver_version(self) -> str:
        """Version of the kernel driver: nvmlSystemGetDriverVersion."""
        return self.call("nvmlSystemGetDriverVersion", read=str)

    def device_count(self) -> int:
        """Number of listed devices, including those that cannot be opened: nvmlDeviceGetCount_v2."""
        return self.call("nvmlDeviceGetCount", read=int)

    def device(self, index: int) -> Handle:
        """The device at an index of this session: nvmlDeviceGetHandleByIndex_v2."""
        return self.call("nvmlDeviceGetHandleByIndex", index, read=Handle)

    def device_at(self, address: str) -> Handle:
        """The device at a PCI address. Opens only this device: nvmlDeviceGetHandleByPciBusId_v2.

        Args:
            address: In the kernel's spelling.
        """
        return self.call("nvmlDeviceGetHandleByPciBusId", address, read=Handle)

    def index(self, handle: Handle) -> int:
        """Its index in this session: nvmlDeviceGetIndex."""
        return self.call("nvmlDeviceGetIndex", handle, read=int)

    def uuid(self, handle: Handle) -> str:
        """The uuid of a device or MIG device: nvmlDeviceGetUUID."""
        return self.call("nvmlDeviceGetUUID", handle, read=str)

    def name(self, handle: Handle) -> str:
        """The product name; for a MIG device with its profile at the end: nvmlDeviceGetName."""
        return self.call("nvmlDeviceGetName", handle, read=str)

    def serial(self, handle: Handle) -> str:
        """The board's serial number: nvmlDeviceGetSerial."""
        return self.call("nvmlDeviceGetSerial", handle, read=str)

    def vbios_version(self, handle: Handle) -> str:
        """The version of the video BIOS: nvmlDeviceGetVbiosVersion."""
        return self.call("nvmlDeviceGetVbiosVersion", handle, read=str)

    def minor(self, handle: Handle) -> int:
        """N of the device file /dev/nvidiaN: nvmlDeviceGetMinorNumber."""
        return self.call("nvmlDeviceGetMinorNumber", handle, read=int)

    def pci_bus_id(self, handle: Handle) -> str:
        """The PCI address in NVML's spelling, `00000000:3B:00.0`: nvmlDeviceGetPciInfo_v3."""
        return self.call("nvmlDeviceGetPciInfo", handle, read=lambda info: str(info.busId))

    def architecture(self, handle: Handle) -> int:
        """`nvmlDeviceArchitecture_t`: nvmlDeviceGetArchitecture."""
        return self.call("nvmlDeviceGetArchitecture", handle, read=int)

    def utilization(self, handle: Handle) -> Utilization:
        """Percent, unavailable while MIG is enabled: nvmlDeviceGetUtilizationRates."""
        return self.call(
            "nvmlDeviceGetUtilizationRates", handle, read=lambda rates: Utilization(rates.gpu, rates.memory)
        )

    def memory(self, handle: Handle) -> Memory:
        """Bytes; used memory does not include reserved memory: nvmlDeviceGetMemoryInfo_v2, driver 515 or later."""
        return self.call(
            "nvmlDeviceGetMemoryInfo",
            handle,
            self._binding.nvmlMemory_v2,
            read=lambda info: Memory(info.total, info.used, info.reserved),
        )

    def memory_with_reserved_as_used(self, handle: Handle) -> Memory:
        """Bytes; used memory includes reserved memory: nvmlDeviceGetMemoryInfo."""
        return self.call("nvmlDeviceGetMemoryInfo", handle, read=lambda info: Memory(info.total, info.used, None))

    def power(self, handle: Handle) -> int:
        """Milliwatts: nvmlDeviceGetPowerUsage."""
        return self.call("nvmlDeviceGetPowerUsage", handle, read=int)

    def energy(self, handle: Handle) -> int:
        """Millijoules since the driver was loaded: nvmlDeviceGetTotalEnergyConsumption, Volta or later."""
        return self.call("nvmlDeviceGetTotalEnergyConsumption", handle, read=int)

    def power_limit(self, handle: Handle) -> int:
        """Milliwatts, the lowest of all power limits in force: nvmlDeviceGetEnforcedPowerLimit."""
        return self.call("nvmlDeviceGetEnforcedPowerLimit", handle, read=int)

    def power_default_limit(self, handle: Handle) -> int:
        """Milliwatts: nvmlDeviceGetPowerManagementDefaultLimit."""
        return self.call("nvmlDeviceGetPowerManagementDefaultLimit", handle, read=int)

    def power_range(self, handle: Handle) -> PowerRange:
        """Milliwatts: nvmlDeviceGetPowerManagementLimitConstraints."""
        return self.call(
            "nvmlDeviceGetPowerManagementLimitConstraints", handle, read=lambda limits: PowerRange(*limits)
        )

    def temperature(self, handle: Handle) -> int:
        """Degrees Celsius of the core: nvmlDeviceGetTemperatureV, driver 570 or later."""
        return self.call("nvmlDeviceGetTemperatureV", handle, _CORE_SENSOR, read=int)

    def temperature_of_old_drivers(self, handle: Handle) -> int:
        """Degrees Celsius of the core: nvmlDeviceGetTemperature, deprecated in CUDA 13."""
        return self.call("nvmlDeviceGetTemperature", handle, _CORE_SENSOR, read=int)

    def clock(self, handle: Handle, clock: ClockType) -> int:
        """The current clock in megahertz: nvmlDeviceGetClockInfo."""
        return self.call("nvmlDeviceGetClockInfo", handle, int(clock), read=int)

    def max_clock(self, handle: Handle, clock: ClockType) -> int:
        """The highest clock in megahertz: nvmlDeviceGetMaxClockInfo."""
        return self.call("nvmlDeviceGetMaxClockInfo", handle, int(clock), read=int)

    def persistence_mode(self, handle: Handle) -> bool:
        """Whether the driver stays loaded without clients: nvmlDeviceGetPersistenceMode."""
        return self.call("nvmlDeviceGetPersistenceMode", handle, read=_is_enabled)

    def ecc_mode(self, handle: Handle) -> bool:
        """Whether error correction is in force: nvmlDeviceGetEccMode."""
        return self.call("nvmlDeviceGetEccMode", handle, read=lambda modes: _is_enabled(modes[0]))

    def mig_mode(self, handle: Handle) -> bool:
        """Whether the device is in MIG mode now: nvmlDeviceGetMigMode."""
        return self.call("nvmlDeviceGetMigMode", handle, read=lambda modes: _is_enabled(modes[0]))

    def max_mig_devices(self, handle: Handle) -> int:
        """The highest number of MIG devices that the device can have: nvmlDeviceGetMaxMigDeviceCount."""
        return self.call("nvmlDeviceGetMaxMigDeviceCount", handle, read=int)

    def mig_device(self, handle: Handle, index: int) -> Handle | None:
        """The MIG device at an index: nvmlDeviceGetMigDeviceHandleByIndex. None for unused indices between others."""
        try:
            return self.call("nvmlDeviceGetMigDeviceHandleByIndex", handle, index, read=Handle)
        except (NoDataError, InvalidArgumentError):
            return None

    def gpu_instance_id(self, handle: Handle) -> int:
        """The GPU instance of a MIG device: nvmlDeviceGetGpuInstanceId."""
        return self.call("nvmlDeviceGetGpuInstanceId", handle, read=int)

    def compute_instance_id(self, handle: Handle) -> int:
        """The compute instance of a MIG device, unique in its GPU instance: nvmlDeviceGetComputeInstanceId."""
        return self.call("nvmlDeviceGetComputeInstanceId", handle, read=int)

    def placement(self, handle: Handle, gpu_instance: int) -> Placement:
        """Where a GPU instance of a device is: nvmlDeviceGetGpuInstanceById, nvmlGpuInstanceGetInfo.

        Both are documented to need a privileged user.
        """
        instance = self.call("nvmlDeviceGetGpuInstanceById", handle, gpu_instance, read=Handle)
        return self.call(
            "nvmlGpuInstanceGetInfo",
            instance,
            read=lambda info: Placement(info.profileId, info.placement.start, info.placement.size),
        )

    def mig_slices(self, handle: Handle) -> MigSlices:
        """The size of a MIG device: nvmlDeviceGetAttributes_v2."""
        return self.call(
            "nvmlDeviceGetAttributes_v2",
            handle,
            read=lambda attributes: MigSlices(attributes.computeInstanceSliceCount, attributes.gpuInstanceSliceCount),
        )

    def _fill_field_values(self, handle: object, count: int, values: ctypes.Array[ctypes.c_uint64]) -> None:
        """Make the call of `FieldCalls`, without the binding's function: that makes a new array for each call."""
        call = "nvmlDeviceGetFieldValues"
        try:
            code = getattr(self._binding.nvmlLib, call)(handle, count, values)
        except AttributeError:
            code = NvmlCode.FUNCTION_NOT_FOUND
        if code != NvmlCode.SUCCESS:
            raise from_code(code, call)

    def call(self, name: str, *arguments: object, read: Callable[[Any], _T]) -> _T:
        """Call a function of the binding. All errors of the binding are converted to errors of the contract.

        NVMLError is converted by its number only: it is not hashable, and comparing it with other types raises.

        Args:
            name: The function of the binding.
            arguments: Its arguments.
            read: Converts its result. Invalid text in the result is detected here.
        """
        try:
            return read(getattr(self._binding, name)(*arguments))
        except self._binding.NVMLError as error:
            raise from_code(error.value, name) from None
        except self._binding.NVMLLibraryMismatchError as error:
            raise PermanentlyUnsupportedError(f"{name}: {error}") from None
        except UnicodeDecodeError:
            raise InvalidValueError(f"{name}: the answer is not text") from None


# Classes, not aliases: in Python 3.11 a frozen class with slots cannot be created through an alias.
class Query(query.Query[Nvml, Handle]):
    """One query with separate calls."""

    __slots__ = ()


class Batch(query.Batch[Nvml, Handle]):
    """Readings that are made together by one call."""

    __slots__ = ()


Queries: TypeAlias = query.Queries[Nvml, Handle]


class QueryRunner(query_runner.QueryRunner[Nvml, Handle]):
    """Runs queries on the devices of one session.

    Args:
        nvml: The open library.
        clock: Monotonic seconds.
        expected: The queries that answered in the last session.
    """

    def __init__(
        self,
        nvml: Nvml,
        clock: Callable[[], float] = time.monotonic,
        expected: Mapping[SubjectKey, frozenset[str]] = MappingProxyType({}),
    ) -> None:
        super().__init__(nvml, ABSENT_MARKS, clock, expected)


def open_library(*, attach: bool = True) -> Nvml:
    """Load and initialise NVML.

    Args:
        attach: Whether to open all devices; otherwise a device is opened when its handle is looked up. Source: nvml.h,
            NVML_INIT_FLAG_NO_ATTACH and nvmlDeviceGetHandleByPciBusId_v2 ("causes NVML to initialize the target GPU").

    Raises:
        LibraryMissingError: The dynamic loader cannot load it; the text contains the loader's message.
        CollectorError: It does not initialise; the error is converted as for any call.
    """
    try:
        # The binding reports every failure to load as "not found"; the loader reports the cause.
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise LibraryMissingError(f"cannot load {LIBRARY}: {error}") from None
    import pynvml  # noqa: PLC0415 - costs 17 MiB, so it is imported only if there is a library

    try:
        pynvml.nvmlInitWithFlags(0 if attach else pynvml.NVML_INIT_FLAG_NO_ATTACH)
    except pynvml.NVMLError as error:
        raise from_code(error.value, "nvmlInitWithFlags") from None
    return Nvml(pynvml)


def _ignore(_: object) -> None:
    pass


def _is_enabled(state: int) -> bool:
    if state not in (_DISABLED, _ENABLED):
        raise InvalidValueError(f"a mode that is neither on nor off: {state}")
    return state == _ENABLED
