"""Calls of GPM, the performance metrics of Hopper and later, which compare two samples.

A metric describes the time between two samples of the same device or MIG device. The samples are buffers of the
library. Source: nvmlGpm* of `nvml.h`, driver 520 or later, for MIG devices 525.
"""

import ctypes
import math
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from struct import Struct
from typing import Any, NewType

from collectors.contract import CollectorError, UnsupportedError
from collectors.nvidia.errors import InvalidArgumentError, InvalidValueError, NoDataError, NvmlCode, from_code
from collectors.nvidia.nvml import Handle, Nvml

GpmSample = NewType("GpmSample", object)
Sampler = Callable[[GpmSample], None]

# The library rejects samples with a shorter interval. With a longer one, old activity would be exported as current,
# except if the intervals are always that long.
_MIN_SECONDS = 0.1
_MAX_SECONDS = 15.0
_MAX_LAST_GAPS = 2
_VERSION = 1  # NVML_GPM_METRICS_GET_VERSION
# nvmlGpmMetric_t: its number, its code, its value, and pointers to its names and unit. The fields of the binding's
# structure are many times slower.
_METRIC = Struct("=IId24x")
_SUCCESS = int(NvmlCode.SUCCESS)


@dataclass(slots=True)
class _SamplePair:
    """The two buffers of a device or MIG device, used alternately.

    Attributes:
        newer: The last sample; None before the first one.
        older: The sample before it; None if there is none to compare with.
        spare: A buffer for the next sample.
        at: Monotonic seconds of `newer`.
        gap: Seconds between `newer` and the sample before it, compared or not; 0 if there was none.
        served: Whether metrics were returned since `sample` was last called.
    """

    newer: GpmSample | None = None
    older: GpmSample | None = None
    spare: GpmSample | None = None
    at: float = -math.inf
    gap: float = 0.0
    served: bool = False


