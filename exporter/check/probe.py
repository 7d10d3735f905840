"""A call that may not return, made so that nobody has to wait for it."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Probe(Generic[T]):
    """Makes one call in a thread of its own, begun at once. One that hangs is left behind, and ends with the process.

    Args:
        name: Of the thread.
        ask: The call.
    """

    def __init__(self, name: str, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._answers: list[T] = []
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def answer(self, within_seconds: float) -> T | None:
        """What the call returned; None if it has not returned in time.

        Raises:
            Exception: What the call raised.
        """
        self._thread.join(max(0.0, within_seconds))
        if self._errors:
            raise self._errors[0]
        return self._answers[0] if self._answers else None

    def _run(self) -> None:
        try:
            self._answers.append(self._ask())
        except Exception as error:  # noqa: BLE001 - handed over to the thread that asks for the answer
            self._errors.append(error)
