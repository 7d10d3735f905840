"""Why a gRPC call failed: the only exceptions that `grpc_unary` raises."""

_LONGEST_TEXT = 300


class RpcError(Exception):
    """A call failed.

    Args:
        text: What happened, one line.
        status: The gRPC status code of the answer; None if there was none.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        # The text may come from the peer: it must stay one short line.
        printable = "".join(char if char.isprintable() else " " for char in text[:_LONGEST_TEXT])
        super().__init__(printable)
        self.text = printable
        self.status = status


class ConnectError(RpcError):
    """No connection could be made.

    Args:
        text: What happened.
        errno: The system's error number; None if there was none.
    """

    def __init__(self, text: str, errno: int | None) -> None:
        super().__init__(text)
        self.errno = errno


class ConnectionLostError(RpcError):
    """The connection ended, or its data is not HTTP/2, before the answer was complete."""


class DeadlineError(RpcError):
    """The answer was not complete before the call's deadline."""


class TooLargeError(RpcError):
    """The answer, or what it would take in memory, is larger than accepted."""


class DecodeError(RpcError):
    """The answer is not a message of the expected type."""


class StatusError(RpcError):
    """The peer answered that the call failed, with `status` as the reason."""


class ChannelClosedError(RpcError):
    """The channel was closed on this side, before or during the call."""
