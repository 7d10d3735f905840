"""What the Kubernetes API says about devices and claims of this node: an option, and imported only with it."""

import logging
import time
from collections.abc import Callable, Collection, Mapping

from exporter.attribution.api_health import ApiHealth, ApiState
from exporter.attribution.claim_objects import ClaimAllocation
from exporter.attribution.claim_reader import ClaimReader
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.kubernetes_api import ApiServer, KubernetesApi, server_of_pod
from exporter.attribution.resource_api import ResourceApi
from exporter.attribution.slice_pools import SliceAttributes
from exporter.attribution.slice_watcher import SliceWatcher

_log = logging.getLogger(__name__)

_STOP_SECONDS = 0.5
_SETTLED_SECONDS = 10.0


class ResourceSlices:
    """Reads the ResourceSlices of the node, and the claims and pods that the kubelet lists.

    No method waits for the API server. Each of the three kinds of objects needs a right of its own, and works without
    the others.

    Args:
        server: The API server.
        node: The name of the node; None if it is unknown, then there are no slices.
        changed: Called after an answer may have changed, by any thread; must not block.

    Attributes:
        health: How the calls end: of slices, claims and pods.
    """

    def __init__(self, server: ApiServer, node: str | None, changed: Callable[[], None]) -> None:
        slices = ApiHealth("resource slices", "list and watch resourceslices")
        claims = ApiHealth("resource claims", "get resourceclaims")
        pods = ApiHealth("pods with claims", "get pods")
        self.health = (slices, claims, pods)
        self._api = KubernetesApi(server)
        resources = ResourceApi(self._api)
        self._claims = ClaimReader(self._api, resources, claims=claims, pods=pods, changed=changed)
        self._started_at = time.monotonic()
        self._slices: SliceWatcher | None = None
        if node:
            self._slices = SliceWatcher(self._api, resources, node, health=slices, changed=changed)
        else:
            _log.warning("resource slices are not used: the name of the node is unknown: set NODE_NAME or node.name")

    def start(self) -> None:
        """Start to read."""
        self._started_at = time.monotonic()
        if self._slices is not None:
            self._slices.start()
        self._claims.start()

    def stop(self) -> None:
        """Stop within a second; nothing is reported afterwards. Safe to call twice."""
        parts = (self._claims,) if self._slices is None else (self._claims, self._slices)
        for part in parts:
            part.stop(0.0)  # first of all: the end of a call is no failure then
        self._api.close()
        ends = time.monotonic() + _STOP_SECONDS
        for part in parts:
            part.stop(max(0.0, ends - time.monotonic()))

    @property
    def settled(self) -> bool:
        """Whether the slices have been listed, or cannot be, and no claim or pod is awaited. True after 10 s anyway."""
        listed = self._slices is None or self.health[0].state is not ApiState.UNKNOWN
        return (listed and self._claims.settled) or time.monotonic() - self._started_at > _SETTLED_SECONDS

    def follow(self, devices: Collection[ClaimDevice]) -> None:
        """Read the claims that the kubelet lists now; to be called with every answer of the kubelet."""
        self._claims.follow(devices)

    def attributes(self, driver: str, pool: str, device: str) -> SliceAttributes | None:
        """Return the attributes of a device; None while no complete pool publishes it.

        The slices vanish 2.4 s after a restart of the kubelet, and 30 s after the driver's plugin has stopped, while
        pods keep their devices: the caller remembers what it has resolved.
        """
        return None if self._slices is None else self._slices.devices.get((driver, pool, device))

    def claim(self, namespace: str, name: str) -> ClaimAllocation | None:
        """Return what a claim allocates; None while unknown."""
        return self._claims.claim(namespace, name)

    def names_request(self, namespace: str, pod: str, container: str, claim: str, request: str) -> bool | None:
        """Whether a container uses the devices of one request of a claim; None while unknown."""
        return self._claims.names_request(namespace, pod, container, claim, request)

    def awaited(self, namespace: str, pod: str, claim: str) -> bool:
        """Whether a first answer about a pod's use of a claim is to be expected within moments."""
        return self._claims.awaited(namespace, pod, claim)


def resource_slices_of_pod(
    environ: Mapping[str, str], node: str | None, changed: Callable[[], None]
) -> ResourceSlices | None:
    """Return a reader for the cluster that this pod is in; None outside Kubernetes, which is logged.

    Args:
        environ: The environment.
        node: As for `ResourceSlices`.
        changed: As for `ResourceSlices`.
    """
    server = server_of_pod(environ)
    if server is None:
        _log.warning("resource slices are not used: no API server, KUBERNETES_SERVICE_HOST is not set")
        return None
    return ResourceSlices(server, node, changed)
