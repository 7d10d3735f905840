"""Queries the kubelet for the allocations of devices to containers: the call List of the PodResources API, v1."""

import errno
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from exporter.attribution.grpc_unary import MAX_MESSAGE_BYTES, UnaryChannel
from exporter.attribution.holding import Holdings, PodResourcesList
from exporter.attribution.podresources_wire import PodResourcesDecoder
from exporter.attribution.rpc_error import (
    ConnectError,
    DeadlineError,
    DecodeError,
    RpcError,
    StatusError,
    TooLargeError,
)
from exporter.c_allocator import return_free_memory

_LIST = "/v1.PodResourcesLister/List"
_REQUEST = b""  # a ListPodResourcesRequest, which has no fields
_DEADLINE_EXCEEDED = 4  # the server enforces the deadline too, and may report it first
_RESOURCE_EXHAUSTED = 8
_UNIMPLEMENTED = 12
_RATE_LIMIT_TEXT = "rate limit"  # the same status is also used for an answer that is too large
# The largest pod and what is built of all pods, compared with the largest answer.
PODS_OF_ANSWER, OBJECTS_OF_ANSWER = 4, 3
_SHORTEST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 0.2


class KubeletError(Exception):
    """The kubelet gave no usable answer. The text is for people: what, where, what to do."""


class SocketAbsentError(KubeletError):
    """There is no socket: this machine has no kubelet, it has not started yet, or the socket is not mounted."""


class PodResourcesClient:
    """A client of the kubelet's PodResources API on its unix socket. The socket need not exist yet.

    Args:
        socket_path: The kubelet's socket, usually `/var/lib/kubelet/pod-resources/kubelet.sock`.
        timeout_seconds: For one `list`, including its retry.
        max_answer_bytes: Size of the largest answer accepted. One pod may have a quarter of it, and what is built of an
            answer may take three times as much besides the text.
        sleep: Waits before the one retry after the kubelet's rate limit.
        uniform: Returns a random wait between (shortest, longest).
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        socket_path: Path,
        timeout_seconds: float,
        *,
        max_answer_bytes: int = MAX_MESSAGE_BYTES,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = socket_path
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
        self._uniform = uniform
        self._clock = clock
        self._channel = UnaryChannel(socket_path, max_message_bytes=max_answer_bytes, clock=clock)
        self._most_pod_bytes = max_answer_bytes // PODS_OF_ANSWER
        self._most_object_bytes = max_answer_bytes * OBJECTS_OF_ANSWER
        self._latest = Holdings(())

    @property
    def connections(self) -> int:
        """Number of connections made so far. If it increased during a `list`, the kubelet may be a new one."""
        return self._channel.connections

    def list(self) -> PodResourcesList:
        """Return the listed pods, the allocations by device plugins, and the devices of resource claims.

        Raises:
            SocketAbsentError: There is no socket at the path.
            KubeletError: The kubelet cannot be reached, refuses, is late, or its answer cannot be used.
        """
        try:
            answer = self._call()
        except RpcError as error:
            explained = self._explained(error)
        else:
            self._latest = Holdings.of(answer.holdings)
            return answer
        return_free_memory()  # that of a large answer that was refused
        raise explained  # not from the error: its trace would keep all that was decoded

    def close(self) -> None:
        """Close the connection. A call in progress and later calls fail. Safe to call twice, from any thread."""
        self._channel.close()

    def _call(self) -> PodResourcesList:
        """Make one call, and one more after a short wait if the kubelet's rate limit refused the first."""
        ends = self._clock() + self._timeout_seconds
        decoder = partial(PodResourcesDecoder, self._latest.groups, self._most_pod_bytes, self._most_object_bytes)
        try:
            return self._channel.call(_LIST, _REQUEST, self._timeout_seconds, decoder)
        except StatusError as error:
            wait = self._uniform(_SHORTEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
            if not _is_rate_limit(error) or self._clock() + wait >= ends:
                raise
        self._sleep(wait)
        return self._channel.call(_LIST, _REQUEST, ends - self._clock(), decoder)

    def _explained(self, error: RpcError) -> KubeletError:
        if isinstance(error, ConnectError):
            return _unreachable(self._path, error)
        if isinstance(error, DeadlineError) or error.status == _DEADLINE_EXCEEDED:
            return KubeletError(
                f"the kubelet at {self._path} gave no complete answer within {self._timeout_seconds:g} s: "
                "check whether the node is overloaded, or raise kubelet.timeout"
            )
        if isinstance(error, DecodeError | TooLargeError):
            undecodable = f"the answer of {self._path} cannot be decoded"
            failure = undecodable if isinstance(error, DecodeError) else f"{self._path}: {error.text}"
            otherwise = ", or raise kubelet.max_answer_size" if isinstance(error, TooLargeError) else ""
            return KubeletError(f"{failure}: check that the kubelet listens there{otherwise}")
        if isinstance(error, StatusError) and _is_rate_limit(error):
            return KubeletError(
                f"the kubelet at {self._path} refuses calls because of its rate limit, which all clients of the node "
                "share: find the client that calls it too often"
            )
        if error.status == _UNIMPLEMENTED:
            return KubeletError(
                f"the server at {self._path} has no PodResources API v1, which Kubernetes has since 1.20"
            )
        return KubeletError(f"the kubelet at {self._path} failed: {error.text}: see the kubelet's log")


def _is_rate_limit(error: StatusError) -> bool:
    return error.status == _RESOURCE_EXHAUSTED and _RATE_LIMIT_TEXT in error.text


def _unreachable(path: Path, error: ConnectError) -> KubeletError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SocketAbsentError(
            f"no kubelet socket at {path}: mount the kubelet's pod-resources directory (not the socket file), "
            "or set kubelet.socket"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return KubeletError(
            f"permission denied on {path}: connecting to the kubelet's socket needs uid 0, but no capability"
        )
    if error.errno == errno.ECONNREFUSED:
        return KubeletError(
            f"no process listens on {path}: the kubelet is down, or its socket file is mounted instead of the directory"
        )
    return KubeletError(f"{error.text}: check that the path is the kubelet's socket")
