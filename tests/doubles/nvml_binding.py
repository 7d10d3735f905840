"""NVML's binding in memory: it answers as the real one does, with the real one's error classes, from plain records."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType, SimpleNamespace

import pynvml

from collectors.nvidia.nvml import Nvml

UNSUPPORTED = 3
NOT_FOUND = 6
GPU_IS_LOST = 15
FUNCTION_NOT_FOUND = 13


_UINT, _ULONGLONG = 1, 3  # nvmlValueType_t
_ALL_LINKS = 0xFFFFFFFF
# What a device with everything answers to further questions; two links, one of them down.
_FIELDS = {
    (91, 0): (2, _UINT, 0),
    (165, 0): (1, _UINT, 0),
    (165, 1): (0, _UINT, 0),
    (164, 0): (26_562, _UINT, 0),
    (138, _ALL_LINKS): (4, _ULONGLONG, 0),
    (139, _ALL_LINKS): (3, _ULONGLONG, 0),
    (38, 0): (1, _ULONGLONG, 0),
    (45, 0): (2, _ULONGLONG, 0),
    (52, 0): (3, _ULONGLONG, 0),
    (59, 0): (4, _ULONGLONG, 0),
    (170, 0): (1, _UINT, 0),
    (171, 0): (1, _UINT, 0),
    (172, 0): (900_000, _UINT, 0),
    (197, 0): (5_000, _ULONGLONG, 0),
    (198, 0): (6_000, _ULONGLONG, 0),
    (230, 0): (0, _UINT, 0),
}


def _fabric(reference: object) -> int:
    """A device that is registered with its fabric."""
    info = reference._obj  # type: ignore[attr-defined]  # what ctypes.byref points to
    info.state, info.status = 3, 0
    return 0


_ANSWERS: dict[str, object] = {
    "nvmlDeviceGetEncoderUtilization": [10, 20_000],
    "nvmlDeviceGetDecoderUtilization": [20, 20_000],
    "nvmlDeviceGetJpgUtilization": [30, 20_000],
    "nvmlDeviceGetOfaUtilization": [40, 20_000],
    "nvmlDeviceGetCurrentClocksEventReasons": 0x4,
    "nvmlDeviceGetTemperatureThreshold": (92, 89, 95, 87).__getitem__,
    "nvmlDeviceGetMarginTemperature": 46,
    "nvmlDeviceGetNumFans": 2,
    "nvmlDeviceGetFanSpeed_v2": (30, 60).__getitem__,
    "nvmlDeviceGetComputeMode": 3,
    "nvmlDeviceGetCurrPcieLinkGeneration": 4,
    "nvmlDeviceGetCurrPcieLinkWidth": 16,
    "nvmlDeviceGetMaxPcieLinkGeneration": 5,
    "nvmlDeviceGetMaxPcieLinkWidth": 16,
    "nvmlDeviceGetPcieReplayCounter": 7,
    "nvmlDeviceGetPcieThroughput": (800, 900).__getitem__,
    "nvmlDeviceGetGpuFabricInfoV": _fabric,
    # None since the driver was loaded that was not corrected: that would make its status degraded.
    "nvmlDeviceGetTotalEccErrors": lambda kind, counter: 101 + 10 * kind if counter else 1 - kind,
    "nvmlDeviceGetRemappedRows": (1, 2, 0, 0),
}


@dataclass(eq=False)
class FakeGpu:
    """A GPU or MIG device; its fields are what the library answers, in the library's units."""

    uuid: str = "GPU-0"
    name: str = "NVIDIA H100 80GB HBM3"
    bus_id: str = "00000000:3B:00.0"
    minor: int = 0
    serial: str = "1652823012345"
    vbios: str = "96.00.89.00.01"
    architecture: int = 9
    utilization: tuple[int, int] = (50, 25)
    memory: tuple[int, int, int] = (1000, 100, 300)  # total, reserved, used
    milliwatts: int = 350_500
    millijoules: int = 12_345_678
    limit: int = 650_000
    default_limit: int = 700_000
    limits: tuple[int, int] = (200_000, 700_000)
    celsius: int = 41
    memory_celsius: float = 55
    field_type: int = 1
    field_code: int = 0
    # Further fields by id and scope: value, type, return code.
    fields: dict[tuple[int, int], tuple[float, int, int]] = field(default_factory=lambda: dict(_FIELDS))
    # What further functions return, or what makes it of their arguments; a function without is not in the library.
    answers: dict[str, object] = field(default_factory=lambda: dict(_ANSWERS))
    clocks: tuple[int, int, int, int] = (1980, 1979, 2619, 1500)
    max_clocks: tuple[int, int, int, int] = (1981, 1982, 2620, 1545)
    compute_pids: tuple[int, ...] = ()
    graphics_pids: tuple[int, ...] = ()
    mps_pids: tuple[int, ...] = ()
    persistence: int = 1
    ecc: tuple[int, int] = (1, 0)
    mig: tuple[int, int] = (0, 0)
    slices: int = 7
    mig_devices: "dict[int, FakeGpu]" = field(default_factory=dict)
    gpu_instance: int = 0
    compute_instance: int = 0
    compute_slices: int = 1
    gpu_instance_slices: int = 0  # 0 is as many as it has itself
    errors: dict[str, int | Exception] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)


