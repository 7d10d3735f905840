"""Gets the ResourceClaims that the kubelet lists, and the pods whose containers may use a part of one, in a thread."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote

from exporter.attribution.api_error import ApiError, ApiNotFoundError
from exporter.attribution.api_health import ApiHealth
from exporter.attribution.claim_objects import (
    EVERY_REQUEST,
    ClaimAllocation,
    ContainerRequests,
    parse_claim,
    parse_requests,
)
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.kubernetes_api import KubernetesApi
from exporter.attribution.lookup_table import LookupTable, ObjectListing, ObjectName
from exporter.attribution.resource_api import ResourceApi

_log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_OBJECTS = 1_024
_BETWEEN_CALLS_SECONDS = 0.1
_AGAIN_SECONDS = 60.0
_BUG_PAUSE_SECONDS = 30.0


@dataclass(slots=True)
class _Kind(Generic[T]):
    """The objects of one kind.

    Attributes:
        get: Gets one; None if it has nothing.
        health: How the calls end.
        table: What is to be got and was got.
        not_before: The earliest time of the next call.
    """

    get: Callable[[ObjectName], T | None]
    health: ApiHealth
    table: LookupTable[T] = field(default_factory=lambda: LookupTable[T](_MOST_OBJECTS))
    not_before: float = 0.0

    def follow(self, listed: Mapping[ObjectName, ObjectListing], now: float) -> bool:
        """As the table's; nothing new is awaited while calls fail."""
        forgotten = self.table.follow(listed, now)
        if now < self.not_before:
            self.table.give_up()
        return forgotten


