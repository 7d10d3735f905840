"""Why a call of the Kubernetes API server failed: the only exceptions that `kubernetes_api` raises."""

from collectors.wording import OneLineError, shortened

_LONGEST_TEXT = 300


class ApiError(OneLineError):
    """A call failed. The text is for people: what, where.

    Args:
        text: What happened; it may come from the server.
        retry_after_seconds: How long the server wants to be left alone; 0 if it does not say.
    """

    def __init__(self, text: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(shortened(text, _LONGEST_TEXT))
        self.retry_after_seconds = retry_after_seconds


class ApiForbiddenError(ApiError):
    """The service account may not do this (403)."""


class ApiNotFoundError(ApiError):
    """The object does not exist, or the server does not serve this version (404)."""


class ApiTooLargeError(ApiError):
    """The answer is larger than accepted."""


class ApiExpiredError(ApiError):
    """The resource version or the position in a list is too old (410): list again."""
