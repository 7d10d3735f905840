"""The border to GPM, the performance metrics of Hopper and later: pairs of samples, and what lies between them.

A metric is what happened between two samples of the same subject, which are buffers of the library's. Source: nvmlGpm*
of `nvml.h`, driver 520 or later, for MIG devices 525.
"""

import math
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NewType

from collectors.contract import CollectorError, UnsupportedError
from collectors.nvidia.errors import InvalidArgumentError, InvalidValueError, NoDataError, NvmlCode, from_code
from collectors.nvidia.nvml import Handle, Nvml

GpmSample = NewType("GpmSample", object)
Sampler = Callable[[GpmSample], None]

# Closer samples are refused by the library; farther ones would tell of times long past as if it were now, unless
# they always are so far apart.
_LEAST_SECONDS = 0.1
_MOST_SECONDS = 15.0
_MOST_OF_LAST_GAP = 2
_VERSION = 1  # NVML_GPM_METRICS_GET_VERSION


@dataclass(slots=True)
class _SamplePair:
    """The two buffers of a subject, taken in turns.

    Attributes:
        newer: The last sample; None before the first and after a failure.
        older: The one before it; None while there is none to compare with.
        spare: A buffer to take the next sample into.
        at: Monotonic seconds of `newer`.
        gap: Seconds between it and the sample before, compared or not; 0 where there was none.
        served: Whether a request about the two was answered since `sample` was last called.
    """

    newer: GpmSample | None = None
    older: GpmSample | None = None
    spare: GpmSample | None = None
    at: float = -math.inf
    gap: float = 0.0
    served: bool = False


class Gpm:
    """Samples of one session's devices and MIG devices.

    Args:
        nvml: The open library.
        clock: Monotonic seconds.
    """

    def __init__(self, nvml: Nvml, clock: Callable[[], float]) -> None:
        self._nvml = nvml
        self._clock = clock
        self._pairs: dict[str, _SamplePair] = {}
        self._request: Any = None

    def require(self, handle: Handle) -> None:
        """Make sure that a device has it: nvmlGpmQueryDeviceSupport.

        Raises:
            UnsupportedError: It is older than Hopper, or a fraction of a device in a virtual machine.
        """
        call = "nvmlGpmQueryDeviceSupport"
        if not self._nvml.call(call, handle, read=lambda support: bool(support.isSupportedDevice)):
            raise UnsupportedError(f"{call}: the device does not support GPM, which needs Hopper or later")

    def of_device(self, handle: Handle) -> Sampler:
        """Takes samples of a whole device: nvmlGpmSampleGet."""
        return lambda sample: self._nvml.call("nvmlGpmSampleGet", handle, sample, read=_ignore)

    def of_gpu_instance(self, parent: Handle, gpu_instance: int) -> Sampler:
        """Takes samples of a GPU instance: nvmlGpmMigSampleGet."""
        return lambda sample: self._nvml.call("nvmlGpmMigSampleGet", parent, gpu_instance, sample, read=_ignore)

    def sample(self, uuid: str, sampler: Sampler) -> None:
        """Take a sample of a subject, to be compared with the one before. Right after another, the last two stay.

        Raises:
            NoDataError: There are no two to compare: it is the first, or the one before is too old.
            CollectorError: It can't be taken.
        """
        pair = self._pairs.setdefault(uuid, _SamplePair())
        pair.served = False
        gap = self._clock() - pair.at
        if gap >= _LEAST_SECONDS:
            self._take_sample(pair, sampler, gap)
        if pair.older is None:
            raise NoDataError("nvmlGpmSampleGet: the first sample; there is no earlier one to compare it with")

    def metrics(self, uuid: str, ids: Sequence[int]) -> list[float | CollectorError]:
        """Metrics between the last two samples of a subject, or why there are none: nvmlGpmMetricsGet.

        Raises:
            NoDataError: There are no two samples.
            UnsupportedError: The driver refuses the call for these metrics, having answered others of the same samples.
            CollectorError: The call as a whole failed.
        """
        pair = self._pairs.get(uuid)
        if pair is None or pair.older is None:
            raise NoDataError("nvmlGpmMetricsGet: fewer than two samples")
        request = self._request = self._request or self._nvml.structure("c_nvmlGpmMetricsGet_t")
        request.version, request.numMetrics = _VERSION, len(ids)
        request.sample1, request.sample2 = pair.older, pair.newer
        metrics = [request.metrics[place] for place in range(len(ids))]
        for metric, number in zip(metrics, ids, strict=True):
            # The answer, should the library pass the metric over: not what the last request left there.
            metric.metricId, metric.nvmlReturn, metric.value = number, NvmlCode.NOT_SUPPORTED, math.nan
        try:
            self._nvml.call("nvmlGpmMetricsGet", request, read=_ignore)
        except InvalidArgumentError as error:
            if pair.served:
                raise UnsupportedError(f"{error}: the driver does not know some of {ids}") from None
            raise
        pair.served = True
        return [_value(metric) for metric in metrics]

    def drop(self, uuid: str) -> None:
        """Free the samples of a subject, if there are any: whatever comes is not to be compared with them."""
        pair = self._pairs.pop(uuid, None)
        if pair is not None:
            self._free(pair)

    def keep(self, uuids: Collection[str]) -> None:
        """Free the samples of every other subject."""
        for uuid in self._pairs.keys() - set(uuids):
            self.drop(uuid)

    def close(self) -> None:
        """Free all samples, which has to be done before the library is shut down. Safe to call twice."""
        self.keep(())

    def _take_sample(self, pair: _SamplePair, sampler: Sampler, gap: float) -> None:
        buffer = pair.spare or pair.older or self._nvml.call("nvmlGpmSampleAlloc", read=GpmSample)
        pair.spare, pair.older = buffer, None
        sampler(buffer)
        first = pair.newer is None
        comparable = not first and gap <= max(_MOST_SECONDS, _MOST_OF_LAST_GAP * pair.gap)
        pair.older, pair.spare = (pair.newer, None) if comparable else (None, pair.newer)
        # As late as can be: the library may have looked at the device at any moment of the call.
        pair.newer, pair.at, pair.gap = buffer, self._clock(), 0.0 if first else gap

    def _free(self, pair: _SamplePair) -> None:
        for sample in (pair.newer, pair.older, pair.spare):
            if sample is not None:
                with suppress(CollectorError):  # gone with the driver, which is as good
                    self._nvml.call("nvmlGpmSampleFree", sample, read=_ignore)


def _value(metric: Any) -> float | CollectorError:  # noqa: ANN401 - a structure of the binding
    call = f"nvmlGpmMetricsGet({metric.metricId})"
    code, value = int(metric.nvmlReturn), float(metric.value)
    if code == NvmlCode.INVALID_ARGUMENT:  # its number is the only argument
        return UnsupportedError(f"{call}: the driver does not know it")
    if code != NvmlCode.SUCCESS:
        return from_code(code, call)
    if math.isnan(value):
        return InvalidValueError(f"{call}: not a number")
    return value


def _ignore(_: object) -> None:
    pass
