"""Whether a request may be answered, and the response if not."""

from enum import Enum
from http import HTTPStatus

from exporter.web.response import Response, plain_text

_CHALLENGE = ("WWW-Authenticate", 'Basic realm="accelerator-exporter"')
_RETRY_AFTER = ("Retry-After", "5")


class Access(Enum):
    """Whether a request may be answered."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    """No password, or a wrong one."""
    LIMITED = "limited"
    """Too many requests, or too many wrong passwords."""


def refusal(access: Access) -> Response | None:
    """The response to a request that may not be answered; None if it may."""
    if access is Access.ALLOWED:
        return None
    if access is Access.REFUSED:
        return plain_text(HTTPStatus.UNAUTHORIZED, "a user and a password are needed", (_CHALLENGE,))
    return plain_text(HTTPStatus.TOO_MANY_REQUESTS, "too many requests or wrong passwords", (_RETRY_AFTER,))
