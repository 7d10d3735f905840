"""Lists and watches the ResourceSlices of this node, in a thread."""

import logging
import random
import threading
from collections.abc import Callable, Mapping

from collectors.backoff import Backoff
from exporter.attribution.api_error import (
    ApiError,
    ApiExpiredError,
    ApiForbiddenError,
    ApiNotFoundError,
    ApiTooLargeError,
)
from exporter.attribution.api_health import ApiHealth
from exporter.attribution.json_fields import JsonObject, child, children, integer, text
from exporter.attribution.kubernetes_api import KubernetesApi
from exporter.attribution.resource_api import ResourceApi
from exporter.attribution.slice_pools import DeviceKey, PoolSlice, SliceAttributes, identified_devices, parse_slice

_log = logging.getLogger(__name__)

# A slice has at most 128 devices of at most 32 attributes: up to 1 MiB of JSON.
_PAGE_SLICES = 4
_MOST_PAGES = 128
_MOST_SLICES = _PAGE_SLICES * _MOST_PAGES
_WATCH_SECONDS = (240.0, 360.0)
_SHORTEST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_BUG_PAUSE_SECONDS = 30.0
_GONE = 410


class SliceWatcher:
    """Keeps the devices of this node's slices. While the server does not answer, they stay as they were last.

    Slices that select nodes in another way than by name are not listed: they are devices beside the node.

    Args:
        api: Closed by the caller.
        resources: The served version.
        node: The name of the node.
        health: Receives how the calls end.
        changed: Called after the devices have changed, by this thread; must not block.
        uniform: Returns a random number between two.

    Attributes:
        devices: By driver, pool and name. Replaced as a whole, never changed.
    """

    def __init__(
        self,
        api: KubernetesApi,
        resources: ResourceApi,
        node: str,
        *,
        health: ApiHealth,
        changed: Callable[[], None],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.devices: Mapping[DeviceKey, SliceAttributes] = {}
        self._api = api
        self._resources = resources
        self._node = node
        self._health = health
        self._changed = changed
        self._uniform = uniform
        self._slices: dict[str, PoolSlice] = {}
        self._version = ""  # the resource version that a watch continues from; empty: list first
        self._from_cache = True  # a list out of the server's cache costs it little, but may be older than what is known
        self._empty_watches = Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resource-slices", daemon=True)

    def start(self) -> None:
        """Start to list and watch."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop, and wait so long for the thread. A call ends when the API client is closed. Safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause = self._read()
            except ApiError as error:
                pause = 0.0 if self._stop.is_set() else self._failed(error)
            except Exception:  # noqa: BLE001 - a bug must not end the thread
                _log.exception("resource slices: reading failed")
                self._version, pause = "", _BUG_PAUSE_SECONDS
            self._stop.wait(pause)

    def _read(self) -> float:
        """List if necessary, then watch until the watch ends. Returns the pause before the next one."""
        path = f"{self._resources.path()}/resourceslices"
        try:
            return self._list_and_watch(path)
        except ApiNotFoundError as error:
            self._resources.forget()
            self._version = ""
            raise ApiError(f"no longer served: {error}") from error

    def _list_and_watch(self, path: str) -> float:
        if not self._version:
            self._list(path)
        query = {**self._selector(), "resourceVersion": self._version, "allowWatchBookmarks": "true"}
        received = False
        for event in self._api.watch(path, query, int(self._uniform(*_WATCH_SECONDS)), self._health.succeeded):
            received = True
            self._apply(event)
        if received:
            self._empty_watches.succeeded()
            return self._short_pause()
        return self._empty_watches.failed() * self._short_pause()  # a proxy may end every watch at once

    def _failed(self, error: ApiError) -> float:
        if isinstance(error, ApiExpiredError):
            self._version, self._from_cache = "", False
            return self._short_pause()
        if isinstance(error, ApiTooLargeError):
            self._version, self._from_cache = "", False  # only a list that is not out of the cache has pages
        if isinstance(error, ApiNotFoundError | ApiForbiddenError):
            self._version = ""
            self._replace({})
        return self._health.failed(error)

    def _short_pause(self) -> float:
        """Not the same on all nodes: a restart of the server ends the watches of all at one moment."""
        return self._uniform(_SHORTEST_PAUSE_SECONDS, 2 * _SHORTEST_PAUSE_SECONDS)

    def _selector(self) -> dict[str, str]:
        """Every version has this field selector: addConversionFuncs in pkg/apis/resource/*/conversion.go."""
        return {"fieldSelector": f"spec.nodeName={self._node}"}

    def _list(self, path: str) -> None:
        query = {**self._selector(), "limit": str(_PAGE_SLICES)}
        position = {"resourceVersion": "0"} if self._from_cache else {}
        slices: dict[str, PoolSlice] = {}
        for _ in range(_MOST_PAGES):
            page = self._api.get(path, {**query, **position})
            for item in children(page, "items"):
                self._put(slices, item)
            metadata = child(page, "metadata")
            if not text(metadata, "continue"):
                break
            position = {"continue": text(metadata, "continue")}
        else:
            raise ApiError(f"{path}: more than {_MOST_PAGES} pages")
        self._version = text(metadata, "resourceVersion")
        if not self._version:
            raise ApiError(f"{path}: a list without a resource version")
        self._from_cache = True
        self._replace(slices)
        self._health.succeeded()

    def _apply(self, event: JsonObject) -> None:
        item = child(event, "object")
        kind = text(event, "type")
        if kind == "ERROR":
            self._version = ""
            expired = integer(item, "code") == _GONE
            raise (ApiExpiredError if expired else ApiError)(
                f"the watch of resource slices ended: {text(item, 'message')}"
            )
        version = text(child(item, "metadata"), "resourceVersion")
        if not version:
            self._version = ""
            raise ApiError("the watch of resource slices: an event without a resource version")
        self._version = version
        if kind in ("ADDED", "MODIFIED", "DELETED"):
            slices = dict(self._slices)
            slices.pop(text(child(item, "metadata"), "name"), None)
            if kind != "DELETED":
                self._put(slices, item)
            self._replace(slices)

    def _put(self, slices: dict[str, PoolSlice], item: JsonObject) -> None:
        parsed = parse_slice(item, self._node)
        if parsed is not None:
            slices[text(child(item, "metadata"), "name")] = parsed
        if len(slices) > _MOST_SLICES:
            self._version = ""
            raise ApiError(f"more than {_MOST_SLICES} resource slices of one node")

    def _replace(self, slices: dict[str, PoolSlice]) -> None:
        self._slices = slices
        devices = identified_devices(slices.values())
        if devices != self.devices:
            self.devices = devices
            self._changed()
