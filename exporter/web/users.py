"""Users with passwords: HTTP basic authentication (RFC 7617) with bcrypt hashes. Imported only if users are configured.

A hash takes 50 ms and more, so a correct password is hashed once, and hashing is done by a thread of its own: the
server's thread never waits for it.
"""

import base64
import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import bcrypt

from exporter.web.access import Access
from exporter.web.token_bucket import TokenBucket

_log = logging.getLogger(__name__)

_BCRYPT_BYTES = 72  # bcrypt uses no more of a password; Go's bcrypt ignores the rest, the library refuses it
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class UserLimits:
    """Limits on wrong passwords. They never apply to a password that has been found correct.

    Attributes:
        peer_burst: How many of one peer are checked at once.
        peer_interval_seconds: The time after which one more of that peer is checked.
        burst: The same for all peers together.
        interval_seconds: The same for all peers together.
        peers: How many peers are remembered.
    """

    peer_burst: int = 5
    peer_interval_seconds: float = 5.0
    burst: int = 20
    interval_seconds: float = 0.5
    peers: int = 1024


@dataclass(slots=True)
class _Attempt:
    """A password that is to be checked.

    Attributes:
        user: The user, who may be unknown.
        password: The password.
        digest: The digest of both.
        hashed: What the password is compared with.
        buckets: The limits that it counts for.
        waiting: Who wants to know.
    """

    user: bytes
    password: bytes = field(repr=False)
    digest: bytes
    hashed: bytes
    buckets: tuple[TokenBucket, ...]
    waiting: list[Callable[[Access], None]]


_DEFAULT_LIMITS = UserLimits()


class Users:
    """The users of one web configuration. `check` belongs to one thread.

    Args:
        hashes: The bcrypt hash of each user's password, at least one.
        limits: Limits on wrong passwords.
        clock: Monotonic seconds.
        matches: Whether a password has a hash.
    """

    def __init__(
        self,
        hashes: Mapping[str, str],
        limits: UserLimits = _DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
        matches: Callable[[bytes, bytes], bool] = bcrypt.checkpw,
    ) -> None:
        self._hashes = {name.encode(): hashed.encode() for name, hashed in hashes.items()}
        self._limits = limits
        self._clock = clock
        self._matches = matches
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._lock = threading.Lock()
        self._proven: dict[bytes, bytes] = {}
        self._all = TokenBucket(limits.burst, limits.interval_seconds, clock())
        self._peers: OrderedDict[bytes, TokenBucket] = OrderedDict()
        self._queue: deque[_Attempt] = deque()
        self._pending: dict[bytes, _Attempt] = {}

    def check(self, authorization: str, peer: bytes, later: Callable[[Access], None]) -> Access | None:
        """Check the `Authorization` header of a request.

        Args:
            authorization: The header; empty if there is none.
            peer: The client's address.
            later: Called by another thread if the result is None.

        Returns:
            Whether it may be answered; None if the password must be hashed first.
        """
        given = credentials(authorization)
        if given is None:
            return Access.REFUSED
        user, password = given
        digest = self._digest(user, password)
        with self._lock:
            if hmac.compare_digest(self._proven.get(user, b""), digest):
                return Access.ALLOWED
            pending = self._pending.get(digest)
            if pending is not None:
                pending.waiting.append(later)
                return None
            return self._begin(user, password, digest, peer, later)

    def _begin(
        self, user: bytes, password: bytes, digest: bytes, peer: bytes, later: Callable[[Access], None]
    ) -> Access | None:
        now = self._clock()
        own = self._peer(peer, now)
        if not own.spend(now):
            return Access.LIMITED
        if not self._all.spend(now):
            own.refund()
            return Access.LIMITED
        hashed = self._hashes.get(user, self._stand_in(user))
        attempt = _Attempt(user, password, digest, hashed, (own, self._all), [later])
        self._pending[digest] = attempt
        self._queue.append(attempt)
        return None if len(self._pending) > 1 or self._start() else Access.LIMITED

    def _start(self) -> bool:
        """Start the thread; False if the system refuses it."""
        try:
            threading.Thread(target=self._work, name="passwords", daemon=True).start()
        except RuntimeError as error:
            _log.error("cannot start a thread to check a password: %s; raise the process limit", error)
            self._queue.clear()
            self._pending.clear()
            return False
        return True

    def _work(self) -> None:
        """Check passwords until none is left."""
        while (attempt := self._next()) is not None:
            access = self._compare(attempt)
            with self._lock:
                del self._pending[attempt.digest]
                if access is Access.ALLOWED:
                    self._proven[attempt.user] = attempt.digest
                    for bucket in attempt.buckets:
                        bucket.refund()
            for later in attempt.waiting:
                later(access)

    def _next(self) -> _Attempt | None:
        with self._lock:
            return self._queue.popleft() if self._queue else None

    def _compare(self, attempt: _Attempt) -> Access:
        try:
            matches = self._matches(attempt.password[:_BCRYPT_BYTES], attempt.hashed)
        except Exception:  # noqa: BLE001  a bug must not leave the request without an answer
            _log.exception("a password could not be checked; this is a bug in the exporter, please report it")
            matches = False
        return Access.ALLOWED if matches and attempt.user in self._hashes else Access.REFUSED

    def _stand_in(self, user: bytes) -> bytes:
        """The hash that the password of an unknown user is compared with; always the same for the same user.

        It is that of another user, so that the time it takes does not show that the user is unknown.
        """
        number = int.from_bytes(self._digest(user, b""))
        return tuple(self._hashes.values())[number % len(self._hashes)]

    def _peer(self, peer: bytes, now: float) -> TokenBucket:
        """The limit of a peer. The peer that has tried nothing for longest is forgotten if there are too many."""
        bucket = self._peers.pop(peer, None)
        if bucket is None:
            bucket = TokenBucket(self._limits.peer_burst, self._limits.peer_interval_seconds, now)
            if len(self._peers) >= self._limits.peers:
                self._peers.popitem(last=False)
        self._peers[peer] = bucket
        return bucket

    def _digest(self, user: bytes, password: bytes) -> bytes:
        return hashlib.blake2b(user + b":" + password, key=self._key).digest()


def credentials(authorization: str) -> tuple[bytes, bytes] | None:
    """User and password in an `Authorization` header of RFC 7617; None if it holds none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        return None
    user, colon, password = decoded.partition(b":")
    return (user, password) if colon else None