def gpus(count: int) -> list[FakeGpu]:
    """GPUs with different uuids, addresses and minors."""
    return [FakeGpu(uuid=f"GPU-{n}", bus_id=f"00000000:{0x10 + n:02X}:00.0", minor=n) for n in range(count)]


def mig_device(gpu_instance: int, compute_instance: int = 0, uuid: str = "", profile: str = "1g.10gb") -> FakeGpu:
    """A MIG device of one slice."""
    return FakeGpu(
        uuid=uuid or f"MIG-{gpu_instance}-{compute_instance}",
        name=f"NVIDIA H100 80GB HBM3 MIG {profile}",
        gpu_instance=gpu_instance,
        compute_instance=compute_instance,
    )


class FakeBinding(ModuleType):
    """What `pynvml` is to the border.

    Args:
        devices: In the order of their indices.
    """

    NVMLError = pynvml.NVMLError
    NVMLLibraryMismatchError = pynvml.NVMLLibraryMismatchError
    nvmlMemory_v2 = pynvml.nvmlMemory_v2  # noqa: N815 - the binding's name

    def __init__(self, devices: list[FakeGpu]) -> None:
        super().__init__("pynvml")
        self.devices = devices
        self.driver_version = "550.54.15"
        self.errors: dict[str, int | Exception] = {}
        self.handle_errors: dict[int, int] = {}
        # Of further functions of the system.
        self.answers: dict[str, object] = {"nvmlSystemGetConfComputeState": SimpleNamespace(ccFeature=0)}
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name in _OF_LIBRARY:
            return partial(self._answer_of_library, name)
        if name in _OF_HANDLE:
            return partial(self._answer_of_handle, name)
        if name.startswith(("nvmlDevice", "nvmlGpmQuery")):
            return partial(self._further_answer, name)
        if name.startswith("nvmlSystem"):
            return partial(self._answer_of_system, name)
        if name.startswith("c_nvml"):
            return getattr(pynvml, name)  # type: ignore[no-any-return]  # a structure class, called like a function
        raise AttributeError(name)

    def _answer_of_library(self, name: str, *arguments: int) -> object:
        self.calls[name] += 1
        _raise(self.errors.get(name))
        if name == "nvmlDeviceGetHandleByIndex":
            _raise(self.handle_errors.get(*arguments))
        return _OF_LIBRARY[name](self, *arguments)

    def _answer_of_handle(self, name: str, gpu: FakeGpu, *arguments: int) -> object:
        call = f"{name}_v2" if name == "nvmlDeviceGetMemoryInfo" and arguments else name
        gpu.calls[call] += 1
        _raise(gpu.errors.get(call, gpu.errors.get("*")))
        _raise(self.errors.get(call))
        return _OF_HANDLE[name](gpu, *arguments)

    def _answer_of_system(self, name: str) -> object:
        self.calls[name] += 1
        _raise(self.errors.get(name))
        if name not in self.answers:
            raise pynvml.NVMLError(FUNCTION_NOT_FOUND)
        return self.answers[name]

    def _further_answer(self, name: str, gpu: FakeGpu, *arguments: object) -> object:
        gpu.calls[name] += 1
        _raise(gpu.errors.get(name, gpu.errors.get("*")))
        if name not in gpu.answers:
            raise pynvml.NVMLError(FUNCTION_NOT_FOUND)
        answer = gpu.answers[name]
        return answer(*arguments) if callable(answer) else answer


def _raise(error: int | Exception | None) -> None:
    if error is not None:
        raise error if isinstance(error, Exception) else pynvml.NVMLError(error)


def _mig_handle(gpu: FakeGpu, index: int) -> FakeGpu:
    if index not in gpu.mig_devices:
        raise pynvml.NVMLError(NOT_FOUND)
    return gpu.mig_devices[index]