class ClaimReader:
    """Knows what the listed claims allocate, and which requests the containers of a pod name.

    A pod is got only if it uses a claim with several requests: all containers use other claims as a whole. Ten objects
    are got in a second, and at most 1,024 of each kind are known.

    Args:
        api: Closed by the caller.
        resources: The served version.
        claims: Receives how the calls for claims end.
        pods: Receives how the calls for pods end.
        changed: Called after what is known has changed, by any thread; must neither block nor call back.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        api: KubernetesApi,
        resources: ResourceApi,
        *,
        claims: ApiHealth,
        pods: ApiHealth,
        changed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._resources = resources
        self._changed = changed
        self._clock = clock
        self._lock = threading.Lock()  # held for moments, never during a call
        self._claims = _Kind[ClaimAllocation](self._get_claim, claims)
        self._pods = _Kind[ContainerRequests](self._get_requests, pods)
        self._pods_with_claims: Mapping[ObjectName, ObjectListing] = {}
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resource-claims", daemon=True)

    def start(self) -> None:
        """Start to get what is followed."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop, and wait so long for the thread. A call ends when the API client is closed. Safe to call twice."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def follow(self, devices: Collection[ClaimDevice]) -> None:
        """Get the claims that the kubelet lists now, and forget all others. Does not block."""
        with self._lock:
            claims = _grouped(devices, _claim_of, self._claims.table.names)
            pods = _grouped(devices, _pod_of, self._pods.table.names)
        listed = {name: _listing(same, map(_pod_of, same)) for name, same in claims.items()}
        with self._lock:
            self._pods_with_claims = {name: _listing(same, [name]) for name, same in pods.items()}
            forgotten = self._claims.follow(listed, self._clock())
            forgotten |= self._follow_pods()
            if forgotten:
                self._changed()
        self._wake.set()

    def claim(self, namespace: str, name: str) -> ClaimAllocation | None:
        """Return what a claim allocates; None while unknown."""
        with self._lock:
            return self._claims.table.value((namespace, name))

    def names_request(self, namespace: str, pod: str, container: str, claim: str, request: str) -> bool | None:
        """Whether a container uses the devices of one request of a claim; None while unknown."""
        with self._lock:
            allocation = self._claims.table.value((namespace, claim))
            if allocation is None:
                return None
            if len(allocation.requests) == 1:
                return True
            requests = self._pods.table.value((namespace, pod))
        if requests is None or (container, claim) not in requests:
            return None
        named = requests[container, claim]
        return request in named or EVERY_REQUEST in named

    def awaited(self, namespace: str, pod: str, claim: str) -> bool:
        """Whether a first answer about a pod's use of a claim is to be expected within moments."""
        with self._lock:
            return self._claims.table.is_pending((namespace, claim)) or self._pods.table.is_pending((namespace, pod))

    @property
    def settled(self) -> bool:
        """Whether nothing is awaited."""
        with self._lock:
            return not self._claims.table.is_any_pending() and not self._pods.table.is_any_pending()

    def _follow_pods(self) -> bool:
        """Follow the pods of claims with several requests. Returns whether anything was forgotten."""
        users = {
            user
            for listing, allocation in self._claims.table.values().values()
            if len(allocation.requests) > 1
            for user in listing.users
        }
        listed = {name: each for name, each in self._pods_with_claims.items() if name in users}
        return self._pods.follow(listed, self._clock())

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                if self._get_next(self._claims) or self._get_next(self._pods):
                    self._stop.wait(_BETWEEN_CALLS_SECONDS)
                    continue
                pause = self._pause()
            except Exception:  # noqa: BLE001 - a bug must not end the thread
                _log.exception("resource claims: reading failed")
                self._stop.wait(_BUG_PAUSE_SECONDS)
                continue
            self._wake.wait(pause)

    def _pause(self) -> float | None:
        """Seconds until something is due; None if nothing is."""
        with self._lock:
            at = min(max(kind.table.next_due(), kind.not_before) for kind in (self._claims, self._pods))
        return None if at == float("inf") else max(0.0, at - self._clock())

    def _get_next(self, kind: _Kind[T]) -> bool:
        """Get the object of a kind that is due. Returns whether there was one."""
        now = self._clock()
        with self._lock:
            due = kind.table.due(now) if now >= kind.not_before else None
        if due is None:
            return False
        name, pending = due
        try:
            value = kind.get(name)
        except ApiError as error:
            if not self._stop.is_set():
                self._failed(kind, error)
            return True
        kind.health.succeeded()
        with self._lock:
            kind.table.found(pending, value, *(() if value is not None else (self._clock() + _AGAIN_SECONDS,)))
            self._follow_pods()
            self._changed()
        return True

    def _failed(self, kind: _Kind[T], error: ApiError) -> None:
        pause = kind.health.failed(error)
        with self._lock:
            kind.not_before = self._clock() + pause
            if kind.table.give_up():
                self._changed()

    def _get_claim(self, name: ObjectName) -> ClaimAllocation | None:
        path = self._resources.path()
        try:
            return parse_claim(self._api.get(f"{path}/{_in_namespace(name, 'resourceclaims')}"))
        except ApiNotFoundError:
            self._resources.forget()
            return None

    def _get_requests(self, name: ObjectName) -> ContainerRequests | None:
        try:
            return parse_requests(self._api.get(f"/api/v1/{_in_namespace(name, 'pods')}"))
        except ApiNotFoundError:
            return None


def _in_namespace(name: ObjectName, kind: str) -> str:
    namespace, own = name
    return f"namespaces/{quote(namespace, safe='')}/{kind}/{quote(own, safe='')}"


def _claim_of(device: ClaimDevice) -> ObjectName:
    return device.claim_namespace, device.claim_name


def _pod_of(device: ClaimDevice) -> ObjectName:
    return device.namespace, device.pod


def _grouped(
    devices: Iterable[ClaimDevice], name_of: Callable[[ClaimDevice], ObjectName], known: Collection[ObjectName]
) -> Mapping[ObjectName, Sequence[ClaimDevice]]:
    """The devices of each object, of those that are known and of as many others as can be: a node can list 100,000."""
    groups: dict[ObjectName, list[ClaimDevice]] = defaultdict(list)
    for each in devices:
        name = name_of(each)
        if name in groups or name in known or len(groups) < _MOST_OBJECTS:
            groups[name].append(each)
    return groups


def _listing(devices: Iterable[ClaimDevice], users: Iterable[ObjectName]) -> ObjectListing:
    """How the kubelet lists a claim, or a pod with its claims. The names of CDI devices often hold the claim's uid."""
    contents = {(each.claim_name, *each.key, each.cdi_devices) for each in devices}
    return ObjectListing(frozenset(contents), frozenset(users))
