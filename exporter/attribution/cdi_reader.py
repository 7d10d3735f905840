"""Reads the CDI files in a thread of its own: a file system that does not answer must not delay the snapshots."""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from exporter.attribution.cdi_specs import CdiAnswer
from exporter.attribution.holding import ClaimDevice

_log = logging.getLogger(__name__)

# While something is not found: its file may be written later than the kubelet's answer.
_SECONDS_BETWEEN_SEARCHES = 2.0
_STOP_SECONDS = 0.5


class SpecFiles(Protocol):
    """What is read; `CdiSpecs` is the real one."""

    def refresh(self) -> bool:
        """Read again what has changed; return whether an answer may be another. Called by one thread only."""
        ...

    def nodes(self, cdi_devices: Sequence[str], device: str) -> CdiAnswer:
        """Look up the device nodes of one device of a claim, in what was read before. Called by any thread."""
        ...


class CdiReader:
    """Answers from what its thread has read. The thread is started, and files are read, only when something is asked.

    Args:
        specs: The files.
        changed: Called when an answer may be another, by the reader's thread; must not block.
        start: Starts a thread.
    """

    def __init__(
        self,
        specs: SpecFiles,
        changed: Callable[[], None],
        start: Callable[[threading.Thread], None] = threading.Thread.start,
    ) -> None:
        self._specs = specs
        self._changed = changed
        self._start = start
        self._refused = False
        self._searching = False
        self._missing = False
        self._asked = False
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def nodes(self, cdi_devices: Sequence[str], device: str) -> CdiAnswer:
        """Return the device nodes of one device of a claim, as far as they have been read. Never blocks."""
        answer = self._specs.nodes(cdi_devices, device)
        if answer.missing:
            self._missing = True
            if not self._searching:
                self._search()
        return answer

    def read_again(self) -> None:
        """Look at the files again, and report when that is done, also if nothing has changed. Never blocks."""
        self._asked = True
        self._search()

    def follow(self, claim_devices: Collection[ClaimDevice]) -> None:
        """Read again what has changed; to be called with every answer of the kubelet.

        Args:
            claim_devices: The devices of all claims that are listed now.
        """
        if not claim_devices:
            self._searching = False
        elif self._thread is not None:
            self._wake.set()
        elif self._searching:
            self._search()

    def stop(self) -> None:
        """Stop; nothing is reported afterwards. Safe to call twice."""
        with self._lock:
            self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _search(self) -> None:
        with self._lock:
            self._searching = True
            if self._thread is None and not self._stopped:
                self._thread = self._started()
        self._wake.set()

    def _started(self) -> threading.Thread | None:
        """The thread; None if no thread can be started, until the next answer of the kubelet."""
        thread = threading.Thread(target=self._run, name="cdi-files", daemon=True)
        try:
            self._start(thread)
        except RuntimeError:
            if not self._refused:
                _log.warning("CDI files not read: no thread can be started")
            self._refused = True
            return None
        return thread

    def _run(self) -> None:
        while not self._stopped:
            woken = self._wake.wait(_SECONDS_BETWEEN_SEARCHES if self._searching else None)
            self._wake.clear()
            if not self._stopped and (woken or self._missing):
                asked, self._asked, self._missing = self._asked, False, False
                self._read(asked=asked)

    def _read(self, *, asked: bool) -> None:
        try:
            changed = self._specs.refresh()
        except Exception:  # noqa: BLE001 - a bug must not end the thread; other claims are still resolved
            _log.exception("CDI files not read: this is a bug, please report it")
        else:
            if (changed or asked) and not self._stopped:
                self._changed()