def _memory(gpu: FakeGpu, version: int = 0) -> SimpleNamespace:
    total, reserved, used = gpu.memory
    if version:
        return SimpleNamespace(total=total, reserved=reserved, used=used)
    return SimpleNamespace(total=total, used=used + reserved)


def _fields(gpu: FakeGpu, asked: list[tuple[int, int]]) -> list[SimpleNamespace]:
    known = {(82, 0): (gpu.memory_celsius, gpu.field_type, gpu.field_code)} | gpu.fields
    return [_field(*known.get(field, (0, 1, UNSUPPORTED))) for field in asked]


def _field(number: float, value_type: int, code: int) -> SimpleNamespace:
    members = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
    value = SimpleNamespace(**dict.fromkeys(members, number))
    return SimpleNamespace(nvmlReturn=code, valueType=value_type, value=value)


def _pids(pids: tuple[int, ...]) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid, usedGpuMemory=None, gpuInstanceId=0xFFFFFFFF) for pid in pids]


_OF_LIBRARY: dict[str, Callable[..., object]] = {
    "nvmlShutdown": lambda _: None,
    "nvmlSystemGetDriverVersion": lambda library: library.driver_version,
    "nvmlDeviceGetCount": lambda library: len(library.devices),
    "nvmlDeviceGetHandleByIndex": lambda library, index: library.devices[index],
}
_OF_HANDLE: dict[str, Callable[..., object]] = {
    "nvmlDeviceGetUUID": lambda gpu: gpu.uuid,
    "nvmlDeviceGetName": lambda gpu: gpu.name,
    "nvmlDeviceGetSerial": lambda gpu: gpu.serial,
    "nvmlDeviceGetVbiosVersion": lambda gpu: gpu.vbios,
    "nvmlDeviceGetMinorNumber": lambda gpu: gpu.minor,
    "nvmlDeviceGetPciInfo": lambda gpu: SimpleNamespace(busId=gpu.bus_id),
    "nvmlDeviceGetArchitecture": lambda gpu: gpu.architecture,
    "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=gpu.utilization[0], memory=gpu.utilization[1]),
    "nvmlDeviceGetMemoryInfo": _memory,
    "nvmlDeviceGetPowerUsage": lambda gpu: gpu.milliwatts,
    "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: gpu.millijoules,
    "nvmlDeviceGetEnforcedPowerLimit": lambda gpu: gpu.limit,
    "nvmlDeviceGetPowerManagementDefaultLimit": lambda gpu: gpu.default_limit,
    "nvmlDeviceGetPowerManagementLimitConstraints": lambda gpu: list(gpu.limits),
    "nvmlDeviceGetTemperatureV": lambda gpu, _: gpu.celsius,
    "nvmlDeviceGetTemperature": lambda gpu, _: gpu.celsius,
    "nvmlDeviceGetFieldValues": _fields,
    "nvmlDeviceGetClockInfo": lambda gpu, clock: gpu.clocks[clock],
    "nvmlDeviceGetMaxClockInfo": lambda gpu, clock: gpu.max_clocks[clock],
    "nvmlDeviceGetPersistenceMode": lambda gpu: gpu.persistence,
    "nvmlDeviceGetEccMode": lambda gpu: list(gpu.ecc),
    "nvmlDeviceGetMigMode": lambda gpu: list(gpu.mig),
    "nvmlDeviceGetMaxMigDeviceCount": lambda gpu: gpu.slices,
    "nvmlDeviceGetMigDeviceHandleByIndex": _mig_handle,
    "nvmlDeviceGetGpuInstanceId": lambda gpu: gpu.gpu_instance,
    "nvmlDeviceGetComputeInstanceId": lambda gpu: gpu.compute_instance,
    "nvmlDeviceGetAttributes_v2": lambda gpu: SimpleNamespace(
        computeInstanceSliceCount=gpu.compute_slices,
        gpuInstanceSliceCount=gpu.gpu_instance_slices or gpu.compute_slices,
    ),
    "nvmlDeviceGetComputeRunningProcesses_v3": lambda gpu: _pids(gpu.compute_pids),
    "nvmlDeviceGetGraphicsRunningProcesses_v3": lambda gpu: _pids(gpu.graphics_pids),
    "nvmlDeviceGetMPSComputeRunningProcesses_v3": lambda gpu: _pids(gpu.mps_pids),
}


def border(*devices: FakeGpu) -> Nvml:
    """The real border over such a binding."""
    return Nvml(FakeBinding(list(devices)))
