"""Reads the CDI files in a thread of its own: a file system that does not answer must not delay the snapshots."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from exporter.attribution.cdi_files import CdiMissing
from exporter.attribution.cdi_specs import CdiAnswer
from exporter.attribution.holding import ClaimDevice

_log = logging.getLogger(__name__)

# While something is not found: its file may be written later than the kubelet's answer.
_SECONDS_BETWEEN_SEARCHES = 2.0
_STOP_SECONDS = 0.5


class SpecFiles(Protocol):
    """What is read; `CdiSpecs` is the real one. Called by one thread only."""

    def refresh(self) -> bool:
        """List the directories again."""
        ...

    def nodes(self, cdi_devices: Sequence[str], device: str) -> CdiAnswer:
        """Look up the device nodes of one device of a claim."""
        ...


class _Wanted(NamedTuple):
    cdi_devices: tuple[str, ...]
    device: str


class CdiReader:
    """Answers from what its thread has read. The thread is started, and files are read, only when something is asked.

    Args:
        specs: The files.
        changed: Called when an answer is new, by its own thread; must not block.
    """

    def __init__(self, specs: SpecFiles, changed: Callable[[], None]) -> None:
        self._specs = specs
        self._changed = changed
        self._lock = threading.Lock()
        self._wanted: set[_Wanted] = set()
        self._answers: dict[_Wanted, CdiAnswer] = {}
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def nodes(self, cdi_devices: Sequence[str], device: str) -> CdiAnswer:
        """Return the device nodes of one device of a claim, as far as they have been read. Never blocks."""
        wanted = _Wanted(tuple(cdi_devices), device)
        answer = self._answers.get(wanted)
        if answer is not None:
            return answer
        with self._lock:
            self._wanted.add(wanted)
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="cdi-files", daemon=True)
                self._thread.start()
        self._wake.set()
        return CdiAnswer(missing=CdiMissing.NOT_YET_READ)

    def follow(self, claim_devices: Iterable[ClaimDevice]) -> None:
        """Read the files again, and forget what is no longer listed; to be called with every answer of the kubelet.

        Args:
            claim_devices: The devices of all claims that are listed now.
        """
        if self._thread is None:
            return
        listed = {(each.cdi_devices, each.device) for each in claim_devices}
        with self._lock:
            self._wanted &= listed
        self._wake.set()

    def stop(self) -> None:
        """Stop; nothing is reported afterwards. Safe to call twice."""
        with self._lock:
            self._stopped, thread = True, self._thread
        self._wake.set()
        if thread is not None:
            thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        missing = False
        while not self._stopped:
            self._wake.wait(_SECONDS_BETWEEN_SEARCHES if missing else None)
            self._wake.clear()
            with self._lock:
                wanted = frozenset(self._wanted)
            try:
                missing = self._read(wanted)
            except Exception:  # noqa: BLE001 - a bug must not end the thread; other claims are still resolved
                _log.exception("CDI files not read: this is a bug, please report it")

    def _read(self, wanted: frozenset[_Wanted]) -> bool:
        """Read what is wanted; return whether something of it is missing."""
        if wanted:
            self._specs.refresh()
        answers = {each: self._specs.nodes(*each) for each in wanted}
        differs = any(self._answers.get(each) != answer for each, answer in answers.items())
        self._answers = answers
        if differs and not self._stopped:
            self._changed()
        return any(answer.missing for answer in answers.values())
