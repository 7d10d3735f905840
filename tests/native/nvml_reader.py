"""A process that asks NVML through its real binding what it is told to, one JSON line for each question and answer.

A question is the binding's function, a place (none, a device's index, or that and a MIG device's) and arguments.
"""

import ctypes
import json
import sys
import time
from typing import Any

import pynvml

_VALUE_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
_LIMIT_SECONDS = 60.0


class Reader:
    """Keeps every handle it was given, as a program does that asks for them once."""

    def __init__(self) -> None:
        self._handles: dict[tuple[int, ...], Any] = {}

    def answer(self, function: str, place: list[int], arguments: list[Any]) -> dict[str, Any]:
        """The value, or the code of the error."""
        try:
            if function.startswith("nvml_double_"):
                exported = getattr(pynvml.nvmlLib, function)
                exported.restype = ctypes.c_ulonglong
                return {"value": exported()}
            if function == "changing_rates":
                return {"value": self._changing_rates(place, *arguments)}
            if function == "nvmlGpmMetricsGet":  # wants a structure, which JSON has not
                arguments = [pynvml.c_nvmlGpmMetricsGet_t()]
            handle = [self._handle(tuple(place))] if place else []
            return {"value": plain(getattr(pynvml, function)(*handle, *arguments))}
        except pynvml.NVMLError as error:
            return {"error": error.value}

    def _handle(self, place: tuple[int, ...]) -> Any:  # noqa: ANN401 - the binding is untyped
        if place not in self._handles:
            device, *mig = place
            if mig:
                handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(self._handle((device,)), mig[0])
            else:
                handle = pynvml.nvmlDeviceGetHandleByIndex(device)
            self._handles[place] = handle
        return self._handles[place]

    def _changing_rates(self, place: list[int], changes: int) -> list[tuple[int, int]]:
        """Read the utilization until it changed so often; every different answer."""
        seen = [self._rates(place)]
        deadline = time.monotonic() + _LIMIT_SECONDS
        while len(seen) <= changes and time.monotonic() < deadline:
            rates = self._rates(place)
            if rates != seen[-1]:
                seen.append(rates)
        return sorted(set(seen))

    def _rates(self, place: list[int]) -> tuple[int, int]:
        rates = pynvml.nvmlDeviceGetUtilizationRates(self._handle(tuple(place)))
        return rates.gpu, rates.memory


def plain(value: Any) -> Any:  # noqa: ANN401 - the binding is untyped
    """What the binding returned, as JSON has it."""
    if isinstance(value, pynvml.c_nvmlFieldValue_t):
        return [value.nvmlReturn, getattr(value.value, _VALUE_MEMBERS[value.valueType])]
    if isinstance(value, ctypes.Structure):
        return {name: plain(getattr(value, name)) for name, *_ in value._fields_}
    if isinstance(value, ctypes.Array | list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, pynvml.nvmlFriendlyObject):
        return vars(value)
    return simple(value)


def simple(value: Any) -> int | float | str | None:  # noqa: ANN401 - the binding is untyped
    """A number or a text; None for anything else, such as a handle."""
    bare = getattr(value, "value", value)  # a ctypes number has it inside
    if isinstance(bare, bytes):  # one of the binding's texts is not decoded
        return bare.decode()
    return bare if isinstance(bare, int | str | float) else None


def main() -> None:
    """Load the library without opening a session, then answer until the input ends."""
    pynvml._LoadNvmlLibrary()
    reader = Reader()
    for line in sys.stdin:
        answer = json.dumps(reader.answer(*json.loads(line)))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
