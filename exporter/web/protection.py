"""What protects a listener: TLS, users, a limit on requests and headers, as a web configuration sets them."""

import socket
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from exporter.web.access import Access
from exporter.web.response import Response
from exporter.web.token_bucket import TokenBucket
from exporter.web.transport import PlainTransport, Transport
from exporter.web.web_config import WebConfig

if TYPE_CHECKING:
    from exporter.web.users import Users

# In every response anyway, with the only value that it can have.
_ALWAYS_SENT = "X-Content-Type-Options"

Encrypt = Callable[[socket.socket], Transport]


class Protection:
    """The protection by one web configuration. Does not change, except for what its limits count.

    Args:
        config: The web configuration; its files are read.
        open_paths: Paths that are answered without a password and without a limit.
        before: The protection until now, whose users and limits are kept if they have not changed.
        clock: Monotonic seconds.

    Attributes:
        config: The web configuration.
        transport: Makes the transport of an accepted socket.
        users: The users; None if nobody needs a password.
        requests: The limit on requests; None if there is none.

    Raises:
        ConfigError: A file cannot be read, or OpenSSL refuses what it holds.
    """

    def __init__(
        self,
        config: WebConfig,
        open_paths: Collection[str] = (),
        before: "Protection | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.transport: Encrypt = _encryption(config)
        self._headers = {name: value for name, value in config.headers if name != _ALWAYS_SENT}
        self._open_paths = open_paths
        self._clock = clock
        self.users: Users | None = _users(config)
        self.requests: TokenBucket | None = self._limit()
        if before is not None and before.config.users == config.users:
            self.users = before.users
        if before is not None and before.config.rate_limit == config.rate_limit:
            self.requests = before.requests

    def check(self, path: str, authorization: str, peer: bytes, later: Callable[[Access], None]) -> Access | None:
        """Whether a request may be answered.

        Args:
            path: The path of its target.
            authorization: Its `Authorization` header; empty if there is none.
            peer: The client's address.
            later: Called by another thread if the result is None.

        Returns:
            Whether it may be answered; None if a password must be hashed first.
        """
        if path in self._open_paths:
            return Access.ALLOWED
        if self.requests is not None and not self.requests.spend(self._clock()):
            return Access.LIMITED
        return Access.ALLOWED if self.users is None else self.users.check(authorization, peer, later)

    def with_headers(self, response: Response) -> Response:
        """The response with the configured headers, in place of its own of the same names."""
        if not self._headers:
            return response
        own = tuple(header for header in response.headers if header[0] not in self._headers)
        return response._replace(headers=(*own, *self._headers.items()))

    def _limit(self) -> TokenBucket | None:
        limit = self.config.rate_limit
        return None if limit is None else TokenBucket(limit.burst, limit.interval_seconds, self._clock())


def _encryption(config: WebConfig) -> Encrypt:
    if config.tls is None:
        return PlainTransport
    from exporter.web.tls import encryption  # noqa: PLC0415 - ssl is 3 MiB that plain HTTP does without

    return encryption(config.tls)


def _users(config: WebConfig) -> "Users | None":
    if not config.users:
        return None
    from exporter.web.users import Users  # noqa: PLC0415 - bcrypt and hashlib are not needed without users

    return Users(config.users)