class Gpm:
    """The samples of the devices and MIG devices of one session.

    Args:
        nvml: The open library.
        clock: Monotonic seconds.
    """

    def __init__(self, nvml: Nvml, clock: Callable[[], float]) -> None:
        self._nvml = nvml
        self._clock = clock
        self._pairs: dict[str, _SamplePair] = {}
        self._request: Any = None
        self._blanks: dict[tuple[int, ...], bytes] = {}  # what a request contains before the call

    def require(self, handle: Handle) -> None:
        """Check that a device supports GPM: nvmlGpmQueryDeviceSupport.

        Raises:
            UnsupportedError: It is older than Hopper, or a part of a device in a virtual machine.
        """
        call = "nvmlGpmQueryDeviceSupport"
        if not self._nvml.call(call, handle, read=lambda support: bool(support.isSupportedDevice)):
            raise UnsupportedError(f"{call}: the device does not support GPM, which needs Hopper or later")

    def of_device(self, handle: Handle) -> Sampler:
        """The function that takes samples of a whole device: nvmlGpmSampleGet."""
        return lambda sample: self._nvml.call("nvmlGpmSampleGet", handle, sample, read=_ignore)

    def of_gpu_instance(self, parent: Handle, gpu_instance: int) -> Sampler:
        """The function that takes samples of a GPU instance: nvmlGpmMigSampleGet."""
        return lambda sample: self._nvml.call("nvmlGpmMigSampleGet", parent, gpu_instance, sample, read=_ignore)

    def sample(self, uuid: str, sampler: Sampler) -> None:
        """Take a sample to compare with the previous one. Does nothing right after another sample.

        Raises:
            NoDataError: There is no sample to compare with: it is the first, or the previous one is too old.
            CollectorError: The sample cannot be taken.
        """
        pair = self._pairs.setdefault(uuid, _SamplePair())
        pair.served = False
        gap = self._clock() - pair.at
        if gap >= _MIN_SECONDS:
            self._take_sample(pair, sampler, gap)
        if pair.older is None:
            raise NoDataError("nvmlGpmSampleGet: the first sample; there is no earlier one to compare it with")

    def metrics(self, uuid: str, ids: Sequence[int]) -> list[float | CollectorError]:
        """Metrics between the last two samples, or their errors: nvmlGpmMetricsGet.

        Raises:
            NoDataError: There are fewer than two samples.
            UnsupportedError: The driver rejects the call for these metrics, but returned others for the same samples.
            CollectorError: The call as a whole failed.
        """
        pair = self._pairs.get(uuid)
        if pair is None or pair.older is None:
            raise NoDataError("nvmlGpmMetricsGet: fewer than two samples")
        request = self._request = self._request or self._nvml.structure("c_nvmlGpmMetricsGet_t")
        request.version, request.numMetrics = _VERSION, len(ids)
        request.sample1, request.sample2 = pair.older, pair.newer
        blank = self._blank(tuple(ids))
        metrics = (ctypes.c_ubyte * len(blank)).from_buffer(request, type(request).metrics.offset)
        ctypes.memmove(metrics, blank, len(blank))
        try:
            self._nvml.call("nvmlGpmMetricsGet", request, read=_ignore)
        except InvalidArgumentError as error:
            if pair.served:
                raise UnsupportedError(f"{error}: the driver does not know some of {list(ids)}") from None
            raise
        pair.served = True
        return [
            value
            if code == _SUCCESS and value == value  # noqa: PLR0124 - not NaN
            else _error(number, code)
            for number, code, value in _METRIC.iter_unpack(metrics)
        ]

    def _blank(self, ids: tuple[int, ...]) -> bytes:
        """The metrics of a request: the result if the library skips one, instead of the value of the last request."""
        found = self._blanks.get(ids)
        if found is None:
            entries = (_METRIC.pack(number, NvmlCode.NOT_SUPPORTED, math.nan) for number in ids)
            found = self._blanks[ids] = b"".join(entries)
        return found

    def drop(self, uuid: str) -> None:
        """Free the samples of a device or MIG device, if any: later samples are not compared with them."""
        pair = self._pairs.pop(uuid, None)
        if pair is not None:
            self._free(pair)

    def keep(self, uuids: Collection[str]) -> None:
        """Free the samples of all other devices and MIG devices."""
        for uuid in self._pairs.keys() - set(uuids):
            self.drop(uuid)

    def close(self) -> None:
        """Free all samples, which is necessary before the library is shut down. May be called twice."""
        self.keep(())

    def _take_sample(self, pair: _SamplePair, sampler: Sampler, gap: float) -> None:
        buffer = pair.spare or pair.older or self._nvml.call("nvmlGpmSampleAlloc", read=GpmSample)
        pair.spare, pair.older = buffer, None
        sampler(buffer)
        first = pair.newer is None
        comparable = not first and gap <= max(_MAX_SECONDS, _MAX_LAST_GAPS * pair.gap)
        pair.older, pair.spare = (pair.newer, None) if comparable else (None, pair.newer)
        # The latest possible time: the library may have read the device at any moment of the call.
        pair.newer, pair.at, pair.gap = buffer, self._clock(), 0.0 if first else gap

    def _free(self, pair: _SamplePair) -> None:
        for sample in (pair.newer, pair.older, pair.spare):
            if sample is not None:
                with suppress(CollectorError):  # the driver was unloaded, which freed it
                    self._nvml.call("nvmlGpmSampleFree", sample, read=_ignore)


def _error(number: int, code: int) -> CollectorError:
    """Why a metric has no value."""
    call = f"nvmlGpmMetricsGet({number})"
    if code == NvmlCode.INVALID_ARGUMENT:  # the number of the metric is the only argument
        return UnsupportedError(f"{call}: the driver does not know it")
    return InvalidValueError(f"{call}: not a number") if code == _SUCCESS else from_code(code, call)


def _ignore(_: object) -> None:
    pass
